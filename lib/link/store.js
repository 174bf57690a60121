'use strict';

/**
 * Buffers in the memory of a link: the producer's view of a lane's store. A program fills such a buffer in place, and
 * posting it passes its block to the consumer instead of copying it. Which blocks are in use is known here alone; the
 * consumer only sets a word for each block that it returns (`control.rs`).
 */

// Not the globals, which the program or its tests may have replaced, for example with fake timers.
const { clearTimeout } = require('node:timers');
const intrinsics = require('./intrinsics');
const { RETURNED, STORE_BLOCKS } = require('./layout');
const { NOWHERE } = require('./memory');
const { startQuietTimer } = require('./quiet-timer');

/** Blocks start at multiples of this, which is a multiple of every page size. */
const STEP_BYTES = 64 * 1024;

/**
 * @typedef {object} Block
 * @property {number} at offset in the store
 * @property {number} end
 * @property {number} number
 * @property {number} turn distinguishes successive blocks of the same number
 * @property {boolean} isPassing whether it is part of a record that is being encoded
 * @property {boolean} isPassed
 * @property {boolean} isDetached whether this side can no longer access it; otherwise its finalizer tells
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
  }

  /**
   * Allocates a buffer, which is not zero-filled. Returns undefined if there is no room.
   * @param {number} length
   * @returns {ArrayBuffer | undefined}
   */
  allocate(length) {
    this.#sweep();
    const size = Math.ceil(length / STEP_BYTES) * STEP_BYTES;
    const number = this.#numbers.indexOf(0);
    if (number < 0) return undefined;
    // The lowest gap: memory that was used recently is still in the processor's caches.
    let at = 0;
    let place = 0;
    for (; place < this.#blocks.length && this.#blocks[place].at - at < size; place++) {
      at = this.#blocks[place].end;
    }
    const end = at + size;
    if (end > this.#bytes) return undefined;
    const turn = (this.#turn = (this.#turn + 1) | 0);
    const buffer = this.#end.openBlock(at, length, number, turn >>> 0);
    /** @type {Block} */
    const block = { at, end, number, turn, isPassing: false, isPassed: false, isDetached: false };
    this.#blocks.splice(place, 0, block);
    this.#numbers[number] = 1;
    this.#byBuffer.set(buffer, block);
    this.#written = Math.max(this.#written, end);
    this.#arm();
    return buffer;
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
  }

  /** Frees the blocks that neither side uses any more. */
  #sweep() {
    const blocks = this.#blocks;
    let kept = 0;
    for (let i = 0; i < blocks.length; i++) {
      const block = blocks[i];
      if (this.#isFree(block)) this.#numbers[block.number] = 0;
      else blocks[kept++] = block;
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

module.exports.Store = Store;
