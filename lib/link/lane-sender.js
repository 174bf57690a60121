'use strict';

/**
 * Sending end of a lane. Records go into the ring; while it is full they go, in order, into the overflow, until the
 * consumer has caught up with the ring. Nothing blocks, and nothing is lost when this thread ends: both ring and
 * overflow outlive it.
 *
 * To another process there is no overflow that would outlive the producer: records wait in its spill, and `flush()`
 * moves them into the ring when there is room.
 */

const { Encoder } = require('./encoder');
const {
  HEAD,
  READ,
  COPIED,
  COPY,
  COPY_BYTES,
  NOT_COPIED,
  TAIL,
  ASLEEP,
  UNFENCED,
  CLOSED,
  RETURNED,
  STORE_BLOCKS,
  BARE_RECORD_BYTES,
  CALL_HEADER_BYTES,
  STORED_RECORD_BYTES,
  Kind,
} = require('./layout');
const { NOWHERE, loadAfterStore, loadInOrder, memoryOf } = require('./memory');
const { CHUNK_BYTES, WHOLE_PART_LOG2 } = require('./spill');
const { Store } = require('./store');
const { UNSUPPORTED } = require('./unsupported');

/** With less room than this, a record is not started in the ring. */
const MIN_ROOM_BYTES = 64;
/**
 * Beyond this offset, the sender returns to the start of the ring once the consumer has caught up: light traffic
 * then stays in cached memory, and the rest of a large ring is only used for bursts.
 */
const REWIND_BYTES = 128 * 1024;
/**
 * The same for the first return, which comes before V8 optimizes this code and the consumer's: a path that is first
 * taken afterwards makes it discard what it has compiled. A burst at that moment has little room until the consumer
 * has passed the skipped part, and is copied through the overflow once.
 */
const FIRST_REWIND_BYTES = 4 * 1024;
/**
 * The skipped part counts as used until the consumer has passed it, so the part before it must have room for this
 * many records of the length of the last one. With less, a burst of large records would go to the overflow, which
 * copies each of them once more.
 */
const REWIND_RECORDS = 32;
/**
 * Number of bytes sent between two checks whether the consumer has caught up. The consumer writes to the cache line
 * of its position, so a check per record would be a cache miss per record.
 */
const REWIND_STEP_BYTES = 2048;
/** Lengths of records are multiples of this. */
const RECORD_STEP_BYTES = 8;
/** Shorter records wait outside of the store for room in the ring. */
const LEAST_STORED_BYTES = 256 * 1024;

/**
 * @typedef {object} Opposite the receiver of the other direction
 * @property {number} position up to which it has read
 * @property {number} peerPosition up to which the peer had read when it last sent
 * @property {() => void} expectCopies
 */

class LaneSender {
  #end;
  #memory;
  /** @type {Int32Array} */
  #words;
  #ringOffset;
  #capacity;
  #head = 0;
  /** Last known position of the consumer. */
  #tail = 0;
  /** Position last published to the consumer. */
  #published = 0;
  /** Offset from which on the sender may return to the start of the ring. */
  #rewindFrom = FIRST_REWIND_BYTES;
  #rewindBytes = FIRST_REWIND_BYTES;
  /** Position from which on `#mayRewind` checks the consumer's position again. */
  #rewindLookAt = 0;
  /** Length of the part skipped last at the end of the ring, and the position behind it; 0 once it has been passed. */
  #skipped = 0;
  #skippedTo = 0;
  #overflowing = false;
  /** Whether the consumer's position has been found to be invalid. */
  #isMisled = false;
  /** Whether bytes may be waiting outside the ring. */
  #hasBeside = false;
  /** Whether this end is closed. */
  #isGone = false;
  #isEncoding = false;
  /** Whether publishing needs no barrier, see `control.rs`. */
  #isUnfenced;
  /** The receiver of the other direction, if records are copied, see `copyFor`. @type {Opposite | null} */
  #opposite = null;
  /** Whether the last record has been copied. */
  #isCopied = false;
  /** @type {Encoder[]} */
  #suspended = [];
  #encoder;
  /** @type {import('./spill').Spill | null} */
  #spill;
  /** @type {{ value: any } | null} */
  #substitute = null;
  #storeBytes;
  /** @type {Store | null} */
  #store = null;
  /** Records that become longer go into the store, if it has room. */
  #inRingBytes;

  /**
   * @param {import('../native/index').LaneSender} end
   * @param {Encoder} [encoder] how values are encoded
   * @param {import('./spill').Spill} [spill] where records wait for room; the overflow by default
   */
  constructor(end, encoder = new Encoder(), spill = undefined) {
    const { buffer, ringOffset, capacity, storeBytes } = end.memory();
    this.#end = end;
    this.#storeBytes = storeBytes;
    this.#memory = memoryOf(buffer);
    this.#words = new Int32Array(buffer, 0, RETURNED + STORE_BLOCKS);
    this.#isUnfenced = this.#words[UNFENCED] === 1;
    this.#ringOffset = ringOffset;
    this.#capacity = capacity;
    this.#encoder = encoder;
    this.#spill = spill ?? null;
    encoder.putLarge = (bytes) => {
      this.#hasBeside = true;
      return end.putLarge(bytes);
    };
    encoder.takeBackLarge = (number, bytes) => end.takeBackLarge(number, bytes);
    this.#inRingBytes = spill !== undefined && storeBytes > 0 ? capacity >> WHOLE_PART_LOG2 : capacity;
    encoder.findRoom = (writer, count) => this.#findRoom(writer, count);
  }

  /**
   * From now on, the line of the position also carries a copy of each short record that is sent when the consumer
   * has read all others: it then has both with one transfer of one line. The consumer says what it has read with
   * what it sends itself, so this is of use where one side's records answer those of the other.
   * @param {Opposite} opposite receiver of the other direction, whose sender does the same
   */
  copyFor(opposite) {
    // Without barriers, the copy is safe only where the processor reorders neither loads nor stores.
    if (!this.#isUnfenced) return;
    this.#opposite = opposite;
    opposite.expectCopies();
  }

  /**
   * Sends a value. Returns false if only the platform's own channel can carry it; nothing has been sent then, and
   * `substituteFor(value)` must be sent through that channel.
   * @param {any} value
   * @throws errors of the value's getters; nothing has been sent then
   */
  send(value) {
    const encoder = this.#enter();
    try {
      this.#begin(encoder);
      this.#hand(encoder, encoder.encode(value));
    } catch (error) {
      this.#leave();
      return this.#giveUp(encoder, error);
    }
    this.#leave();
    return true;
  }

  /**
   * Allocates a buffer in the memory of the lane, which `send` passes to the consumer instead of copying it; not
   * zero-filled. Returns undefined if there is no room.
   * @param {number} length in bytes
   * @returns {ArrayBuffer | undefined}
   */
  allocate(length) {
    if (this.#isGone || length > this.#storeBytes) return undefined;
    return this.#openStore().allocate(length);
  }

  #openStore() {
    if (this.#store === null) {
      this.#store = new Store(this.#end, this.#words, this.#storeBytes);
      // Also of records that are being encoded, if a getter allocates.
      for (const encoder of [this.#encoder, ...this.#suspended]) encoder.store = this.#store;
    }
    return this.#store;
  }

  /**
   * Sends the value of a request or reply. Otherwise like `send`.
   * @param {number} kind kind of the record, below 2^16
   * @param {number} id
   * @param {any} value
   */
  sendCall(kind, id, value) {
    const encoder = this.#enter();
    try {
      this.#begin(encoder);
      encoder.startValueAt(CALL_HEADER_BYTES);
      const length = encoder.encode(value, Kind.CALL);
      const at = encoder.start >> 2;
      encoder.words[at + 1] |= kind << 16;
      encoder.words[at + 3] = id;
      this.#hand(encoder, length);
    } catch (error) {
      this.#leave();
      return this.#giveUp(encoder, error);
    }
    this.#leave();
    return true;
  }

  /**
   * Abandons a record: nothing of the value has been sent.
   * @param {Encoder} encoder
   * @param {unknown} error
   * @returns {false} if only the platform's own channel can carry it
   */
  #giveUp(encoder, error) {
    if (this.#head !== this.#published) {
      // Reverts a return to the start of the ring as well.
      this.#head = this.#published;
      this.#skipped = 0;
    }
    for (const { number } of encoder.larges.splice(0)) this.#end.discardLarge(number);
    for (const { block } of encoder.stored.splice(0)) block.isPassing = false;
    encoder.leaveBlock();
    encoder.releaseScratch();
    if (error !== UNSUPPORTED) throw error;
    this.#substitute = encoder.substitute;
    encoder.substitute = null;
    return false;
  }

  /**
   * Returns what to send through the platform's own channel after `send(value)` returned false: the value itself,
   * or what has been read of it if getters may have run.
   * @param {any} value
   */
  substituteFor(value) {
    const substitute = this.#substitute;
    if (substitute === null) return value;
    this.#substitute = null;
    return substitute.value;
  }

  /**
   * Sends a record without payload.
   * @param {number} kind
   */
  sendBare(kind) {
    const encoder = this.#enter();
    this.#begin(encoder);
    this.#hand(encoder, encoder.end(kind));
    this.#leave();
  }

  /** Bytes sent that have not been consumed yet. */
  get bufferedAmount() {
    const tail = Atomics.load(this.#words, TAIL);
    const inRing = ((this.#published - tail) | 0) - this.#skippedBefore(tail) + this.storedBytes;
    if (!this.#hasBeside) return inRing;
    const beside = this.#end.overflowBytes;
    // Only queried while there are some: the query takes a lock.
    if (beside === 0) this.#hasBeside = false;
    return inRing + beside;
  }

  /** Bytes of the records in the store that have not been consumed yet. */
  get storedBytes() {
    return this.#store === null ? 0 : this.#store.recordBytes;
  }

  /** Whether a getter of a value that is being sent is running. */
  get isEncoding() {
    return this.#isEncoding;
  }

  /** Whether the consumer has read anything. */
  get isRead() {
    return Atomics.load(this.#words, TAIL) !== 0;
  }

  /** Sends an empty record, whose consumption can be observed. */
  sendMilestone() {
    this.sendBare(Kind.SKIP);
  }

  /**
   * Between threads: asks the consumer to ring when at most `limitBytes` are waiting. Returns false if that is
   * already the case.
   * @param {number} limitBytes
   */
  waitForLess(limitBytes) {
    for (;;) {
      const skipped = this.#skippedBefore(Atomics.load(this.#words, TAIL));
      if (this.#end.waitForLess(limitBytes + skipped)) return true;
      // The skipped part may have been passed meanwhile.
      if (skipped === 0 || this.bufferedAmount <= limitBytes) return false;
    }
  }

  /**
   * Returns the number of skipped bytes between the consumer's position and the head.
   * @param {number} tail
   */
  #skippedBefore(tail) {
    if (this.#skipped !== 0 && ((this.#skippedTo - tail) | 0) <= 0) this.#skipped = 0;
    return this.#skipped;
  }

  /** Closes this end. The consumer can still read what was sent; later records are dropped. */
  close() {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#end.close();
    if (!this.#isEncoding) this.#forget();
  }

  /** Releases all references to the lane's memory. */
  #forget() {
    this.#memory = NOWHERE;
    this.#words = NOWHERE.words;
    this.#spill = null;
    this.#overflowing = false;
    this.#hasBeside = false;
    this.#opposite = null;
    this.#head = this.#tail = this.#published = this.#skipped = 0;
    this.#encoder.use(NOWHERE);
    this.#encoder.scratch = null;
    this.#store?.close();
  }

  /** Whether the consumer has closed its end: records are dropped. */
  get isClosed() {
    return loadInOrder(this.#words, CLOSED) !== 0;
  }

  /**
   * Returns an encoder for a record. A getter that sends while its own object is being encoded gets a separate one.
   */
  #enter() {
    const encoder = this.#encoder;
    if (!this.#isEncoding) {
      this.#isEncoding = true;
      return encoder;
    }
    // The place in the ring is for the record that is sent first.
    encoder.leaveMemory(this.#memory);
    this.#suspended.push(encoder);
    this.#encoder = encoder.sibling();
    return this.#encoder;
  }

  #leave() {
    if (this.#suspended.length > 0) {
      this.#encoder = /** @type {Encoder} */ (this.#suspended.pop());
      return;
    }
    this.#isEncoding = false;
    if (this.#isGone) this.#forget();
  }

  /** @param {Encoder} encoder */
  #begin(encoder) {
    if (this.#isGone) return encoder.beginInScratch();
    const room = this.#overflowing ? this.#leaveOverflow() : this.#room();
    if (room < MIN_ROOM_BYTES) return encoder.beginInScratch();
    const offset = this.#head & (this.#capacity - 1);
    if (offset >= this.#rewindFrom && this.#mayRewind(offset)) return this.#rewind(encoder, offset);
    const start = this.#ringOffset + (this.#head & (this.#capacity - 1));
    encoder.begin(this.#memory, start, start + Math.min(room, this.#inRingBytes));
  }

  /** Returns the number of bytes a record may take, excluding the reserve for an OVERFLOW record. */
  #room() {
    let used = (this.#head - this.#tail) | 0;
    // Not loaded while at least half of the ring is known to be free, since the consumer writes to that cache line.
    if (used > this.#capacity >> 1) {
      this.#tail = Atomics.load(this.#words, TAIL);
      // Updated before positions can wrap around.
      this.#skippedBefore(this.#tail);
      used = (this.#head - this.#tail) | 0;
    }
    // An invalid position of the consumer counts as no room.
    return used < 0 ? 0 : this.#capacity - used - BARE_RECORD_BYTES;
  }

  /**
   * Finds room for `count` more bytes of a record, in the ring if it was started there or in the store, and moves it
   * there. Returns false if there is none.
   * @param {import('./writer').Writer} encoder
   * @param {number} count
   */
  #findRoom(encoder, count) {
    const length = encoder.used + count;
    if (!encoder.isIn(this.#memory)) return this.#findBlock(encoder, length);
    this.#tail = Atomics.load(this.#words, TAIL);
    // Behind the skipped part there is less room than in its place.
    if (this.#head !== this.#published) {
      this.#head = this.#published;
      this.#skipped = 0;
    }
    const room = this.#room();
    if (length > Math.min(room, this.#inRingBytes) && this.#findBlock(encoder, length)) return true;
    if (length > room) return false;
    const start = this.#ringOffset + (this.#head & (this.#capacity - 1));
    encoder.moveTo(this.#memory, start, start + room);
    return true;
  }

  /**
   * Continues a record in the store, or makes its block there larger. Returns false if that is not possible.
   * @param {import('./writer').Writer} encoder
   * @param {number} length
   */
  #findBlock(encoder, length) {
    if (length < LEAST_STORED_BYTES || length > this.#storeBytes) return false;
    if (this.#spill === null || this.#isGone) return false;
    const store = this.#openStore();
    const { block } = encoder;
    if (block !== null && store.extendRecord(block, length)) {
      encoder.use(store.memoryOf(block));
      encoder.limit = block.end;
      return true;
    }
    const other = store.openRecord(length);
    if (other === undefined) return false;
    encoder.moveTo(store.memoryOf(other), other.at, other.end);
    encoder.leaveBlock();
    encoder.block = other;
    return true;
  }

  /** @param {number} offset offset of the ring's first free byte */
  #mayRewind(offset) {
    if ((this.#rewindLookAt - this.#head - 1) >>> 0 < REWIND_STEP_BYTES) return false;
    this.#rewindLookAt = (this.#head + REWIND_STEP_BYTES) | 0;
    const words = this.#words;
    // A plain load first, which is cheaper and usually sufficient.
    if (words[TAIL] !== this.#head || this.#capacity - offset < BARE_RECORD_BYTES) return false;
    return Atomics.load(words, TAIL) === this.#head;
  }

  /**
   * Starts a record at the start of the ring, after one that fills the rest of the ring. Both are published
   * together.
   * @param {Encoder} encoder
   * @param {number} offset offset of the ring's first free byte; the whole ring is free
   */
  #rewind(encoder, offset) {
    const skipped = this.#capacity - offset;
    this.#rewindBytes = REWIND_BYTES;
    this.#bare(offset, Kind.SKIP, skipped);
    this.#tail = this.#head;
    this.#head = (this.#head + skipped) | 0;
    this.#skipped = skipped;
    this.#skippedTo = this.#head;
    const room = Math.min(this.#room(), this.#inRingBytes);
    encoder.begin(this.#memory, this.#ringOffset, this.#ringOffset + room);
  }

  /**
   * Moves spilled records into the ring as far as there is room. Returns false if some are left; the consumer then
   * signals when there is room, unless it `isCorrupt`.
   */
  flush() {
    const spill = this.#spill;
    if (spill === null || !this.#overflowing) return true;
    let hasMoved = false;
    for (;;) {
      if (!this.#follow(hasMoved)) return false;
      const at = this.#ringOffset + (this.#head & (this.#capacity - 1));
      const written = spill.move(this.#memory, at, this.#room(), this.#capacity);
      if (written > 0) this.#publish(written);
      if (spill.isEmpty) {
        this.#overflowing = false;
        return true;
      }
      hasMoved = written === 0;
      if (hasMoved && this.#end.waitForRoom(this.#tail)) return false;
    }
  }

  /**
   * Between processes: asks for a call of `onRoom` once less is waiting in the store. Returns false if `isEnough`
   * meanwhile; true also if the consumer `isCorrupt`.
   * @param {() => boolean} isEnough
   */
  waitForReturn(isEnough) {
    for (let hasMoved = false; ; hasMoved = true) {
      // Blocks are returned before the position behind their records is stored.
      if (!this.#follow(hasMoved)) return true;
      if (isEnough()) return false;
      if (this.#end.waitForRoom(this.#tail)) return true;
    }
  }

  /**
   * Loads the consumer's position, which only grows, by whole records, and not beyond the head: a loop that lasts while
   * it grows comes to an end, whatever another process writes there. Returns false if the position is invalid.
   * @param {boolean} hasMoved whether the consumer has moved on since the position was last loaded
   */
  #follow(hasMoved) {
    const tail = Atomics.load(this.#words, TAIL);
    const passed = (tail - this.#tail) | 0;
    const used = (this.#head - tail) | 0;
    const isGrown = passed >= (hasMoved ? RECORD_STEP_BYTES : 0) && passed % RECORD_STEP_BYTES === 0;
    if (!isGrown || used < 0 || used > this.#capacity) this.#isMisled = true;
    this.#tail = tail;
    return !this.#isMisled;
  }

  /** Whether records are waiting in the spill. */
  get isSpilling() {
    return this.#overflowing;
  }

  /** Whether the consumer's position is or was invalid: its process can write anything. */
  get isCorrupt() {
    if (this.#isMisled) return true;
    const used = (this.#head - Atomics.load(this.#words, TAIL)) | 0;
    return used < 0 || used > this.#capacity;
  }

  /** Returns to the ring once the consumer has consumed all of it. Returns the room there. */
  #leaveOverflow() {
    if (this.#spill !== null) {
      if (Atomics.load(this.#words, TAIL) === this.#tail) return 0;
      return this.flush() ? this.#room() : 0;
    }
    this.#tail = Atomics.load(this.#words, TAIL);
    if (this.#tail !== this.#head) return 0;
    const encoder = this.#encoder;
    encoder.beginInScratch();
    // Pending definitions are sent with this record, as with any other.
    encoder.end(Kind.RETURN);
    this.#push(encoder);
    this.#overflowing = false;
    return this.#room();
  }

  /**
   * @param {Encoder} encoder holds a completed record
   * @param {number} length
   */
  #hand(encoder, length) {
    if (encoder.stored.length !== 0) this.#store?.pass(encoder.stored);
    if (this.#isGone) {
      encoder.leaveBlock();
      return encoder.commit();
    }
    if (encoder.block !== null) return this.#handBlock(encoder, encoder.block, length);
    if (encoder.isIn(this.#memory)) {
      if (this.#opposite !== null) this.#copy(this.#opposite, encoder.start >> 2, length);
      encoder.commit();
      this.#publish(length);
      return;
    }
    if (this.#spill !== null) {
      const record = encoder.record();
      const isLarge = record.length >= CHUNK_BYTES;
      // Its memory then belongs to the spill.
      if (isLarge) encoder.scratch = null;
      encoder.commit();
      return this.#spillRecord(this.#spill, record, isLarge);
    }
    if (!this.#overflowing) {
      // Reserved by `#room()`, so there is room for it.
      this.#bareInRing(Kind.OVERFLOW);
      this.#overflowing = true;
    }
    this.#push(encoder);
  }

  /**
   * Copies a record that is about to be published.
   * @param {Opposite} opposite
   * @param {number} from index of its first word
   * @param {number} length
   */
  #copy(opposite, from, length) {
    const words = this.#words;
    words[READ] = opposite.position;
    // Not behind a skipped part, which would have to be read first.
    const mayCopy = length <= COPY_BYTES && this.#head === this.#published;
    if (!mayCopy || opposite.peerPosition !== this.#head) return this.#dropCopy();
    const source = this.#memory.words;
    const count = length >> 2;
    for (let i = 0; i < count; i++) words[COPY + i] = source[from + i];
    words[COPIED] = (this.#head + length) | 0;
    this.#isCopied = true;
  }

  #dropCopy() {
    if (!this.#isCopied) return;
    this.#isCopied = false;
    this.#words[COPIED] = NOT_COPIED;
  }

  /**
   * Passes a record in the store, by a record that refers to it.
   * @param {Encoder} encoder holds a completed record
   * @param {import('./store').Block} block
   * @param {number} length
   */
  #handBlock(encoder, block, length) {
    /** @type {Store} */ (this.#store).passRecord(block, length);
    encoder.block = null;
    encoder.commit();
    const reference = new Uint32Array([STORED_RECORD_BYTES, Kind.STORED, 0, block.number, block.at, length]);
    const record = new Uint8Array(reference.buffer);
    if (this.#overflowing || this.#room() < record.length) {
      return this.#spillRecord(/** @type {import('./spill').Spill} */ (this.#spill), record, false);
    }
    this.#dropCopy();
    this.#memory.bytes.set(record, this.#ringOffset + (this.#head & (this.#capacity - 1)));
    this.#publish(record.length);
  }

  /**
   * @param {import('./spill').Spill} spill
   * @param {Uint8Array} record
   * @param {boolean} isOurs see `Spill.push`
   */
  #spillRecord(spill, record, isOurs) {
    spill.push(record, isOurs);
    if (this.#overflowing) return;
    this.#overflowing = true;
    // Publishes the part skipped for a record that did not fit after all.
    if (this.#head !== this.#published) this.#publish(0);
    this.flush();
  }

  /** @param {Encoder} encoder holds a completed record */
  #push(encoder) {
    this.#hasBeside = true;
    if (!this.isClosed) this.#end.pushOverflow(encoder.record());
    encoder.commit();
  }

  /** @param {number} kind */
  #bareInRing(kind) {
    this.#dropCopy();
    this.#bare(this.#head & (this.#capacity - 1), kind, BARE_RECORD_BYTES);
    this.#publish(BARE_RECORD_BYTES);
  }

  /**
   * @param {number} offset
   * @param {number} kind
   * @param {number} length
   */
  #bare(offset, kind, length) {
    const start = this.#ringOffset + offset;
    const { view } = this.#memory;
    view.setUint32(start, length, true);
    view.setUint32(start + 4, kind, true);
    view.setUint32(start + 8, 0, true);
  }

  /** @param {number} length */
  #publish(length) {
    const words = this.#words;
    this.#head = (this.#head + length) | 0;
    this.#published = this.#head;
    const rewindBytes = this.#rewindBytes;
    this.#rewindFrom = length * REWIND_RECORDS > rewindBytes ? length * REWIND_RECORDS : rewindBytes;
    // The record becomes visible first: the flag is set on x64 only, which does not reorder stores.
    if (this.#isUnfenced) words[HEAD] = this.#head;
    else Atomics.store(words, HEAD, this.#head);
    if (loadAfterStore(words, ASLEEP) === 1 && Atomics.exchange(words, ASLEEP, 0) === 1) this.#end.ring();
  }
}

module.exports.LaneSender = LaneSender;
