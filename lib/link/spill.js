'use strict';

/**
 * Where a producer keeps records for which the ring has no room, when the consumer is another process: in its own
 * memory, in order, until the consumer has made room. Records that are large beside the ring are cut into fragments.
 */

const { Kind, FRAGMENT_HEADER_BYTES } = require('./layout');

/** @typedef {import('./memory').Memory} Memory */

const CHUNK_BYTES = 256 * 1024;
/** A record larger than this part of the ring does not wait until that much is free. */
const WHOLE_PART_LOG2 = 2;
/** So much is moved at a time, and no fragment is larger: the consumer reads it while the next part is written. */
const STEP_BYTES = 256 * 1024;
/** Smaller fragments are not worth their cost. */
const MIN_FRAGMENT_BYTES = 4096;

/**
 * @typedef {object} Chunk
 * @property {Uint8Array} bytes
 * @property {DataView} view
 * @property {number} start of the first record that has not been moved
 * @property {number} end of the last
 */

class Spill {
  /** @type {Chunk[]} */
  #chunks = [];
  /** A chunk for use again: fresh memory costs more than what is copied into it. @type {Chunk | null} */
  #spare = null;
  /** How much of the first record has been moved, when in fragments. */
  #cut = 0;

  /** Bytes that have not been moved. */
  bytes = 0;
  /** Records put here, and moved on, so far. */
  pushed = 0;
  moved = 0;

  get isEmpty() {
    return this.bytes === 0;
  }

  /**
   * Appends a record.
   * @param {Uint8Array} record of less than `CHUNK_BYTES`, unless it needs no copy
   * @param {boolean} isOurs whether it needs none
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
   * Moves what there is room for into the ring, but not much at a time. Returns how many bytes have been written
   * there; 0: there is no room, or nothing left.
   * @param {Memory} memory
   * @param {number} at
   * @param {number} room bytes from there on
   * @param {number} capacity of the ring
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
   * @param {number} length of its first record
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
