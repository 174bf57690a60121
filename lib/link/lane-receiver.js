'use strict';

/**
 * Receiving end of a lane: reads records from the ring and the overflow in the order in which they were sent.
 * Lengths and positions come from memory that the peer can write to, and are validated.
 */

const { Buffer } = require('node:buffer');
const { Decoder, CORRUPT } = require('./decoder');
const { makeError } = require('../core/errors');
const { Gathering } = require('./gathering');
const {
  HEAD,
  READ,
  COPIED,
  COPY,
  COPY_AT,
  COPY_BYTES,
  NOT_COPIED,
  TAIL,
  ASLEEP,
  OVERFLOWED,
  TAKEN,
  WAITING,
  RETURNED,
  STORE_BLOCKS,
  HEADER_BYTES,
  CALL_HEADER_BYTES,
  FRAGMENT_HEADER_BYTES,
  MIN_FRAGMENT_BYTES,
  STORED_RECORD_BYTES,
  Kind,
} = require('./layout');
const { allocate } = require('./large-buffers');
const { Lending } = require('./lending');
const { NOWHERE, StoreMemory, loadAfterStore, memoryOf } = require('./memory');
const { LARGE_LENGTH } = require('./tags');

/**
 * Initial allocation for a fragmented record; it grows as fragments arrive. This is address space, which is
 * committed only as it is written.
 */
const ASSEMBLY_BYTES = 72 * 1024 * 1024;
/** At most this much, and a quarter of the ring, is consumed before the producer is told. */
const UNRELEASED_BYTES = 128 * 1024;
/** Shorter records are not counted in `bulk`. */
const BULK_BYTES = 4096;
/** A drain that has read more `bulk` than this returns, as others wait for the event loop. */
const MOST_BULK = 1024 * 1024;
/** Number of checks per glance. From JavaScript, one costs about 10 ns; a native call costs five times as much. */
const LOOKS_OF_GLANCE = 256;
/** Another process sends a record without content only before one that has some. */
const MOST_EMPTY_RECORDS = 16;
/** Maximum length of a record, including its header. */
const MAX_RECORD_BYTES = 0xfffffff8;

/** @typedef {import('./memory').Memory} Memory */

class LaneReceiver {
  #end;
  #memory;
  /** @type {Int32Array} */
  #words;
  #ringOffset;
  #capacity;
  #unreleased;
  #decoder;
  /** Position in the ring, and the position last published to the producer. */
  #tail = 0;
  #released = 0;
  /** Position up to which records are known to be published. */
  #seen = 0;
  #gathering = new Gathering();
  #overflowing = false;
  /** The current chunk of the overflow. @type {Memory | null} */
  #chunk = null;
  #chunkAt = 0;
  #chunkEnd = 0;
  /** Reusable buffer for chunks of ordinary size. @type {Memory | undefined} */
  #usual;
  #taken = 0;
  #isClosed = false;
  /** Remaining number of glances before the drain must return. */
  #glances = 0;
  /** @type {(() => void)[]} */
  #forgetSpinners = [];
  /** Whether the producer is another process. */
  #isForeign;
  /** A fragmented record, and the number of bytes received of it. @type {Uint8Array | null} */
  #assembly = null;
  #assembled = 0;
  #hasViews = false;
  #lending;
  #mayBeCopied = false;
  #storeBytes;
  #storeMemory;
  /** Offset in the store of the record that is being decoded; -1 if it is not there. */
  #storedAt = -1;
  /** Total length of the buffers of the store in the current record. */
  #storedBytes = 0;
  /** Blocks of the store that listeners see in place. @type {number[]} */
  #viewed = [];
  /**
   * Whether large buffers are lent instead of copied. Lent buffers are detached when they are taken back; the
   * caller must call `endViews()` after each record.
   */
  lendsLarge = false;

  /** Bytes of large records and buffers read since a drain last set this to 0: reading them takes time. */
  bulk = 0;

  /** Result of `next()`: one of `Kind`, and the value of a VALUE or CALL. */
  kind = 0;
  /** @type {any} */
  value = undefined;
  /** Kind and id of a CALL. */
  callKind = 0;
  callId = 0;

  /** @param {import('../native/index').LaneReceiver} end */
  constructor(end) {
    const { buffer, ringOffset, capacity, storeBytes } = end.memory();
    this.#storeBytes = storeBytes;
    this.#storeMemory = new StoreMemory(end);
    this.#end = end;
    this.#memory = memoryOf(buffer);
    this.#words = new Int32Array(buffer, 0, RETURNED + STORE_BLOCKS);
    this.#isForeign = end.isForeign;
    this.#ringOffset = ringOffset;
    this.#capacity = capacity;
    this.#unreleased = Math.min(capacity >> 2, UNRELEASED_BYTES);
    this.#decoder = new Decoder(this.#memory);
    this.#lending = new Lending(end);
    this.#decoder.takeLarge = (number) => this.#takeLarge(number);
    this.#decoder.takeStored = (block, at, length) => this.#takeStored(block, at, length);
    this.#decoder.takeBytes = (start, length) => this.#takeBytes(start, length);
  }

  /**
   * Calls `drain` from the event loop when there are records, once resumed.
   * @param {() => void} drain
   */
  listen(drain) {
    this.#end.listen((/** @type {number} */ glances) => {
      this.#glances = glances;
      drain();
    });
  }

  /** Spins briefly before the drain returns, if records arrive in quick succession. Returns true if there is one. */
  glance() {
    if (this.#isClosed) return false;
    this.release();
    if (this.#glances === 0) return false;
    this.#glances--;
    return this.#glance();
  }

  /** Spins for about 3 us, as long as the other side needs for a reply. */
  #glance() {
    const words = this.#words;
    const at = this.#overflowing ? OVERFLOWED : HEAD;
    const known = this.#overflowing ? this.#taken : this.#tail;
    for (let looks = LOOKS_OF_GLANCE; looks > 0; looks--) if (Atomics.load(words, at) !== known) return true;
    return false;
  }

  pause() {
    if (!this.#isClosed) this.#end.pause();
  }

  resume() {
    if (!this.#isClosed) this.#end.resume();
  }

  /**
   * Calls `callback` from the event loop, paused or not, when there may be room in the lane of the other direction,
   * while `watchRoom` is on.
   * @param {() => void} callback
   */
  onRoom(callback) {
    this.#end.onRoom(callback);
  }

  /** @param {boolean} on whether to watch for room */
  watchRoom(on) {
    if (!this.#isClosed) this.#end.watchRoom(on);
  }

  /**
   * Sets whether listening keeps the event loop alive. Off by default.
   * @param {boolean} on
   */
  setRef(on) {
    if (!this.#isClosed) this.#end.setRef(on);
  }

  /**
   * Returns a function that spins for a record, at most for `limitUs`, and returns whether there is one.
   * @param {number} limitUs
   * @returns {() => boolean}
   */
  spinner(limitUs) {
    let spin = this.#end.spinner(limitUs);
    this.#forgetSpinners.push(() => (spin = seesNothing));
    let isShared = false;
    return () => {
      // If the other side shares this processor, it cannot answer before native code yields.
      if (!isShared && this.#glance()) return true;
      const seen = spin();
      isShared = (seen & 2) !== 0;
      return (seen & 1) !== 0;
    };
  }

  /**
   * Blocks the thread until a record arrives, the other side rings, or the time is over; may return spuriously. The
   * thread cannot be terminated meanwhile.
   * @param {number} limitMs
   */
  park(limitMs) {
    if (!this.#isClosed) this.#end.park(limitMs);
  }

  /** Suppresses wake-ups by the producer, while the caller polls. */
  stayAwake() {
    if (!this.#isClosed) Atomics.store(this.#words, ASLEEP, 0);
  }

  /** Reverts `stayAwake`: the event loop is woken for what is there and for what arrives from now on. */
  allowSleep() {
    if (this.#isClosed) return;
    if (!this.#end.allowSleep()) this.#end.resume();
  }

  /** Stops reading for good; the producer then drops its records. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#end.close();
    this.value = undefined;
    this.#chunk = null;
    this.#usual = undefined;
    this.#assembly = null;
    this.#memory = NOWHERE;
    this.#storeMemory.close();
    this.#words = NOWHERE.words;
    this.#decoder.use(NOWHERE);
    for (const forget of this.#forgetSpinners.splice(0)) forget();
  }

  /**
   * Reads the next record into `kind` and `value`. Returns false if there is none.
   * @returns {boolean}
   * @throws ERR_MANYCORE_LINK_CORRUPT; the lane has then been closed
   */
  next() {
    if (this.#isClosed) return false;
    let empty = 0;
    try {
      for (;;) {
        if (!(this.#overflowing ? this.#nextInOverflow() : this.#nextInRing())) return false;
        if (this.kind === Kind.OVERFLOW) this.#overflowing = true;
        else if (this.kind === Kind.RETURN) this.#overflowing = false;
        else if (this.kind === Kind.FRAGMENT) {
          if (this.#assembly === null) return true;
        } else if (this.kind !== Kind.SKIP) return true;
        else if (++empty > MOST_EMPTY_RECORDS && this.#isForeign) throw CORRUPT;
      }
    } catch (error) {
      this.close();
      throw error === CORRUPT ? makeError('ERR_MANYCORE_LINK_CORRUPT', [], this.next) : error;
    }
  }

  /** Publishes the position to the producer. Must be called after the last `next()` of a drain. */
  release() {
    // Between processes, lent buffers are in the ring.
    if (this.#isClosed || this.#released === this.#tail || this.#hasViews) return;
    this.#released = this.#tail;
    Atomics.store(this.#words, TAIL, this.#tail);
    this.#tellOfRoom();
  }

  /** Wakes a producer that waits for room. Must follow the store that makes the room visible. */
  #tellOfRoom() {
    if (loadAfterStore(this.#words, WAITING) === 1) this.#end.giveRoom();
  }

  /**
   * Checks that a wake-up which found no records was justified: invalid control words could otherwise cause endless
   * wake-ups.
   * @throws ERR_MANYCORE_LINK_CORRUPT
   */
  verify() {
    if (this.#isClosed || !this.#isForeign) return;
    const words = this.#words;
    const isSound =
      Atomics.load(words, TAIL) === this.#released &&
      Atomics.load(words, OVERFLOWED) === 0 &&
      Atomics.load(words, TAKEN) === 0;
    if (isSound) return;
    this.close();
    throw makeError('ERR_MANYCORE_LINK_CORRUPT', [], this.verify);
  }

  #nextInRing() {
    if (this.#seen === this.#tail && !this.#look()) return false;
    const available = (this.#seen - this.#tail) | 0;
    const start = this.#isCopied(available)
      ? COPY_AT
      : this.#ringOffset + (this.#tail & (this.#capacity - 1));
    const length = this.#read(this.#memory, start, available);
    this.#tail = (this.#tail + length) | 0;
    this.#gathering.read(length);
    if (length >= BULK_BYTES) this.bulk += length;
    this.#releaseMuch();
    return true;
  }

  /**
   * Whether the line of the position has a copy of the next record, which is then the only one available. The
   * producer does not overwrite it before this side has said that it has read it.
   * @param {number} available number of bytes available
   */
  #isCopied(available) {
    // In this order: a producer that is at work keeps the line of these words.
    if (!this.#mayBeCopied || available > COPY_BYTES) return false;
    const words = this.#words;
    return words[COPIED] === this.#seen && words[COPY] === available;
  }

  /** From now on, reads copies of records where the producer makes them, see `LaneSender.copyFor`. */
  expectCopies() {
    this.#mayBeCopied = !this.#isForeign;
  }

  /** Position up to which records have been read. */
  get position() {
    return this.#tail;
  }

  /** Position up to which the peer had read the other direction when it last sent. No position once closed. */
  get peerPosition() {
    return this.#isClosed ? NOT_COPIED : this.#words[READ];
  }

  /** Makes room as early as possible, but without a store per record. */
  #releaseMuch() {
    if (((this.#tail - this.#released) | 0) > this.#unreleased) this.release();
  }

  /** Checks whether the producer has published more. Loaded once for everything available, not for each record. */
  #look() {
    const gathering = this.#gathering;
    gathering.pause();
    const seen = Atomics.load(this.#words, HEAD);
    const available = (seen - this.#tail) | 0;
    gathering.found(available);
    if (available === 0) return false;
    if (available < 0 || available > this.#capacity) throw CORRUPT;
    this.#seen = seen;
    return true;
  }

  #nextInOverflow() {
    if (this.#chunk === null) {
      // The record that redirects to the overflow has been consumed: the producer may return to the ring.
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
    // The chunk has been removed from the overflow when it was taken.
    if (this.#chunk === null) this.#tellOfRoom();
    return true;
  }

  /** Takes the next chunk of the overflow. Returns false if there is none. */
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
   * @param {number} available number of bytes available
   */
  #read(memory, start, available) {
    if (available < HEADER_BYTES) throw CORRUPT;
    // Read once: the peer could change it between two reads.
    const length = memory.words[start >> 2];
    if (length < HEADER_BYTES || length > available || (length & 7) !== 0) throw CORRUPT;
    this.kind = memory.bytes[start + 4];
    const decoder = this.#decoder;
    if (decoder.memory !== memory) decoder.use(memory);
    if (this.#storedBytes !== 0) this.#storedBytes = 0;
    if (this.kind === Kind.VALUE) this.value = decoder.decode(start, length);
    else if (this.kind === Kind.CALL) this.#readCall(memory, start, length);
    else if (this.kind === 0 || this.kind > Kind.STORED || this.#storedAt >= 0) throw CORRUPT;
    else if (this.kind === Kind.STORED) this.#readStored(memory, start, length);
    else if (this.kind === Kind.FRAGMENT) this.#assemble(memory, start, length);
    else if (this.#isForeign && isOfOverflow(this.kind)) throw CORRUPT;
    else decoder.tables(start, length);
    return length;
  }

  /**
   * @param {Memory} memory
   * @param {number} start
   * @param {number} length
   */
  #readCall(memory, start, length) {
    if (length < CALL_HEADER_BYTES) throw CORRUPT;
    const at = start >> 2;
    this.callKind = memory.words[at + 1] >>> 16;
    this.callId = memory.words[at + 3];
    this.value = this.#decoder.decode(start, length, CALL_HEADER_BYTES);
  }

  /**
   * Reads a record in the store.
   * @param {Memory} memory
   * @param {number} start
   * @param {number} length
   */
  #readStored(memory, start, length) {
    if (length < STORED_RECORD_BYTES) throw CORRUPT;
    const at = start >> 2;
    const number = memory.words[at + 3] >>> 0;
    const place = memory.words[at + 4] >>> 0;
    const total = memory.words[at + 5] >>> 0;
    if (!this.#isInStore(number, place, total)) throw CORRUPT;
    this.bulk += total;
    const stored = this.#storeMemory.upTo(place + total);
    this.#storedAt = place;
    try {
      if (this.#read(stored, place, total) !== total) throw CORRUPT;
    } finally {
      this.#storedAt = -1;
    }
    // Listeners may see a part of it in place.
    if (this.#hasViews) this.#viewed.push(number);
    else Atomics.store(this.#words, RETURNED + number, 1);
  }

  /**
   * @param {number} block number of a block of the store
   * @param {number} at
   * @param {number} length
   */
  #isInStore(block, at, length) {
    // What is there must be aligned for typed arrays over it.
    return block < STORE_BLOCKS && length > 0 && at + length <= this.#storeBytes && (at & 7) === 0;
  }

  /**
   * Appends a fragment of a record; with the last one, the record is read.
   * @param {Memory} memory
   * @param {number} start
   * @param {number} length
   */
  #assemble(memory, start, length) {
    if (length < FRAGMENT_HEADER_BYTES) throw CORRUPT;
    const total = memory.view.getUint32(start + 8, true);
    const part = memory.bytes.subarray(start + FRAGMENT_HEADER_BYTES, start + length);
    const assembled = this.#assembled + part.length;
    if (assembled > total || total > MAX_RECORD_BYTES) throw CORRUPT;
    // Otherwise, a peer could send fragments that never make a record.
    if (part.length < MIN_FRAGMENT_BYTES && assembled < total) throw CORRUPT;
    let assembly = this.#assembly ?? allocate(Math.min(total, ASSEMBLY_BYTES));
    if (assembly.length < assembled) {
      const larger = allocate(Math.min(total, Math.max(assembled, assembly.length * 2)));
      larger.set(assembly.subarray(0, this.#assembled));
      assembly = larger;
    }
    assembly.set(part, this.#assembled);
    this.#assembly = assembly;
    this.#assembled = assembled;
    if (assembled < total) return;
    this.#assembly = null;
    this.#assembled = 0;
    const whole = memoryOf(/** @type {ArrayBuffer} */ (assembly.buffer));
    if (this.#read(whole, 0, total) !== total || this.kind === Kind.FRAGMENT) throw CORRUPT;
    // Releases the assembled memory from the decoder.
    this.#decoder.use(this.#memory);
  }

  /**
   * @param {number} number
   * @returns {ArrayBuffer | undefined}
   */
  #takeLarge(number) {
    if (!this.lendsLarge) {
      const buffer = this.#lending.take(number);
      if (buffer !== undefined) this.bulk += buffer.byteLength;
      return buffer;
    }
    this.#hasViews = true;
    return /** @type {ArrayBuffer | undefined} */ (this.#end.viewPayload(number) ?? undefined);
  }

  /**
   * @param {number} start offset of large data in the decoder's memory
   * @param {number} length
   */
  #takeBytes(start, length) {
    const { memory } = this.#decoder;
    const isInStore = this.#storedAt >= 0;
    const isInRing = memory === this.#memory;
    if (this.lendsLarge && length >= LARGE_LENGTH && (isInRing || isInStore)) {
      // The sender pads large data, as typed arrays over it must be aligned.
      if ((start & 7) !== 0) throw CORRUPT;
      this.#hasViews = true;
      return Buffer.from(isInStore ? this.#end.viewStore(start, length) : this.#end.viewRing(start, length));
    }
    const bytes = allocate(length);
    if (isInStore) this.#end.copyFromStore(start, bytes);
    else if (isInRing) this.#end.copyFromRing(start, bytes);
    else bytes.set(memory.bytes.subarray(start, start + length));
    return bytes;
  }

  /**
   * @param {number} block number of a block of the store
   * @param {number} at
   * @param {number} length
   * @returns {ArrayBuffer | undefined} undefined if there is no such block
   */
  #takeStored(block, at, length) {
    if (!this.#isInStore(block, at, length)) return undefined;
    // A record passes each block once, so it cannot pass more than there is.
    this.#storedBytes += length;
    if (this.#storedBytes > this.#storeBytes) return undefined;
    if (this.lendsLarge) {
      this.#hasViews = true;
      this.#viewed.push(block);
      return this.#end.viewStore(at, length);
    }
    this.bulk += length;
    const bytes = allocate(length);
    this.#end.copyFromStore(at, bytes);
    Atomics.store(this.#words, RETURNED + block, 1);
    return /** @type {ArrayBuffer} */ (bytes.buffer);
  }

  /** Detaches the buffers lent with the last record. */
  endViews() {
    if (!this.#hasViews) return;
    this.#hasViews = false;
    this.#end.endViews();
    const viewed = this.#viewed.splice(0);
    if (this.#isClosed) return;
    for (const block of viewed) Atomics.store(this.#words, RETURNED + block, 1);
    this.#releaseMuch();
  }

  /**
   * Sets the trade-off between latency and CPU time: 0 frugal, 1 balanced, 2 low; any other value uses the
   * process's setting.
   */
  setLatency(/** @type {number} */ level) {
    if (!this.#isClosed) this.#end.setLatency(level);
  }

  /** Whether records are waiting. */
  get isPending() {
    if (this.#isClosed) return false;
    const words = this.#words;
    return Atomics.load(words, HEAD) !== this.#tail || Atomics.load(words, OVERFLOWED) !== this.#taken;
  }
}

/** Replaces the native function once the lane is closed. */
function seesNothing() {
  return 0;
}

/** Whether records of this kind only occur in a lane with an overflow. @param {number} kind */
function isOfOverflow(kind) {
  return kind === Kind.OVERFLOW || kind === Kind.RETURN;
}

module.exports.LaneReceiver = LaneReceiver;
module.exports.MOST_BULK = MOST_BULK;
