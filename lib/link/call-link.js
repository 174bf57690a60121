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
const { CallServer } = require('./call-server');
const { CallWire, typeOf, REQUEST, REPLY, FAILURE, CANCEL, BLOCKED } = require('./call-wire');
const { Looker } = require('./looker');
const { Numbered } = require('./numbered');

/** How often a blocked thread can be terminated, and notices a dead peer that could not ring. */
const PARK_MS = 10;

/** How long a blocked caller looks on before it sleeps. A peer that has to be woken answers after some 50 us. */
const CALLER_LOOKS_US = 100;
/** How long an event loop looks on after the last record, before native code does so: a peer that is at it asks
 * again within this time, and is answered without a way through native code. */
const DRAIN_LOOKS_US = 10;
/** Records that an event loop takes before others have their turn, and a blocked caller before it looks at the time. */
const ENTRIES_PER_DRAIN = 1000;
/** More records than wait in a ring and behind it at any time, of which answers may be among. */
const MAX_LAST_ENTRIES = 1 << 20;

/**
 * @typedef {object} RequestOptions
 * @property {number} [timeoutMs]
 * @property {AbortSignal} [signal]
 * @property {Iterable<any>} [transferList]
 */

/**
 * @typedef {import('./call-wire').Transport} Transport
 * @typedef {import('./call-server').Handler} Handler
 * @typedef {{ resolve(value: any): void, reject(error: any): void, release(): void }} Pending
 */

/**
 * A `call()` that blocks: the kind of its answer, once that is there, and what that carries; and the one that it was made
 * within, by a handler that runs while this side is blocked.
 * @typedef {{ id: number, kind: number, carried: any, outer: Blocked | null }} Blocked
 */

/** In the place of the kind of an answer: there is none yet; it never comes. */
const UNANSWERED = -1;
const DEADLOCK = -2;
const SETTLED = Promise.resolve();
const DEADLOCK_REASON = 'the other side waits for an answer of this one, and neither has a handler';

class CallLink {
  #transport;
  #wire;
  #receiver;
  #looker;
  #lingerer;
  #lastId = 0;
  /** @type {Numbered<Pending>} */
  #pending = new Numbered();
  /** The innermost. @type {Blocked | null} */
  #blocked = null;
  #server;
  #handlerHoldsLoop = false;
  #holdsLoop = false;
  #isClosed = false;
  /** After a call: the event loop is to be told of records, and is not yet. */
  #isDozing = false;
  /** @type {Error | undefined} */
  #cause;

  /** @param {Transport} transport */
  constructor(transport) {
    this.#transport = transport;
    this.#wire = new CallWire(transport, (error) => this.#failPeer(error));
    this.#receiver = transport.receiver;
    this.#looker = new Looker(this.#receiver.looker(CALLER_LOOKS_US));
    this.#lingerer = new Looker(this.#receiver.looker(DRAIN_LOOKS_US));
    this.#server = new CallServer({
      reply: (id, value, transferList) => this.#wire.send(REPLY, id, value, transferList),
      fail: (id, error) => this.#fail(id, error),
    });
    this.#receiver.listen(() => this.#drain());
    this.#receiver.resume();
  }

  /** False once either side has gone. */
  get isOpen() {
    return this.#wire.isOpen;
  }

  /** Whether the peer has ever sent anything. */
  get hasHeard() {
    return this.#wire.hasHeard;
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
      this.#wire.send(REQUEST, id, value, transferList);
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
      this.#wire.send(CANCEL, id, undefined);
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
    this.#wire.send(REQUEST | BLOCKED, id, value, transferList);
    /** @type {Blocked} */
    const blocked = { id, kind: UNANSWERED, carried: undefined, outer: this.#blocked };
    this.#blocked = blocked;
    try {
      this.#await(blocked, deadline, timeoutMs);
    } finally {
      this.#blocked = blocked.outer;
      this.#sleepSoon();
    }
    if (blocked.kind === DEADLOCK) {
      this.#wire.send(CANCEL, id, undefined);
      throw makeError('ERR_MANYCORE_DEADLOCK', [DEADLOCK_REASON], this.call);
    }
    const result = this.#wire.valueOf(blocked.kind, id, blocked.carried);
    if (typeOf(blocked.kind) === FAILURE) throw rebuildError(result);
    return result;
  }

  /**
   * Serves the peer's requests from now on, those that wait first. Null: lets them wait.
   * @param {Handler | null} handler
   * @param {boolean} holdsLoop whether a handler keeps the event loop alive
   */
  setHandler(handler, holdsLoop) {
    this.#server.setHandler(handler);
    this.#handlerHoldsLoop = handler !== null && holdsLoop;
    this.#updateHold();
    if (handler !== null && this.#server.isPending) setImmediate(() => this.#drain());
  }

  /**
   * Ends the link: what waits for an answer fails.
   * @param {Error} [cause] why, if not because the peer has gone
   */
  close(cause) {
    if (this.#isClosed) return;
    this.#cause = cause;
    // What the peer answered before it went counts.
    if (cause === undefined && this.#blocked === null) this.#readAnswers();
    this.#isClosed = true;
    for (const { reject, release } of this.#pending.takeAll()) {
      release();
      reject(this.#reason(this.close));
    }
    this.#handlerHoldsLoop = false;
    this.#updateHold();
    this.#wire.close();
    this.#server.close();
  }

  /** Moves records that wait into the lane. True when none are left. */
  flush() {
    return this.#wire.flush();
  }

  /** @param {Error} error what the peer wrote cannot be */
  #failPeer(error) {
    if (this.#isClosed) return;
    this.close(error);
    this.#transport.onCorrupt?.(error);
  }

  /**
   * Why nothing can be asked any more.
   * @param {Function} origin
   */
  #reason(origin) {
    return this.#cause ?? makeError('ERR_MANYCORE_PEER_GONE', [], origin);
  }

  #readAnswers() {
    // A peer that goes on writing is not read for ever.
    for (let budget = MAX_LAST_ENTRIES; budget > 0; budget--) {
      if (!this.#wire.next()) return;
      if (typeOf(this.#wire.kind) !== REQUEST) this.#handle();
    }
  }

  #nextId() {
    this.#lastId = (this.#lastId + 1) | 0;
    return this.#lastId;
  }

  /**
   * @param {Blocked} blocked
   * @param {number} deadline
   * @param {number} timeoutMs
   */
  #await(blocked, deadline, timeoutMs) {
    const receiver = this.#receiver;
    const { isPeerGone, assist } = this.#transport;
    let isGone = false;
    if (!this.#isDozing) receiver.stayAwake();
    for (;;) {
      // Before reading: a peer that goes after its answer is heard first.
      isGone ||= !this.isOpen;
      const isEmpty = this.#readFor(blocked);
      receiver.release();
      if (blocked.kind !== UNANSWERED) return;
      if (isEmpty) this.#wire.verify();
      if (isGone && isEmpty) {
        this.close();
        throw this.#reason(this.call);
      }
      assist?.();
      const isFlushed = this.#wire.flush();
      const leftMs = deadline === Infinity ? Infinity : deadline - performance.now();
      if (leftMs <= 0) {
        this.#wire.send(CANCEL, blocked.id, undefined);
        throw makeError('ERR_MANYCORE_TIMEOUT', [timeoutMs], this.call);
      }
      // Room is told of by the bell, which looking on does not see.
      if (!isEmpty || (isFlushed && this.#looker.look())) continue;
      receiver.park(Math.min(PARK_MS, Math.ceil(leftMs)));
      isGone = isPeerGone?.() ?? false;
    }
  }

  /**
   * Has the event loop told of records again, once what runs now is over: it may call again, and each change of the
   * flag costs both sides the way of a cache line.
   */
  #sleepSoon() {
    if (this.#isDozing) return;
    this.#isDozing = true;
    SETTLED.then(() => {
      this.#isDozing = false;
      if (this.#blocked === null) this.#receiver.allowSleep();
    });
  }

  /**
   * Handles what is there, up to the answer. True when there was nothing.
   * @param {Blocked} blocked
   */
  #readFor(blocked) {
    let budget = ENTRIES_PER_DRAIN;
    while (budget > 0 && blocked.kind === UNANSWERED && this.#wire.next()) {
      this.#handle();
      budget--;
    }
    return budget === ENTRIES_PER_DRAIN;
  }

  /** Takes what is there without waiting for the event loop: the other side is in this thread, and blocked. */
  serveNow() {
    while (this.#wire.next()) this.#handle();
    this.#receiver.release();
    this.#server.serveWaiting();
  }

  #drain() {
    const wire = this.#wire;
    const { tick } = this.#transport;
    this.#server.serveWaiting(tick);
    let budget = ENTRIES_PER_DRAIN;
    let before;
    do {
      before = budget;
      let hasTicked = false;
      while (wire.next()) {
        const isRequest = typeOf(wire.kind) === REQUEST;
        this.#handle();
        budget--;
        hasTicked = isRequest && tick();
        if (isRequest !== hasTicked || budget <= 0) return this.#endDrain();
      }
      this.#receiver.release();
      // Whoever goes on asking when it has its answer does so now.
      if (!hasTicked && this.#pending.size === 0 && this.#holdsLoop && !tick()) break;
      // Where nothing was found, control words that cannot be would make looking on find it again and again.
    } while (budget < before && budget > 0 && !this.#isClosed && this.#lingerer.look());
    this.#endDrain();
  }

  #endDrain() {
    this.#receiver.release();
    this.#wire.verify();
    this.#updateHold();
  }

  /** What the wire has read. */
  #handle() {
    const { kind, id } = this.#wire;
    const carried = this.#wire.takeCarried();
    const type = typeOf(kind);
    if (type === REQUEST) return this.#receiveRequest(kind, id, carried);
    if (type !== CANCEL) return this.#receiveAnswer(kind, id, carried);
    if ((kind & BLOCKED) !== 0) return this.#meetDeadlock(id);
    this.#server.cancel(id);
  }

  /**
   * @param {number} kind
   * @param {number} id
   * @param {any} carried
   */
  #receiveRequest(kind, id, carried) {
    let value;
    try {
      value = this.#wire.valueOf(kind, id, carried);
    } catch (error) {
      return this.#fail(id, error);
    }
    this.#server.receive(id, value);
    if (this.#blocked === null) return;
    // A caller that is blocked goes on where it stands before anything else runs.
    if (this.#server.hasHandler) this.#server.serveWaiting();
    else if ((kind & BLOCKED) !== 0) this.#wire.send(CANCEL | BLOCKED, id, undefined);
  }

  /**
   * The other side is blocked, and has no handler for `id`. If this side has none either, it is never answered.
   * @param {number} id
   */
  #meetDeadlock(id) {
    const blocked = this.#blockedIn(id);
    if (blocked !== null && !this.#server.hasHandler) blocked.kind = DEADLOCK;
  }

  /**
   * The `call()` of this side with that id, if it is under way.
   * @param {number} id
   */
  #blockedIn(id) {
    let blocked = this.#blocked;
    while (blocked !== null && blocked.id !== id) blocked = blocked.outer;
    return blocked;
  }

  /**
   * @param {number} kind
   * @param {number} id
   * @param {any} carried
   */
  #receiveAnswer(kind, id, carried) {
    const blocked = this.#blockedIn(id);
    if (blocked !== null) {
      blocked.kind = kind;
      blocked.carried = carried;
      return;
    }
    const pending = this.#settle(id);
    try {
      // Also of a request that has been given up: what came beside the lane must not stay there.
      const value = this.#wire.valueOf(kind, id, carried);
      if (typeOf(kind) === REPLY) pending?.resolve(value);
      else pending?.reject(rebuildError(value));
    } catch (error) {
      pending?.reject(error);
    }
  }

  /**
   * Forgets a request of this side.
   * @param {number} id
   */
  #settle(id) {
    const pending = this.#pending.take(id);
    pending?.release();
    return pending;
  }

  /**
   * @param {number} id
   * @param {any} error
   */
  #fail(id, error) {
    if (this.#isClosed) return;
    try {
      this.#wire.send(FAILURE, id, describeError(error));
    } catch (refusal) {
      this.#wire.send(FAILURE, id, describeError(refusal));
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

module.exports.CallLink = CallLink;
