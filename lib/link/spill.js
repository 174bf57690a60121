'use strict';

/**
 * Producer's queue of records for which the ring has no room, if the consumer is another process: in the producer's
 * memory, in order, until there is room. Records that are large compared to the ring are split into fragments.
 */

const { Kind, FRAGMENT_HEADER_BYTES, MIN_FRAGMENT_BYTES } = require('./layout');

/** @typedef {import('./memory').Memory} Memory */

const CHUNK_BYTES = 256 * 1024;
/**
 * Binary logarithm of the fraction of the ring beyond which a record is fragmented, rather than waiting until that
 * much is free.
 */
const WHOLE_PART_LOG2 = 2;
/** Bytes moved at a time, and maximum size of a fragment: the consumer reads one part while the next is written. */
const STEP_BYTES = 256 * 1024;

/**
 * @typedef {object} Chunk
 * @property {Uint8Array} bytes
 * @property {DataView} view
 * @property {number} start offset of the first record that has not been moved
 * @property {number} end end offset of the last record
 */

class Spill {
  /** @type {Chunk[]} */
  #chunks = [];
  /** A chunk for reuse: fresh memory costs more than the copy into it. @type {Chunk | null} */
  #spare = null;
  /** Number of bytes moved of a fragmented first record. */
  #cut = 0;

  /** Bytes that have not been moved yet. */
  bytes = 0;
  /** Total number of records added and moved. */
  pushed = 0;
  moved = 0;

  get isEmpty() {
    return this.bytes === 0;
  }

  /**
   * Appends a record.
   * @param {Uint8Array} record shorter than `CHUNK_BYTES`, unless it is adopted
   * @param {boolean} isOurs whether to adopt its memory instead of copying it
   */
  push(record, isOurs) {
    const { length } = record;
    this.pushed++;
    this.bytes += length;
    if (isOurs) {
      this.#chunks.push(chunkOf(record, length));
      return;
    }
    let last = this.#chunks[this.#chunks.length - 1];
    if (last === undefined || last.bytes.length - last.end < length) {
      last = this.#spare ?? chunkOf(new Uint8Array(CHUNK_BYTES), 0);
      this.#spare = null;
      this.#chunks.push(last);
    }
    last.bytes.set(record, last.end);
    last.end += length;
  }

  /**
   * Moves records into the ring as far as there is room, but not many at a time. Returns the number of bytes
   * written there; 0 if there is no room or nothing left.
   * @param {Memory} memory
   * @param {number} at
   * @param {number} room free bytes from there on
   * @param {number} capacity capacity of the ring
   */
  move(memory, at, room, capacity) {
    let written = 0;
    while (this.#chunks.length > 0 && written < STEP_BYTES) {
      const chunk = this.#chunks[0];
      let end = chunk.start;
      const free = room - written;
      if (this.#cut === 0) {
        while (end < chunk.end) {
          const length = chunk.view.getUint32(end, true);
          if (end + length - chunk.start > free) break;
          end += length;
          this.moved++;
        }
      }
      if (end > chunk.start) {
        memory.bytes.set(chunk.bytes.subarray(chunk.start, end), at + written);
        written += end - chunk.start;
        this.bytes -= end - chunk.start;
        chunk.start = end;
      } else {
        const length = chunk.view.getUint32(chunk.start, true);
        if (length <= capacity >> WHOLE_PART_LOG2) break;
        const size = this.#moveFragment(memory, at + written, free, chunk, length);
        if (size === 0) break;
        written += size;
      }
      if (chunk.start === chunk.end) this.#drop();
    }
    return written;
  }

  /**
   * @param {Memory} memory
   * @param {number} at
   * @param {number} free
   * @param {Chunk} chunk
   * @param {number} length length of its first record
   */
  #moveFragment(memory, at, free, chunk, length) {
    const left = length - this.#cut;
    const part = Math.min(left, STEP_BYTES, (free - FRAGMENT_HEADER_BYTES) & ~7);
    if (part < left && part < MIN_FRAGMENT_BYTES) return 0;
    const { bytes, view } = memory;
    view.setUint32(at, FRAGMENT_HEADER_BYTES + part, true);
    view.setUint32(at + 4, Kind.FRAGMENT, true);
    view.setUint32(at + 8, length, true);
    view.setUint32(at + 12, 0, true);
    const from = chunk.start + this.#cut;
    bytes.set(chunk.bytes.subarray(from, from + part), at + FRAGMENT_HEADER_BYTES);
    this.#cut += part;
    this.bytes -= part;
    if (this.#cut === length) {
      this.#cut = 0;
      chunk.start += length;
      this.moved++;
    }
    return FRAGMENT_HEADER_BYTES + part;
  }

  #drop() {
    const chunk = /** @type {Chunk} */ (this.#chunks.shift());
    if (chunk.bytes.length !== CHUNK_BYTES) return;
    chunk.start = 0;
    chunk.end = 0;
    this.#spare = chunk;
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {number} end
 * @returns {Chunk}
 */
function chunkOf(bytes, end) {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), start: 0, end };
}

module.exports.Spill = Spill;
module.exports.CHUNK_BYTES = CHUNK_BYTES;
module.exports.WHOLE_PART_LOG2 = WHOLE_PART_LOG2;
