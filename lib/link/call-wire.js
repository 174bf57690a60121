'use strict';

/**
 * Writes and reads requests and replies as records of a pair of lanes; values that a lane does not support travel
 * beside it. Records from another process are validated.
 */

const { makeError } = require('../core/errors');
const { rebuildError } = require('./call-errors');
const { Kind } = require('./layout');

/** Type of a record, in the lowest two bits of its kind. */
const REQUEST = 0;
const REPLY = 1;
const FAILURE = 2;
/** The reply is no longer wanted. */
const CANCEL = 3;
/** Flag of the kind: the value has been posted beside the lane. */
const BESIDE = 4;
/** Flag of the kind: the value was produced by `serialize`. */
const SERIALIZED = 8;
/**
 * Flag of a REQUEST: the sender is blocked until it gets the reply. Flag of a CANCEL, which is then sent to the
 * requester: the other side is blocked as well and has no handler.
 */
const BLOCKED = 16;

const TYPE_MASK = 3;

/** @type {any[]} */
const NOTHING = [];

/**
 * @typedef {object} Transport how requests and replies are sent
 * @property {import('./lane-sender').LaneSender} sender
 * @property {import('./lane-receiver').LaneReceiver} receiver
 * @property {() => void} close
 * @property {() => boolean} tick runs ticks and microtasks between two deliveries; false if that is not possible or
 * one threw
 * @property {(entry: [kind: number, id: number, value: any], transferList: any[]) => void} [postBeside] posts on
 * the platform's own channel; throws if the value cannot be cloned
 * @property {(kind: number, id: number) => any} [takeBeside] returns a value posted by `postBeside`
 * @property {(value: any) => any} [serialize] for peers without such a channel: converts a value that only the
 * platform supports for the lane; throws if it cannot be cloned
 * @property {(serialized: any) => any} [deserialize]
 * @property {() => void} [assist] work to do while a caller blocks the event loop
 * @property {() => boolean} [isPeerGone] whether a peer that may not have closed its end has died
 * @property {() => void} [awaitRoom] called when records wait for room in the lane; `flush()` must be called when
 * there is some
 * @property {(error: Error) => void} [onCorrupt] the peer wrote invalid data; the link has been closed
 */

class CallWire {
  #transport;
  #sender;
  #receiver;
  #onCorrupt;
  #isClosed = false;
  /** Whether the peer has ever sent anything. */
  hasHeard = false;
  /** Result of `next()`, until the next call. The value must be taken at once. */
  kind = 0;
  id = 0;

  /**
   * @param {Transport} transport
   * @param {(error: Error) => void} onCorrupt called if the peer wrote invalid data
   */
  constructor(transport, onCorrupt) {
    this.#transport = transport;
    this.#sender = transport.sender;
    this.#receiver = transport.receiver;
    this.#onCorrupt = onCorrupt;
  }

  /** False once either side has closed. */
  get isOpen() {
    return !this.#isClosed && !this.#sender.isClosed;
  }

  /** Reads the next record. Returns false if there is none. */
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

  /** Takes the payload of the last record, for `valueOf()`; once. */
  takeCarried() {
    const receiver = this.#receiver;
    const { value } = receiver;
    receiver.value = undefined;
    return value;
  }

  /** Must be called if there was no record: invalid control words could otherwise cause endless wake-ups. */
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
   * @throws if the value cannot be cloned; nothing has been sent then
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
   * Sends a value that the lane does not support.
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
   * Returns the value of a record; once.
   * @param {number} kind
   * @param {number} id
   * @param {any} carried
   */
  valueOf(kind, id, carried) {
    if ((kind & (BESIDE | SERIALIZED)) === 0) return carried;
    if ((kind & BESIDE) !== 0) return this.#transport.takeBeside?.(kind & TYPE_MASK, id);
    return this.#decode(() => this.#transport.deserialize?.(carried));
  }

  /**
   * Returns what the handler of a request has thrown.
   * @param {any} description the value of the record
   */
  errorOf(description) {
    return this.#decode(() => rebuildError(description));
  }

  /**
   * @param {() => any} read throws if the other side has written something invalid
   * @throws ERR_MANYCORE_LINK_CORRUPT
   */
  #decode(read) {
    try {
      return read();
    } catch {
      const error = makeCorrupt(this.#decode);
      this.#onCorrupt(error);
      throw error;
    }
  }

  /**
   * Copies a value as the other side would get it.
   * @param {any} value
   * @throws if it cannot be sent
   */
  copy(value) {
    const { serialize, deserialize } = this.#transport;
    // Of what structured clone supports, another process cannot get everything.
    const copy = structuredClone(value);
    return serialize === undefined ? copy : deserialize?.(serialize(copy));
  }

  /** Moves spilled records into the lane. Returns true if none are left. */
  flush() {
    if (this.#isClosed || this.#sender.flush()) return true;
    if (this.#sender.isCorrupt) this.#onCorrupt(makeCorrupt(this.flush));
    return false;
  }

  /** Closes this end, which tells the peer. */
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

/** @param {number} kind kind of a record */
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
