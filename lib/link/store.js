'use strict';

/**
 * The producer's view of a lane's store. Its blocks are buffers that a program fills in place, and that are passed to the
 * consumer instead of being copied, or records that are too large for the ring. Which blocks are in use is known here
 * alone; the consumer only sets a word for each block that it returns (`control.rs`).
 */

// Not the globals, which the program or its tests may have replaced, for example with fake timers.
const { clearTimeout } = require('node:timers');
const intrinsics = require('./intrinsics');
const { RETURNED, STORE_BLOCKS } = require('./layout');
const { NOWHERE, StoreMemory } = require('./memory');
const { startQuietTimer } = require('./quiet-timer');

/** Blocks start at multiples of this, which is a multiple of every page size. */
const STEP_BYTES = 64 * 1024;
/** Records leave a quarter of the blocks to buffers. */
const MOST_RECORDS = STORE_BLOCKS - STORE_BLOCKS / 4;

/**
 * @typedef {object} Block
 * @property {number} at offset in the store
 * @property {number} end
 * @property {number} number
 * @property {number} turn distinguishes successive blocks of the same number
 * @property {boolean} isPassing whether it is part of a record that is being encoded
 * @property {boolean} isPassed
 * @property {boolean} isDetached whether the program cannot access it; otherwise its finalizer tells
 * @property {number} recordBytes room for a record, or its length, if it has one
 */

class Store {
  #end;
  #words;
  #bytes;
  /** See `goneWords` of the native class. */
  #gone;
  /** Blocks in use, by offset. @type {Block[]} */
  #blocks = [];
  /** Whether each number is in use. */
  #numbers = new Uint8Array(STORE_BLOCKS);
  #turn = 0;
  /** @type {WeakMap<ArrayBuffer, Block>} */
  #byBuffer = new WeakMap();
  /** End of the memory that may have been written since it was last returned. */
  #written = 0;
  /** Whether blocks have been freed since memory was last returned. */
  #hasFreed = false;
  #hasTraffic = false;
  #memory;
  /** Number of bytes of the store that this end has mapped. */
  #mapped = 0;
  /** Total of the blocks' `recordBytes`. */
  #recordBytes = 0;
  /** @type {NodeJS.Timeout | null} */
  #timer = null;

  /**
   * @param {import('../native/index').LaneSender} end
   * @param {Int32Array} words control words of the lane
   * @param {number} bytes size of the store
   */
  constructor(end, words, bytes) {
    this.#end = end;
    this.#words = words;
    this.#bytes = bytes;
    this.#gone = new Int32Array(end.goneWords());
    this.#memory = new StoreMemory(end);
  }

  /**
   * Allocates a buffer, which is not zero-filled. Returns undefined if there is no room.
   * @param {number} length
   * @returns {ArrayBuffer | undefined}
   */
  allocate(length) {
    this.#sweep();
    const number = this.#numbers.indexOf(0);
    const place = this.#findGap(length);
    if (number < 0 || place < 0 || !this.#map(this.#endBefore(place) + length)) return undefined;
    const turn = (this.#turn = (this.#turn + 1) | 0);
    const buffer = this.#end.openBlock(this.#endBefore(place), length, number, turn >>> 0);
    this.#byBuffer.set(buffer, this.#insert(place, number, length, turn, false));
    return buffer;
  }

  /**
   * Returns the index of the lowest gap between the blocks that has room for `length` bytes, as memory that was used
   * recently is still in the processor's caches; -1 if there is none.
   * @param {number} length
   */
  #findGap(length) {
    const size = inSteps(length);
    for (let place = 0; place <= this.#blocks.length; place++) {
      if (this.#startAfter(place) - this.#endBefore(place) >= size) return place;
    }
    return -1;
  }

  /** Start of a gap. @param {number} place */
  #endBefore(place) {
    return place === 0 ? 0 : this.#blocks[place - 1].end;
  }

  /** End of a gap. @param {number} place */
  #startAfter(place) {
    return place < this.#blocks.length ? this.#blocks[place].at : this.#bytes;
  }

  /**
   * Takes the start of a gap for a block.
   * @param {number} place
   * @param {number} number
   * @param {number} length
   * @param {number} turn
   * @param {boolean} isRecord
   */
  #insert(place, number, length, turn, isRecord) {
    const at = this.#endBefore(place);
    /** @type {Block} */
    const block = {
      at,
      end: at + inSteps(length),
      number,
      turn,
      isPassing: isRecord,
      isPassed: false,
      isDetached: isRecord,
      recordBytes: 0,
    };
    this.#blocks.splice(place, 0, block);
    this.#numbers[number] = 1;
    this.#written = Math.max(this.#written, block.end);
    this.#arm();
    return block;
  }

  /**
   * Opens a block in which a record is written, with room for it to grow if possible. Returns undefined if there is no
   * room.
   * @param {number} length
   * @returns {Block | undefined}
   */
  openRecord(length) {
    this.#sweep();
    const number = this.#numbers.indexOf(0);
    const place = this.#findGap(length);
    if (number < 0 || place < 0 || !this.#mayHold(length, this.#recordBytes)) return undefined;
    if (this.#countRecords() >= MOST_RECORDS) return undefined;
    const at = this.#endBefore(place);
    const room = Math.min(this.#startAfter(place) - at, inSteps(length * 2));
    if (!this.#map(at + room)) return undefined;
    const block = this.#insert(place, number, room, 0, true);
    this.#resize(block, room);
    return block;
  }

  /**
   * Makes room for a longer record in its block. Returns whether that was possible.
   * @param {Block} block
   * @param {number} length
   */
  extendRecord(block, length) {
    const gap = this.#startAfter(this.#blocks.indexOf(block) + 1) - block.at;
    if (gap < length || !this.#mayHold(length, this.#recordBytes - block.recordBytes)) return false;
    const room = Math.min(gap, inSteps(length * 2));
    if (!this.#map(block.at + room)) return false;
    this.#resize(block, room);
    return true;
  }

  /**
   * Maps the store up to `end`. Returns false if that is not possible.
   * @param {number} end
   */
  #map(end) {
    if (end > this.#mapped && this.#end.mapStore(end)) this.#mapped = end;
    return end <= this.#mapped;
  }

  /**
   * Whether there may be a record of this length: together they leave a quarter of the store to buffers.
   * @param {number} length
   * @param {number} others total length of the other records
   */
  #mayHold(length, others) {
    return others === 0 || others + length <= this.#bytes - (this.#bytes >> 2);
  }

  #countRecords() {
    let count = 0;
    for (const { recordBytes } of this.#blocks) if (recordBytes > 0) count++;
    return count;
  }

  /**
   * @param {Block} block
   * @param {number} length of the record
   */
  #resize(block, length) {
    this.#recordBytes += length - block.recordBytes;
    block.recordBytes = length;
    block.end = block.at + inSteps(length);
    this.#written = Math.max(this.#written, block.end);
  }

  /** The memory in which the record of a block is written. @param {Block} block */
  memoryOf(block) {
    return this.#memory.upTo(block.end);
  }

  /**
   * Passes a record to the consumer. To be called before what refers to it is published.
   * @param {Block} block
   * @param {number} length
   */
  passRecord(block, length) {
    this.#resize(block, length);
    Atomics.store(this.#words, RETURNED + block.number, 0);
    block.isPassed = true;
    block.isPassing = false;
    this.#arm();
  }

  /** Frees the block of a record that is not passed. @param {Block} block */
  dropRecord(block) {
    block.isPassing = false;
  }

  /** Bytes of records that have been passed and not been returned yet. */
  get recordBytes() {
    if (this.#recordBytes > 0) this.#sweep();
    return this.#recordBytes;
  }

  /** Whether a buffer has a block that has not been passed. @param {ArrayBuffer} buffer */
  has(buffer) {
    const block = this.#byBuffer.get(buffer);
    return block !== undefined && !block.isPassed;
  }

  /**
   * Returns the block of a buffer that is about to become part of a record; undefined if it has none, or if it is part
   * of one already.
   * @param {ArrayBuffer} buffer
   */
  take(buffer) {
    const block = this.#byBuffer.get(buffer);
    if (block === undefined || block.isPassed || block.isPassing) return undefined;
    block.isPassing = true;
    return block;
  }

  /**
   * Passes blocks to the consumer: their buffers are detached. To be called before their record is published.
   * @param {{ block: Block, buffer: ArrayBuffer }[]} stored
   */
  pass(stored) {
    for (const { block, buffer } of stored) {
      Atomics.store(this.#words, RETURNED + block.number, 0);
      // A getter of the record may have moved the memory to another ArrayBuffer, which keeps its finalizer.
      block.isDetached = intrinsics.bufferByteLength(buffer) !== 0 && this.#end.detach(buffer);
      block.isPassed = true;
      block.isPassing = false;
    }
    this.#arm();
  }

  /** Stops the timer and releases the memory of the lane. Buffers that are passed afterwards are only detached. */
  close() {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#bytes = 0;
    this.#words = NOWHERE.words;
    this.#memory.close();
  }

  /** Frees the blocks that neither side uses any more. */
  #sweep() {
    const blocks = this.#blocks;
    let kept = 0;
    for (let i = 0; i < blocks.length; i++) {
      const block = blocks[i];
      if (this.#isFree(block)) {
        this.#numbers[block.number] = 0;
        this.#recordBytes -= block.recordBytes;
      } else {
        blocks[kept++] = block;
      }
    }
    if (kept < blocks.length) this.#hasFreed = true;
    blocks.length = kept;
  }

  /** @param {Block} block */
  #isFree({ number, turn, isPassing, isPassed, isDetached }) {
    if (isPassing) return false;
    if (isPassed && Atomics.load(this.#words, RETURNED + number) !== 1) return false;
    return isDetached || this.#gone[number] === turn;
  }

  #arm() {
    this.#hasTraffic = true;
    if (this.#timer === null && this.#bytes > 0) this.#timer = startQuietTimer(this.#look);
  }

  #look = () => {
    this.#timer = null;
    this.#sweep();
    const isQuiet = !this.#hasTraffic && !this.#blocks.some(({ isPassed }) => isPassed);
    if (isQuiet && this.#hasFreed) this.#giveBack();
    // Nothing else tells that a buffer which was never posted has been collected.
    if (!isQuiet || this.#blocks.length > 0) this.#timer = startQuietTimer(this.#look);
    this.#hasTraffic = false;
  };

  /** Returns the memory between the blocks to the system, if that allows it. */
  #giveBack() {
    this.#hasFreed = false;
    let from = 0;
    for (const { at, end } of this.#blocks) {
      if (at > from) this.#discard(from, at);
      from = end;
    }
    if (this.#written > from) this.#discard(from, this.#written);
    this.#written = from;
  }

  /**
   * @param {number} from
   * @param {number} to
   */
  #discard(from, to) {
    try {
      this.#end.discardInStore(from, to - from);
    } catch {
      // Some sandboxes refuse the system call: the memory stays committed until it is used again or the link ends.
    }
  }
}

/** @param {number} length */
function inSteps(length) {
  return Math.ceil(length / STEP_BYTES) * STEP_BYTES;
}

module.exports.Store = Store;
