'use strict';

/**
 * The consuming end of a lane: hands out one record after the other, from the ring and the overflow in the order
 * in which they were sent. Lengths and positions come from memory that the peer can write, and are checked.
 */

const { Decoder, CORRUPT } = require('./decoder');
const { makeError } = require('../core/errors');
const { HEAD, TAIL, OVERFLOWED, TAKEN, CLOSED, HEADER_BYTES, Kind } = require('./layout');
const { memoryOf } = require('./memory');

/** @typedef {import('./memory').Memory} Memory */

class LaneReceiver {
  #end;
  #memory;
  #words;
  #ringOffset;
  #capacity;
  #decoder;
  /** Position in the ring, and what of it the producer has been told. */
  #tail = 0;
  #released = 0;
  #overflowing = false;
  /** A chunk of the overflow. @type {Memory | null} */
  #chunk = null;
  #chunkAt = 0;
  #chunkEnd = 0;
  /** Where chunks are copied to that are not too large. @type {Memory | undefined} */
  #usual;
  #taken = 0;
  #isClosed = false;

  /** What `next()` found: one of `Kind`, and the value of a VALUE. */
  kind = 0;
  /** @type {any} */
  value = undefined;

  /** @param {import('../native/index').LaneReceiver} end */
  constructor(end) {
    const arrayBuffer = /** @type {ArrayBuffer} */ (end.memory());
    this.#end = end;
    this.#memory = memoryOf(arrayBuffer);
    this.#words = new Int32Array(arrayBuffer, 0, CLOSED + 1);
    this.#ringOffset = end.ringOffset;
    this.#capacity = end.capacity;
    this.#decoder = new Decoder(this.#memory);
  }

  /**
   * Calls `drain` from the event loop when there is something, once resumed.
   * @param {() => void} drain
   */
  listen(drain) {
    this.#end.listen(drain);
  }

  pause() {
    if (!this.#isClosed) this.#end.pause();
  }

  resume() {
    if (!this.#isClosed) this.#end.resume();
  }

  /** Stops reading for good; the producer drops what it has. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.value = undefined;
    this.#chunk = null;
    this.#end.close();
  }

  /**
   * Reads the next record into `kind` and `value`. False when there is none.
   * @returns {boolean}
   * @throws ERR_MANYCORE_LINK_CORRUPT; nothing can be read from this lane any more then
   */
  next() {
    if (this.#isClosed) return false;
    try {
      for (;;) {
        if (!(this.#overflowing ? this.#nextInOverflow() : this.#nextInRing())) return false;
        if (this.kind === Kind.OVERFLOW) this.#overflowing = true;
        else if (this.kind === Kind.RETURN) this.#overflowing = false;
        else if (this.kind !== Kind.SKIP) return true;
      }
    } catch (error) {
      this.close();
      throw error === CORRUPT ? makeError('ERR_MANYCORE_LINK_CORRUPT', [], this.next) : error;
    }
  }

  /** Tells the producer what has been consumed. To be called after the last `next()` of a turn. */
  release() {
    if (this.#isClosed || this.#released === this.#tail) return;
    this.#released = this.#tail;
    Atomics.store(this.#words, TAIL, this.#tail);
  }

  #nextInRing() {
    const available = (Atomics.load(this.#words, HEAD) - this.#tail) | 0;
    if (available === 0) return false;
    if (available < 0 || available > this.#capacity) throw CORRUPT;
    const start = this.#ringOffset + (this.#tail & (this.#capacity - 1));
    const length = this.#read(this.#memory, start, available);
    this.#tail = (this.#tail + length) | 0;
    // Room as early as possible, but not a store for each record.
    if (((this.#tail - this.#released) | 0) > this.#capacity >> 2) this.release();
    return true;
  }

  #nextInOverflow() {
    if (this.#chunk === null) {
      // The way into the overflow has been consumed: the producer may come back to the ring.
      this.release();
      if (!this.#takeChunk()) return false;
    }
    const chunk = /** @type {Memory} */ (this.#chunk);
    const available = this.#chunkEnd - this.#chunkAt;
    const length = this.#read(chunk, this.#chunkAt, available);
    this.#chunkAt += length;
    if (this.#chunkAt === this.#chunkEnd) this.#chunk = null;
    this.#taken = (this.#taken + 1) | 0;
    Atomics.store(this.#words, TAKEN, this.#taken);
    return true;
  }

  /** The next chunk of the overflow. False when there is none. */
  #takeChunk() {
    this.#usual ??= memoryOf(new ArrayBuffer(this.#end.overflowChunkBytes));
    const taken = this.#end.takeOverflow(this.#usual.bytes);
    if (taken === 0) return false;
    this.#chunkAt = 0;
    if (typeof taken === 'number') {
      this.#chunk = this.#usual;
      this.#chunkEnd = taken;
    } else {
      this.#chunk = memoryOf(/** @type {ArrayBuffer} */ (taken));
      this.#chunkEnd = this.#chunk.bytes.length;
    }
    return true;
  }

  /**
   * @param {Memory} memory
   * @param {number} start
   * @param {number} available bytes
   */
  #read(memory, start, available) {
    if (available < HEADER_BYTES) throw CORRUPT;
    // Read once: the peer could change it between two looks.
    const length = memory.view.getUint32(start, true);
    if (length < HEADER_BYTES || length > available || (length & 7) !== 0) throw CORRUPT;
    this.kind = memory.bytes[start + 4];
    const decoder = this.#decoder;
    if (decoder.memory !== memory) decoder.use(memory);
    if (this.kind === Kind.VALUE) this.value = decoder.decode(start, length);
    else if (this.kind === 0 || this.kind > Kind.SKIP) throw CORRUPT;
    else decoder.tables(start, length);
    return length;
  }

  /** Whether records are waiting. */
  get isPending() {
    const words = this.#words;
    return Atomics.load(words, HEAD) !== this.#tail || Atomics.load(words, OVERFLOWED) !== this.#taken;
  }
}

module.exports.LaneReceiver = LaneReceiver;
