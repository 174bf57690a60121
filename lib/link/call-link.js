'use strict';

/**
 * One side of the requests and replies between two parties. They have lanes of their own, so that neither waits
 * behind messages that nobody takes, and each side may ask the other at any time.
 *
 * A side that blocks in `call()` serves the requests of the same peer meanwhile, in order: two sides that call
 * each other get their answers, and nothing else is delivered to either.
 */

const { makeError } = require('../core/errors');
const { describeError, rebuildError } = require('./call-errors');
const { RequestContext } = require('./call-context');
const { Kind } = require('./layout');
const { Looker } = require('./looker');

/** What a record is: `[kind, id, value]`. */
const REQUEST = 0;
const REPLY = 1;
const FAILURE = 2;
/** Nobody waits for the reply any more. */
const CANCEL = 3;
/** Added to the kind: the value has been posted beside the lane. */
const BESIDE = 4;

/** How often a blocked thread can be terminated, and notices a dead peer that could not ring. */
const PARK_MS = 10;

/** How long a blocked caller looks on before it sleeps. A peer that has to be woken answers after some 50 us. */
const CALLER_LOOKS_US = 100;
/** How long an event loop looks on after the last record, before native code does so: a peer that is at it asks
 * again within this time, and is answered without a way through native code. */
const DRAIN_LOOKS_US = 10;
/** Records that an event loop takes before others have their turn. */
const ENTRIES_PER_DRAIN = 1000;

/**
 * @typedef {object} Transport what requests and replies travel by
 * @property {import('./lane-sender').LaneSender} sender
 * @property {import('./lane-receiver').LaneReceiver} receiver
 * @property {(limitUs: number) => boolean} lookOn looks on for a record, at most so long; true when there is one
 * @property {(limitMs: number) => void} park blocks until something comes or the peer goes, at most so long
 * @property {() => void} close
 * @property {() => boolean} tick runs what is to run between two deliveries; false: not now, or it threw
 * @property {(entry: [number, number, any], transferList: any[]) => void} [postBeside]
 *   posts on the platform's own channel, which throws for what cannot be cloned
 * @property {(kind: number, id: number) => any} [takeBeside] the value that was posted so
 * @property {() => void} [assist] does for a blocked caller what cannot wait until its event loop turns
 */

/**
 * @typedef {object} RequestOptions
 * @property {number} [timeoutMs]
 * @property {AbortSignal} [signal]
 * @property {Iterable<any>} [transferList]
 */

/**
 * @typedef {[kind: number, id: number, value: any]} Entry
 * @typedef {(value: any, context: RequestContext) => any} Handler
 * @typedef {{ resolve(value: any): void, reject(error: any): void, release(): void }} Pending
 */

class CallLink {
  #transport;
  #sender;
  #receiver;
  #looker;
  #lingerer;
  #lastId = 0;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  /** By the ids that `call()` waits for: the answer, once it is there. @type {Map<number, Entry | undefined>} */
  #awaited = new Map();
  /** @type {Handler | null} */
  #handler = null;
  #handlerHoldsLoop = false;
  /** Requests for which there was no handler yet. @type {Map<number, any>} */
  #unserved = new Map();
  /** Requests whose handlers have not finished. @type {Map<number, RequestContext>} */
  #serving = new Map();
  #holdsLoop = false;
  #isClosed = false;
  /** Whether the peer has ever sent anything. */
  hasHeard = false;
  /** @type {Error | undefined} */
  #cause;

  /** @param {Transport} transport */
  constructor(transport) {
    this.#transport = transport;
    this.#sender = transport.sender;
    this.#receiver = transport.receiver;
    this.#looker = new Looker(transport.lookOn, CALLER_LOOKS_US);
    this.#lingerer = new Looker(transport.lookOn, DRAIN_LOOKS_US);
    this.#receiver.listen(() => this.#drain());
    this.#receiver.resume();
  }

  /** False once either side has gone. */
  get isOpen() {
    return !this.#isClosed && !this.#sender.isClosed;
  }

  /**
   * Asks the peer, and gives a promise of its answer.
   * @param {any} value
   * @param {RequestOptions} options
   * @returns {Promise<any>}
   */
  request(value, { timeoutMs, signal, transferList }) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw signal.reason;
      if (!this.isOpen) throw this.#reason(this.request);
      const id = this.#nextId();
      /** @type {Pending} */
      const pending = { resolve, reject, release: nothing };
      this.#send(REQUEST, id, value, transferList);
      this.#pending.set(id, pending);
      if (!this.#holdsLoop) this.#updateHold();
      if (timeoutMs !== undefined || signal !== undefined) this.#limit(id, pending, timeoutMs, signal);
    });
  }

  /**
   * @param {number} id
   * @param {Pending} pending
   * @param {number | undefined} timeoutMs
   * @param {AbortSignal | undefined} signal
   */
  #limit(id, pending, timeoutMs, signal) {
    const giveUp = (/** @type {any} */ reason) => {
      if (this.#settle(id) === undefined) return;
      this.#send(CANCEL, id, undefined);
      this.#updateHold();
      pending.reject(reason);
    };
    const onAbort = () => giveUp(signal?.reason);
    const onTimeout = () => giveUp(makeError('ERR_MANYCORE_TIMEOUT', [timeoutMs], onTimeout));
    const hasLimit = timeoutMs !== undefined && timeoutMs !== Infinity;
    const timer = hasLimit ? setTimeout(onTimeout, timeoutMs) : undefined;
    signal?.addEventListener('abort', onAbort, { once: true });
    pending.release = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
  }

  /**
   * Asks the peer and blocks the thread until it has answered.
   * @param {any} value
   * @param {RequestOptions} options
   * @returns {any}
   */
  call(value, { timeoutMs = Infinity, transferList }) {
    if (!this.isOpen) throw this.#reason(this.call);
    const id = this.#nextId();
    const deadline = timeoutMs === Infinity ? Infinity : performance.now() + timeoutMs;
    this.#send(REQUEST, id, value, transferList);
    this.#awaited.set(id, undefined);
    let answer;
    try {
      answer = this.#await(id, deadline, timeoutMs);
    } finally {
      this.#awaited.delete(id);
      this.#receiver.allowSleep();
    }
    const result = this.#valueOf(answer);
    if ((answer[0] & 3) === FAILURE) throw rebuildError(result);
    return result;
  }

  /**
   * Serves the peer's requests from now on, those that wait first. Null: lets them wait.
   * @param {Handler | null} handler
   * @param {boolean} holdsLoop whether a handler keeps the event loop alive
   */
  setHandler(handler, holdsLoop) {
    this.#handler = handler;
    this.#handlerHoldsLoop = handler !== null && holdsLoop;
    this.#updateHold();
    if (handler !== null && this.#unserved.size > 0) setImmediate(() => this.#drain());
  }

  /**
   * Ends the link: what waits for an answer fails.
   * @param {Error} [cause] why, if not because the peer has gone
   */
  close(cause) {
    if (this.#isClosed) return;
    this.#cause = cause;
    // What the peer answered before it went counts.
    if (cause === undefined && this.#awaited.size === 0) this.#readAnswers();
    this.#isClosed = true;
    for (const [id, { reject }] of this.#pending) {
      this.#settle(id);
      reject(this.#reason(this.close));
    }
    this.#handlerHoldsLoop = false;
    this.#updateHold();
    this.#receiver.close();
    this.#sender.close();
    this.#transport.close();
    this.#unserved.clear();
    for (const context of this.#serving.values()) RequestContext.cancel(context);
    this.#serving.clear();
  }

  /**
   * Why nothing can be asked any more.
   * @param {Function} origin
   */
  #reason(origin) {
    return this.#cause ?? makeError('ERR_MANYCORE_PEER_GONE', [], origin);
  }

  #readAnswers() {
    for (let entry = this.#next(); entry !== undefined; entry = this.#next()) {
      if ((entry[0] & 3) !== REQUEST) this.#handle(entry);
    }
  }

  #nextId() {
    this.#lastId = (this.#lastId + 1) | 0;
    return this.#lastId;
  }

  /**
   * The next record, if there is one.
   * @returns {Entry | undefined}
   */
  #next() {
    const receiver = this.#receiver;
    try {
      if (this.#isClosed || !receiver.next()) return undefined;
      const { value: entry } = receiver;
      receiver.value = undefined;
      this.hasHeard = true;
      if (receiver.kind === Kind.VALUE && Array.isArray(entry) && entry.length === 3) {
        return /** @type {Entry} */ (entry);
      }
      throw makeError('ERR_MANYCORE_LINK_CORRUPT', [], this.#next);
    } catch (error) {
      this.close(/** @type {Error} */ (error));
      return undefined;
    }
  }

  /**
   * @param {number} kind
   * @param {number} id
   * @param {any} value
   * @param {Iterable<any>} [transferList]
   */
  #send(kind, id, value, transferList) {
    const transferred = transferList === undefined ? [] : [...transferList];
    if (transferred.length === 0 && this.#sender.send([kind, id, value])) return;
    const { postBeside } = this.#transport;
    if (postBeside === undefined) refuse(value, transferred);
    postBeside([kind, id, value], transferred);
    this.#sender.send([kind | BESIDE, id, undefined]);
  }

  /**
   * @param {number} id
   * @param {number} deadline
   * @param {number} timeoutMs
   * @returns {Entry}
   */
  #await(id, deadline, timeoutMs) {
    const receiver = this.#receiver;
    receiver.stayAwake();
    for (;;) {
      // Before reading: a peer that goes after its answer is heard first.
      const isGone = !this.isOpen;
      for (let entry = this.#next(); entry !== undefined; entry = this.#next()) {
        this.#handle(entry);
        if (this.#awaited.get(id) !== undefined) break;
      }
      receiver.release();
      const answer = this.#awaited.get(id);
      if (answer !== undefined) return answer;
      if (isGone) throw this.#reason(this.call);
      this.#transport.assist?.();
      if (this.#looker.look()) continue;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) {
        this.#send(CANCEL, id, undefined);
        throw makeError('ERR_MANYCORE_TIMEOUT', [timeoutMs], this.call);
      }
      this.#transport.park(Math.min(PARK_MS, Math.ceil(leftMs)));
    }
  }

  /** Takes what is there without waiting for the event loop: the other side is in this thread, and blocked. */
  serveNow() {
    for (let entry = this.#next(); entry !== undefined; entry = this.#next()) this.#handle(entry);
    this.#receiver.release();
    if (this.#handler !== null) this.#serveWaiting(false);
  }

  #drain() {
    this.#serveWaiting(true);
    let budget = ENTRIES_PER_DRAIN;
    do {
      for (let entry = this.#next(); entry !== undefined; entry = this.#next()) {
        this.#handle(entry);
        budget--;
        const isRequest = (entry[0] & 3) === REQUEST;
        if (isRequest && (!this.#transport.tick() || budget <= 0)) return this.#endDrain();
      }
      this.#receiver.release();
      // Whoever goes on asking when it has its answer does so now.
      if (this.#pending.size === 0 && this.#holdsLoop && !this.#transport.tick()) break;
    } while (budget > 0 && !this.#isClosed && this.#lingerer.look());
    this.#endDrain();
  }

  #endDrain() {
    this.#receiver.release();
    this.#updateHold();
  }

  /** @param {boolean} mayTick */
  #serveWaiting(mayTick) {
    for (const [id, value] of this.#unserved) {
      if (this.#handler === null || this.#isClosed) return;
      this.#unserved.delete(id);
      this.#serve(id, value);
      if (mayTick) this.#transport.tick();
    }
  }

  /** @param {Entry} entry */
  #handle(entry) {
    const [kind, id] = entry;
    switch (kind & 3) {
      case REQUEST:
        return this.#receiveRequest(entry);
      case CANCEL:
        this.#unserved.delete(id);
        return this.#cancel(id);
      default:
        this.#receiveAnswer(entry);
    }
  }

  /** @param {Entry} entry */
  #receiveRequest(entry) {
    const id = entry[1];
    let value;
    try {
      value = this.#valueOf(entry);
    } catch (error) {
      return this.#fail(id, error);
    }
    if (this.#handler !== null && this.#unserved.size === 0) return this.#serve(id, value);
    this.#unserved.set(id, value);
    // A caller that is blocked goes on where it stands before anything else runs.
    if (this.#awaited.size > 0) this.#serveWaiting(false);
  }

  /** @param {number} id */
  #cancel(id) {
    const context = this.#serving.get(id);
    if (context === undefined) return;
    this.#serving.delete(id);
    RequestContext.cancel(context);
  }

  /** @param {Entry} entry */
  #receiveAnswer(entry) {
    const [kind, id] = entry;
    if (this.#awaited.has(id)) {
      this.#awaited.set(id, entry);
      return;
    }
    const pending = this.#settle(id);
    try {
      // Also of a request that has been given up: what came beside the lane must not stay there.
      const value = this.#valueOf(entry);
      if ((kind & 3) === REPLY) pending?.resolve(value);
      else pending?.reject(rebuildError(value));
    } catch (error) {
      pending?.reject(error);
    }
  }

  /** @param {Entry} entry */
  #valueOf([kind, id, value]) {
    return (kind & BESIDE) === 0 ? value : this.#transport.takeBeside?.(kind & 3, id);
  }

  /**
   * Forgets a request of this side.
   * @param {number} id
   */
  #settle(id) {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    this.#pending.delete(id);
    pending.release();
    return pending;
  }

  /**
   * @param {number} id
   * @param {any} value
   */
  #serve(id, value) {
    const context = new RequestContext();
    let result;
    try {
      const handler = /** @type {Handler} */ (this.#handler);
      result = handler(value, context);
    } catch (error) {
      return this.#fail(id, error);
    }
    if (!isThenable(result)) return this.#reply(id, result, context);
    this.#serving.set(id, context);
    Promise.resolve(result).then(
      (settled) => {
        if (this.#serving.delete(id)) this.#reply(id, settled, context);
      },
      (error) => {
        if (this.#serving.delete(id)) this.#fail(id, error);
      },
    );
  }

  /**
   * @param {number} id
   * @param {any} value
   * @param {RequestContext} context
   */
  #reply(id, value, context) {
    if (this.#isClosed) return;
    try {
      this.#send(REPLY, id, value, context.transferList);
    } catch (error) {
      this.#fail(id, error);
    }
  }

  /**
   * @param {number} id
   * @param {any} error
   */
  #fail(id, error) {
    if (this.#isClosed) return;
    try {
      this.#send(FAILURE, id, describeError(error));
    } catch (refusal) {
      this.#send(FAILURE, id, describeError(refusal));
    }
  }

  #updateHold() {
    const on = this.#pending.size > 0 || this.#handlerHoldsLoop;
    if (on === this.#holdsLoop) return;
    this.#holdsLoop = on;
    this.#receiver.setRef(on);
  }
}

function nothing() {}

/** @param {any} value */
function isThenable(value) {
  return typeof value === 'object' && value !== null && typeof value.then === 'function';
}

/**
 * Where there is no channel beside the lane.
 * @param {any} value
 * @param {any[]} transferList
 * @returns {never}
 */
function refuse(value, transferList) {
  // Throws as the platform does for what cannot be cloned at all.
  structuredClone(value, { transfer: transferList });
  throw new DOMException('The value can only be cloned between threads of a process', 'DataCloneError');
}

module.exports.CallLink = CallLink;
