'use strict';

/**
 * The publishing end of a lane. Records go into the ring; while it is full they go, in order, into the overflow,
 * until the consumer has caught up with the ring. Nothing here blocks, and nothing is lost when this thread
 * ends: both ring and overflow outlive it.
 *
 * To another process there is no overflow that outlives the producer: records wait in its spill, and `flush()` moves
 * them into the ring when there is room.
 */

const { Encoder } = require('./encoder');
const { HEAD, TAIL, ASLEEP, CLOSED, BARE_RECORD_BYTES, CALL_HEADER_BYTES, Kind } = require('./layout');
const { NOWHERE, loadAfterStore, memoryOf } = require('./memory');
const { CHUNK_BYTES } = require('./spill');
const { UNSUPPORTED } = require('./unsupported');

/** Less room than this, and a record is not even begun in the ring. */
const MIN_ROOM_BYTES = 64;
/**
 * Beyond this, the sender goes back to the start of the ring when the consumer has caught up: light traffic stays
 * in memory that the processor has at hand, and the rest of a large ring is only for bursts.
 */
const REWIND_BYTES = 128 * 1024;
/**
 * Until the consumer has passed what is skipped then, there is no more room than what lies before: for so many records
 * as long as the last one. With less, a burst of large ones would go to the overflow, which copies each once more.
 */
const REWIND_RECORDS = 32;

class LaneSender {
  #end;
  #memory;
  /** @type {Int32Array} */
  #words;
  #ringOffset;
  #capacity;
  #head = 0;
  /** The consumer's position when last looked up. */
  #tail = 0;
  /** What the consumer has been told of it. */
  #published = 0;
  /** From which offset on the sender may go back to the start of the ring. */
  #rewindFrom = REWIND_BYTES;
  /** Bytes at the end of the ring that were skipped last, and the position behind them; 0 when they are passed. */
  #skipped = 0;
  #skippedTo = 0;
  #overflowing = false;
  /** Whether bytes may wait beside the ring. */
  #hasBeside = false;
  /** This end is closed. */
  #isGone = false;
  #isEncoding = false;
  /** @type {Encoder[]} */
  #suspended = [];
  #encoder;
  /** @type {import('./spill').Spill | null} */
  #spill;
  /** @type {{ value: any } | null} */
  #substitute = null;

  /**
   * @param {import('../native/index').LaneSender} end
   * @param {Encoder} [encoder] the rules by which values are encoded
   * @param {import('./spill').Spill} [spill] where records wait for room; by default in the overflow
   */
  constructor(end, encoder = new Encoder(), spill = undefined) {
    const { buffer, ringOffset, capacity } = end.memory();
    this.#end = end;
    this.#memory = memoryOf(buffer);
    this.#words = new Int32Array(buffer, 0, CLOSED + 1);
    this.#ringOffset = ringOffset;
    this.#capacity = capacity;
    this.#encoder = encoder;
    this.#spill = spill ?? null;
    encoder.putLarge = (bytes) => {
      this.#hasBeside = true;
      return end.putLarge(bytes);
    };
    encoder.findRoom = (writer) => this.#findRoom(writer);
  }

  /**
   * Sends a value. False when only the platform's own channel can carry it; nothing has been sent then, and
   * `substituteFor(value)` is what to give to that channel.
   * @param {any} value
   * @throws what a getter of the value throws; nothing has been sent then
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
   * Sends a value of a request or an answer. As `send`.
   * @param {number} kind what it is, below 2^16
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
   * Nothing of the value has been sent.
   * @param {Encoder} encoder
   * @param {unknown} error
   * @returns {false} when only the platform's own channel can carry it
   */
  #giveUp(encoder, error) {
    if (this.#head !== this.#published) {
      // Not going back to the start of the ring either.
      this.#head = this.#published;
      this.#skipped = 0;
    }
    for (const { number } of encoder.larges.splice(0)) this.#end.discardLarge(number);
    if (error !== UNSUPPORTED) throw error;
    this.#substitute = encoder.substitute;
    encoder.substitute = null;
    return false;
  }

  /**
   * What to give to the platform's own channel after `send(value)` returned false: the value itself, or what was read
   * of it already if getters may have run.
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

  /** Bytes sent that the consumer has not consumed yet. */
  get bufferedAmount() {
    const tail = Atomics.load(this.#words, TAIL);
    const inRing = ((this.#published - tail) | 0) - this.#skippedBefore(tail);
    if (!this.#hasBeside) return inRing;
    const beside = this.#end.overflowBytes;
    // Asked for as long as there is some only: the answer takes a lock.
    if (beside === 0) this.#hasBeside = false;
    return inRing + beside;
  }

  /** Whether the consumer has read anything. */
  get isRead() {
    return Atomics.load(this.#words, TAIL) !== 0;
  }

  /** Sends a record that says nothing, so that there is something whose reading can be seen. */
  sendMilestone() {
    this.sendBare(Kind.SKIP);
  }

  /**
   * Between threads: asks the consumer to tell of it when at most `limitBytes` wait. False when it is so already.
   * @param {number} limitBytes
   */
  waitForLess(limitBytes) {
    for (;;) {
      const skipped = this.#skippedBefore(Atomics.load(this.#words, TAIL));
      if (this.#end.waitForLess(limitBytes + skipped)) return true;
      // What was skipped may have been passed meanwhile.
      if (skipped === 0 || this.bufferedAmount <= limitBytes) return false;
    }
  }

  /**
   * Bytes between the consumer's position and the head that are nothing.
   * @param {number} tail
   */
  #skippedBefore(tail) {
    if (this.#skipped !== 0 && ((this.#skippedTo - tail) | 0) <= 0) this.#skipped = 0;
    return this.#skipped;
  }

  /** Lets go of the lane. What was sent stays readable for the consumer; what is sent from here on is dropped. */
  close() {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#end.close();
    if (!this.#isEncoding) this.#forget();
  }

  /** Keeps nothing of the lane. */
  #forget() {
    this.#memory = NOWHERE;
    this.#words = NOWHERE.words;
    this.#spill = null;
    this.#overflowing = false;
    this.#hasBeside = false;
    this.#head = this.#tail = this.#published = this.#skipped = 0;
    this.#encoder.use(NOWHERE);
    this.#encoder.scratch = null;
  }

  /** Whether the consumer has closed its end: what is sent is dropped. */
  get isClosed() {
    return Atomics.load(this.#words, CLOSED) !== 0;
  }

  /** An encoder for a record. A getter that sends while its own object is being encoded gets one of its own. */
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
    encoder.begin(this.#memory, start, start + room);
  }

  /** Bytes that a record may take, with those for the way into the overflow kept back. */
  #room() {
    let used = (this.#head - this.#tail) | 0;
    // Not looked up as long as half of the ring is known to be free: the consumer writes there.
    if (used > this.#capacity >> 1) {
      this.#tail = Atomics.load(this.#words, TAIL);
      // Looked at before positions come round.
      this.#skippedBefore(this.#tail);
      used = (this.#head - this.#tail) | 0;
    }
    // A consumer's position that cannot be is taken as no room at all.
    return used < 0 ? 0 : this.#capacity - used - BARE_RECORD_BYTES;
  }

  /**
   * Gives a record that was begun in the ring all the room that there is by now.
   * @param {import('./writer').Writer} encoder
   */
  #findRoom(encoder) {
    this.#tail = Atomics.load(this.#words, TAIL);
    // Behind what the way back to the start skips there is less than in its place.
    if (this.#head !== this.#published) {
      this.#head = this.#published;
      this.#skipped = 0;
    }
    const start = this.#ringOffset + (this.#head & (this.#capacity - 1));
    encoder.limit = start + this.#room();
    return start;
  }

  /** @param {number} offset of the ring's first free byte */
  #mayRewind(offset) {
    const words = this.#words;
    // An ordinary look first, which is cheaper and mostly says no.
    if (words[TAIL] !== this.#head || this.#capacity - offset < BARE_RECORD_BYTES) return false;
    return Atomics.load(words, TAIL) === this.#head;
  }

  /**
   * Begins a record at the start of the ring, behind one that fills the rest of it. Both are published at once.
   * @param {Encoder} encoder
   * @param {number} offset of the ring's first free byte; all of the ring is free
   */
  #rewind(encoder, offset) {
    const skipped = this.#capacity - offset;
    this.#bare(offset, Kind.SKIP, skipped);
    this.#tail = this.#head;
    this.#head = (this.#head + skipped) | 0;
    this.#skipped = skipped;
    this.#skippedTo = this.#head;
    encoder.begin(this.#memory, this.#ringOffset, this.#ringOffset + this.#room());
  }

  /**
   * Moves spilled records into the ring as far as there is room. False when some are left: the consumer tells of
   * room then.
   */
  flush() {
    const spill = this.#spill;
    if (spill === null || !this.#overflowing) return true;
    for (;;) {
      this.#tail = Atomics.load(this.#words, TAIL);
      const at = this.#ringOffset + (this.#head & (this.#capacity - 1));
      const written = spill.move(this.#memory, at, this.#room(), this.#capacity);
      if (written > 0) this.#publish(written);
      if (spill.isEmpty) {
        this.#overflowing = false;
        return true;
      }
      if (written === 0 && this.#end.waitForRoom(this.#tail)) return false;
    }
  }

  /** Whether records wait in the spill. */
  get isSpilling() {
    return this.#overflowing;
  }

  /** Whether the consumer's position is one that it cannot have: its process writes what it likes. */
  get isCorrupt() {
    const used = (this.#head - Atomics.load(this.#words, TAIL)) | 0;
    return used < 0 || used > this.#capacity;
  }

  /** Back to the ring once the consumer has passed all of it. Returns the room there. */
  #leaveOverflow() {
    if (this.#spill !== null) {
      if (Atomics.load(this.#words, TAIL) === this.#tail) return 0;
      return this.flush() ? this.#room() : 0;
    }
    this.#tail = Atomics.load(this.#words, TAIL);
    if (this.#tail !== this.#head) return 0;
    const encoder = this.#encoder;
    encoder.beginInScratch();
    // Definitions that wait for a record travel with this one, as with any.
    encoder.end(Kind.RETURN);
    this.#push(encoder);
    this.#overflowing = false;
    return this.#room();
  }

  /**
   * @param {Encoder} encoder with a completed record
   * @param {number} length
   */
  #hand(encoder, length) {
    if (this.#isGone) return encoder.commit();
    if (encoder.isIn(this.#memory)) {
      encoder.commit();
      this.#publish(length);
      return;
    }
    if (this.#spill !== null) return this.#spillRecord(this.#spill, encoder);
    if (!this.#overflowing) {
      // The room kept back is there whenever the ring is not known to be overflowing.
      this.#bareInRing(Kind.OVERFLOW);
      this.#overflowing = true;
    }
    this.#push(encoder);
  }

  /**
   * @param {import('./spill').Spill} spill
   * @param {Encoder} encoder with a completed record
   */
  #spillRecord(spill, encoder) {
    const record = encoder.record();
    const isLarge = record.length >= CHUNK_BYTES;
    spill.push(record, isLarge);
    // Its memory is the spill's now.
    if (isLarge) encoder.scratch = null;
    encoder.commit();
    if (this.#overflowing) return;
    this.#overflowing = true;
    // What was skipped for the record that did not fit after all.
    if (this.#head !== this.#published) this.#publish(0);
    this.flush();
  }

  /** @param {Encoder} encoder with a completed record */
  #push(encoder) {
    this.#hasBeside = true;
    if (!this.isClosed) this.#end.pushOverflow(encoder.record());
    encoder.commit();
  }

  /** @param {number} kind */
  #bareInRing(kind) {
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
    this.#rewindFrom = length * REWIND_RECORDS > REWIND_BYTES ? length * REWIND_RECORDS : REWIND_BYTES;
    Atomics.store(words, HEAD, this.#head);
    if (loadAfterStore(words, ASLEEP) === 1 && Atomics.exchange(words, ASLEEP, 0) === 1) this.#end.ring();
  }
}

module.exports.LaneSender = LaneSender;
