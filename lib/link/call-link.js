'use strict';

/**
 * One side of the requests and replies between two peers. They have lanes of their own, so that neither is delayed
 * by messages that nobody receives, and either side may send a request at any time.
 *
 * A side blocked in `call()` serves requests of the same peer meanwhile, in order: two sides that call each other
 * both get their replies. Nothing else is delivered to a blocked side.
 */

const { makeError } = require('../core/errors');
const { describeError } = require('./call-errors');
const { CallServer } = require('./call-server');
const { CallWire, typeOf, REQUEST, REPLY, FAILURE, CANCEL, BLOCKED } = require('./call-wire');
const { Spinner } = require('./spinner');
const { Numbered } = require('./numbered');

/**
 * Maximum time a blocked thread sleeps, in milliseconds: between two sleeps it can be terminated, and notices a
 * peer that died without ringing.
 */
const PARK_MS = 10;

/** How long a blocked caller spins before it sleeps. A peer that has to be woken answers after about 50 us. */
const CALLER_SPIN_US = 100;
/**
 * How long an event loop spins after the last record before native code does so: an active peer sends its next
 * request within this time, and is answered without a native call.
 */
const DRAIN_SPIN_US = 10;
/**
 * Maximum number of records an event loop handles before it yields, and a blocked caller before it checks the time.
 */
const ENTRIES_PER_DRAIN = 1000;
/** Maximum number of records searched for replies when closing; more than can ever be queued. */
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
 * A blocking `call()`: the kind of its reply, once it has arrived, and its payload; and the enclosing call, if this
 * one was made by a handler that ran while this side was blocked.
 * `depth` handlers of this side were running when it was made.
 * @typedef {{ id: number, kind: number, carried: any, depth: number, outer: Blocked | null }} Blocked
 */

/** In place of the kind of a reply: none yet, or why none will ever arrive. */
const UNANSWERED = -1;
const NO_HANDLER = -2;
const NO_TURN = -3;
const SETTLED = Promise.resolve();
/** @type {Record<number, string>} */
const DEADLOCKS = {
  [NO_HANDLER]: 'the other side waits for an answer of this one, and neither has a handler',
  [NO_TURN]: 'the promise of its handler cannot settle while the other side waits for an answer of this one',
};

class CallLink {
  #transport;
  #wire;
  #receiver;
  #spinner;
  #lingerer;
  #lastId = 0;
  /** @type {Numbered<Pending>} */
  #pending = new Numbered();
  /** The innermost blocking call. @type {Blocked | null} */
  #blocked = null;
  #server;
  #handlerHoldsLoop = false;
  #holdsLoop = false;
  #isClosed = false;
  /** Whether wake-ups have yet to be re-enabled after a call. */
  #isDozing = false;
  /** @type {Error | undefined} */
  #cause;

  /** @param {Transport} transport */
  constructor(transport) {
    this.#transport = transport;
    this.#wire = new CallWire(transport, (error) => this.#failPeer(error));
    this.#receiver = transport.receiver;
    transport.sender.copyFor(transport.receiver);
    this.#spinner = new Spinner(this.#receiver.spinner(CALLER_SPIN_US));
    this.#lingerer = new Spinner(this.#receiver.spinner(DRAIN_SPIN_US));
    this.#server = new CallServer({
      reply: (id, value, transferList) => this.#wire.send(REPLY, id, value, transferList),
      fail: (id, error) => this.#fail(id, error),
    });
    this.#receiver.listen(() => this.#drain());
    this.#receiver.resume();
  }

  /** False once either side has closed. */
  get isOpen() {
    return this.#wire.isOpen;
  }

  /** Whether the peer has ever sent anything. */
  get hasHeard() {
    return this.#wire.hasHeard;
  }

  /**
   * Sends a request and returns a promise of the reply.
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
   * Sends a request and blocks the thread until the reply arrives.
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
    const blocked = {
      id,
      kind: UNANSWERED,
      carried: undefined,
      depth: this.#server.depth,
      outer: this.#blocked,
    };
    this.#blocked = blocked;
    try {
      this.#await(blocked, deadline, timeoutMs);
    } finally {
      this.#blocked = blocked.outer;
      this.#sleepSoon();
    }
    if (blocked.kind < UNANSWERED) {
      this.#wire.send(CANCEL, id, undefined);
      throw makeError('ERR_MANYCORE_DEADLOCK', [DEADLOCKS[blocked.kind]], this.call);
    }
    const result = this.#wire.valueOf(blocked.kind, id, blocked.carried);
    if (typeOf(blocked.kind) === FAILURE) throw this.#wire.errorOf(result);
    return result;
  }

  /**
   * Serves the peer's requests from now on, queued ones first. With null, requests are queued.
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
   * Closes the link: pending requests are rejected.
   * @param {Error} [cause] the reason, if not the end of the peer
   */
  close(cause) {
    if (this.#isClosed) return;
    this.#cause = cause;
    // Replies that the peer sent before it ended still count.
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

  /** Moves spilled records into the lane. Returns true if none are left. */
  flush() {
    return this.#wire.flush();
  }

  /** @param {Error} error the peer wrote invalid data */
  #failPeer(error) {
    if (this.#isClosed) return;
    this.close(error);
    this.#transport.onCorrupt?.(error);
  }

  /**
   * Returns the error for requests on a closed link.
   * @param {Function} origin
   */
  #reason(origin) {
    return this.#cause ?? makeError('ERR_MANYCORE_PEER_GONE', [], origin);
  }

  #readAnswers() {
    // Limited, in case the peer keeps writing.
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
      // Checked before reading, so that a reply sent before the peer ended is not missed.
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
      // Room in the lane is signalled by the bell, which spinning does not see.
      if (!isEmpty || (isFlushed && this.#spinner.spin())) continue;
      receiver.park(Math.min(PARK_MS, Math.ceil(leftMs)));
      isGone = isPeerGone?.() ?? false;
    }
  }

  /**
   * Re-enables wake-ups of the event loop in a microtask: the caller may call again, and each change of the flag
   * transfers a cache line between the two sides.
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
   * Handles available records, up to the reply. Returns true if there were none.
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

  /** Handles available records at once: the other side is in the same thread, and blocked. */
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
    // One way out of the loops: V8 would discard its code when another one is first taken.
    records: do {
      before = budget;
      while (wire.next()) {
        const isRequest = typeOf(wire.kind) === REQUEST;
        this.#handle();
        budget--;
        // After the last reply that is awaited, a caller that sends its next request at once does so now.
        const mustTick = isRequest || this.#pending.size === 0;
        if ((mustTick && !tick()) || budget <= 0) break records;
      }
      this.#receiver.release();
      // Only if something was found; otherwise, invalid control words could keep this loop spinning.
    } while (budget < before && budget > 0 && !this.#isClosed && this.#lingerer.spin());
    this.#receiver.release();
    this.#wire.verify();
    this.#updateHold();
  }

  /** Handles the record read by the wire. */
  #handle() {
    const { kind, id } = this.#wire;
    const carried = this.#wire.takeCarried();
    const type = typeOf(kind);
    if (type === REQUEST) return this.#receiveRequest(kind, id, carried);
    if (type !== CANCEL) return this.#receiveAnswer(kind, id, carried);
    if ((kind & BLOCKED) !== 0) return this.#meetBlocked(id, carried);
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
    // A blocked caller serves requests before it returns to its own code.
    if (this.#server.hasHandler) this.#server.serveWaiting();
    const isLater = !this.#server.hasHandler || this.#server.isServing(id);
    if ((kind & BLOCKED) !== 0 && isLater) this.#wire.send(CANCEL | BLOCKED, id, this.#blockedIds());
  }

  /** Returns the ids of the calls that block this side; none if it has no handler. */
  #blockedIds() {
    /** @type {number[]} */
    const ids = [];
    if (!this.#server.hasHandler) return ids;
    for (let blocked = this.#blocked; blocked !== null; blocked = blocked.outer) ids.push(blocked.id);
    return ids;
  }

  /**
   * The other side is blocked and cannot answer `id` before it goes on.
   * @param {number} id
   * @param {any} theirs the calls that block it; none if it has no handler
   */
  #meetBlocked(id, theirs) {
    const blocked = this.#blockedIn(id);
    if (blocked === null || blocked.kind !== UNANSWERED || !Array.isArray(theirs)) return;
    const { depth } = blocked;
    const isOurs = (/** @type {any} */ each) => this.#server.isRunning(each, depth);
    if (theirs.length === 0 && !this.#server.hasHandler) blocked.kind = NO_HANDLER;
    // It waits for a handler of this side that made this call. The length of what it has sent may be any.
    else if (Object.values(theirs).some(isOurs)) blocked.kind = NO_TURN;
  }

  /**
   * Returns this side's blocking call with that id, if there is one.
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
      // Also for an abandoned request: a value posted beside the lane must be removed.
      const value = this.#wire.valueOf(kind, id, carried);
      if (typeOf(kind) === REPLY) pending?.resolve(value);
      else pending?.reject(this.#wire.errorOf(value));
    } catch (error) {
      pending?.reject(error);
    }
  }

  /**
   * Removes a pending request of this side.
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
      this.#wire.send(
        FAILURE,
        id,
        describeError(error, (value) => this.#wire.copy(value)),
      );
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
