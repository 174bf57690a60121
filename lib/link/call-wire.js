'use strict';

/**
 * Requests and replies as records of a pair of lanes: written and read here, and what a lane does
 * not carry by itself put beside it. What comes from another process is checked.
 */

const { makeError } = require('../core/errors');
const { Kind } = require('./layout');

/** What a record is, in the lowest two bits of its kind. */
const REQUEST = 0;
const REPLY = 1;
const FAILURE = 2;
/** Nobody waits for the reply any more. */
const CANCEL = 3;
/** Added to the kind: the value has been posted beside the lane. */
const BESIDE = 4;
/** Added to the kind: the value is what `serialize` made of it. */
const SERIALIZED = 8;
/**
 * Added to REQUEST: who asks is blocked until the answer is there. Added to CANCEL, which then goes to who asks: the
 * other side is blocked, too, and has no handler.
 */
const BLOCKED = 16;

const TYPE_MASK = 3;

/** @type {any[]} */
const NOTHING = [];

/**
 * @typedef {object} Transport what requests and replies travel by
 * @property {import('./lane-sender').LaneSender} sender
 * @property {import('./lane-receiver').LaneReceiver} receiver
 * @property {() => void} close
 * @property {() => boolean} tick runs what is to run between two deliveries; false: not now, or it threw
 * @property {(entry: [kind: number, id: number, value: any], transferList: any[]) => void} [postBeside]
 *   posts on the platform's own channel, which throws for what cannot be cloned
 * @property {(kind: number, id: number) => any} [takeBeside] the value that was posted so
 * @property {(value: any) => any} [serialize] for a peer that no such channel leads to: makes what the lane can carry
 *   of what only the platform can; throws for what cannot be cloned
 * @property {(serialized: any) => any} [deserialize]
 * @property {() => void} [assist] does for a blocked caller what cannot wait until its event loop turns
 * @property {() => boolean} [isPeerGone] whether a peer is gone that could not close its end
 * @property {() => void} [awaitRoom] records wait for room in the lane: `flush()` is to be called when there is
 * @property {(error: Error) => void} [onCorrupt] the peer wrote what cannot be; the link is closed
 */

class CallWire {
  #transport;
  #sender;
  #receiver;
  #onCorrupt;
  #isClosed = false;
  /** Whether the peer has ever sent anything. */
  hasHeard = false;
  /** What `next()` found, until the next time. The value is to be taken at once. */
  kind = 0;
  id = 0;

  /**
   * @param {Transport} transport
   * @param {(error: Error) => void} onCorrupt the peer wrote what cannot be
   */
  constructor(transport, onCorrupt) {
    this.#transport = transport;
    this.#sender = transport.sender;
    this.#receiver = transport.receiver;
    this.#onCorrupt = onCorrupt;
  }

  /** False once either side has gone. */
  get isOpen() {
    return !this.#isClosed && !this.#sender.isClosed;
  }

  /**
   * Reads the next record. False when there is none.
   */
  next() {
    const receiver = this.#receiver;
    try {
      if (this.#isClosed || !receiver.next()) return false;
      if (receiver.kind !== Kind.CALL) throw makeCorrupt(this.next);
    } catch (error) {
      this.#onCorrupt(/** @type {Error} */ (error));
      return false;
    }
    this.hasHeard = true;
    this.kind = receiver.callKind;
    this.id = receiver.callId;
    return true;
  }

  /** What the record that was read last carries, as `valueOf()` wants it; once. */
  takeCarried() {
    const receiver = this.#receiver;
    const { value } = receiver;
    receiver.value = undefined;
    return value;
  }

  /**
   * To be called when there is no record: control words that cannot be would bring such calls for ever.
   */
  verify() {
    try {
      this.#receiver.verify();
    } catch (error) {
      this.#onCorrupt(/** @type {Error} */ (error));
    }
  }

  /**
   * @param {number} kind
   * @param {number} id
   * @param {any} value
   * @param {Iterable<any>} [transferList]
   * @throws what cannot be cloned; nothing has been sent then
   */
  send(kind, id, value, transferList) {
    const sender = this.#sender;
    const transferred = transferList === undefined ? NOTHING : [...transferList];
    if (transferred.length > 0 || !sender.sendCall(kind, id, value)) {
      this.#sendOtherwise(kind, id, value, transferred);
    }
    if (sender.isSpilling) this.#transport.awaitRoom?.();
  }

  /**
   * Sends what the lane does not carry by itself.
   * @param {number} kind
   * @param {number} id
   * @param {any} value
   * @param {any[]} transferred
   */
  #sendOtherwise(kind, id, value, transferred) {
    const { postBeside, serialize } = this.#transport;
    const read = this.#sender.substituteFor(value);
    if (postBeside !== undefined) {
      postBeside([kind & TYPE_MASK, id, read], transferred);
      this.#sender.sendCall(kind | BESIDE, id, undefined);
      return;
    }
    if (serialize === undefined || transferred.length > 0) {
      throw new DOMException('Nothing can be transferred to another process', 'DataCloneError');
    }
    this.#sender.sendCall(kind | SERIALIZED, id, serialize(read));
  }

  /**
   * The value of a record, once.
   * @param {number} kind
   * @param {number} id
   * @param {any} carried
   */
  valueOf(kind, id, carried) {
    if ((kind & (BESIDE | SERIALIZED)) === 0) return carried;
    if ((kind & BESIDE) !== 0) return this.#transport.takeBeside?.(kind & TYPE_MASK, id);
    try {
      return this.#transport.deserialize?.(carried);
    } catch {
      const error = makeCorrupt(this.valueOf);
      this.#onCorrupt(error);
      throw error;
    }
  }

  /** Moves records that wait into the lane. True when none are left. */
  flush() {
    if (this.#isClosed || this.#sender.flush()) return true;
    if (this.#sender.isCorrupt) this.#onCorrupt(makeCorrupt(this.flush));
    return false;
  }

  /** Tells the peer that nobody is here any more. */
  close() {
    this.#isClosed = true;
    this.#receiver.close();
    this.#sender.close();
    this.#transport.close();
  }
}

/** @param {Function} origin */
function makeCorrupt(origin) {
  return makeError('ERR_MANYCORE_LINK_CORRUPT', [], origin);
}

/** @param {number} kind of a record */
function typeOf(kind) {
  return kind & TYPE_MASK;
}

module.exports.CallWire = CallWire;
module.exports.typeOf = typeOf;
module.exports.REQUEST = REQUEST;
module.exports.REPLY = REPLY;
module.exports.FAILURE = FAILURE;
module.exports.CANCEL = CANCEL;
module.exports.BLOCKED = BLOCKED;
