'use strict';

/** Common part of channels and topics. */

const { Exchange } = require('./exchange');
const { guarded } = require('./failures');
const { KeepAlive, Listeners } = require('./bell');
const { makeError } = require('../core/errors');
const { OptionNames } = require('../core/option-names');
const { LONGEST_TIMER_MS } = require('../core/timers');
const source = require('./source');

/** The bells of a queue. */
const RECORDS = 0;
const ROOM = 1;
/** What did not come in time, by bell. */
const LATE = ['Nothing came to be received', 'There was no room to send'];
/** Slice of a blocking wait, in milliseconds, so that a thread that is being terminated ends. */
const SLICE_MS = 20;
const OPTIONS = new OptionNames('Sending and receiving', ['timeoutMs', 'signal']);
const BLOCKING_OPTIONS = new OptionNames('Blocking', ['timeoutMs']);

/** The waiters for one bell of a queue, in order. */
class Line {
  #listeners;
  /** @type {Set<() => boolean>} */
  #looks = new Set();
  #serve = () => this.serve();

  /** @param {() => import('../native/index').BellWatcher} open */
  constructor(open) {
    this.#listeners = new Listeners(open);
  }

  get isEmpty() {
    return this.#looks.size === 0;
  }

  /** @param {() => boolean} look tries to proceed; if it returns true, it has left the line */
  join(look) {
    this.#listeners.add(this.#serve);
    this.#looks.add(look);
  }

  /** @param {() => boolean} look */
  leave(look) {
    this.#looks.delete(look);
    if (this.isEmpty) this.#listeners.delete(this.#serve);
  }

  /** Lets waiters try, up to the first one that has to keep waiting. */
  serve() {
    for (const look of this.#looks) if (!look()) return;
  }
}

/** A native queue with its values and waits. */
class Queue {
  #native;
  #exchange;
  #methods;
  #alive = new KeepAlive();
  #waits = 0;
  #lines;

  /**
   * @param {import('../native/index').SharedQueue} native
   * @param {string} subject
   */
  constructor(native, subject) {
    this.subject = subject;
    this.#native = native;
    this.#exchange = new Exchange(native, subject);
    this.#methods = /** @type {Record<string, (...args: any[]) => any>} */ (native.methods());
    this.#lines = [RECORDS, ROOM].map((bell) => new Line(() => this.guarded(() => native.bell(bell))));
  }

  get numbers() {
    return this.#exchange.numbers;
  }

  /**
   * Sends a value. Returns false if there was no room.
   * @param {any} value
   * @returns {boolean}
   */
  trySend(value) {
    const methods = this.#methods;
    if (typeof value === 'string' || typeof value === 'number') {
      return this.#exchange.checked(methods.send(value));
    }
    const sent = this.#exchange.give(
      value,
      (length) => methods.sendScratch(length),
      (bytes, kind) => methods.sendBytes(bytes, kind),
    );
    return this.#exchange.checked(sent);
  }

  /**
   * Returns a copy of a value, for `trySendKept` at a time when the value may have changed.
   * @param {any} value
   */
  keep(value) {
    return this.#exchange.keep(value);
  }

  /**
   * Sends a copy made by `keep`. Returns false if there was no room.
   * @param {import('./exchange').Kept} kept
   * @returns {boolean}
   */
  trySendKept({ bytes, kind }) {
    return this.#exchange.checked(this.#methods.sendBytes(bytes, kind));
  }

  /** @returns {{ value: any } | undefined} */
  tryReceive() {
    const raw = this.#methods.receive();
    return raw === undefined ? undefined : { value: this.#exchange.value(raw, undefined) };
  }

  /**
   * Calls `attempt` until it has a result, blocking in between.
   * @template T
   * @param {number} bell
   * @param {number} timeoutMs
   * @param {() => T | undefined | false} attempt
   * @param {Function} origin
   * @returns {T}
   */
  waitSync(bell, timeoutMs, attempt, origin) {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const seen = this.#exchange.checked(this.#methods.count(bell));
      const outcome = attempt();
      if (outcome !== undefined && outcome !== false) return outcome;
      const left = deadline - performance.now();
      if (left <= 0) {
        throw makeError('ERR_MANYCORE_TIMEOUT', [timeoutMs, LATE[bell]], origin);
      }
      this.#exchange.checked(this.#methods.wait(bell, seen, Math.ceil(Math.min(left, SLICE_MS))));
    }
  }

  /**
   * Calls `attempt` until it has a result, now and whenever the bell is rung, after all earlier waiters.
   * @template T
   * @param {number} bell
   * @param {Limits} limits
   * @param {() => T | undefined | false} attempt
   * @param {() => void} [prepare] called before waiting
   * @returns {Promise<T>}
   */
  wait(bell, { signal, timeoutMs, origin }, attempt, prepare) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const line = this.#lines[bell];
      line.serve();
      const early = line.isEmpty && attempt();
      if (early !== undefined && early !== false) return resolve(early);
      prepare?.();
      /** @type {NodeJS.Timeout | undefined} */
      let timer;
      const end = (/** @type {() => void} */ settle) => {
        line.leave(look);
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        if (--this.#waits === 0) this.#alive.release();
        settle();
      };
      const giveUp = (/** @type {any} */ reason) => {
        end(() => reject(reason));
        line.serve();
      };
      const abort = () => giveUp(signal?.reason);
      const expire = () => giveUp(makeError('ERR_MANYCORE_TIMEOUT', [timeoutMs, LATE[bell]], origin));
      const look = () => {
        try {
          const outcome = attempt();
          if (outcome === undefined || outcome === false) return false;
          end(() => resolve(outcome));
        } catch (error) {
          end(() => reject(error));
        }
        return true;
      };
      line.join(look);
      if (this.#waits++ === 0) this.#alive.hold();
      signal?.addEventListener('abort', abort, { once: true });
      if (timeoutMs !== Infinity) timer = setTimeout(expire, Math.min(timeoutMs, LONGEST_TIMER_MS));
      // The bell may have been rung between the first attempt and the start of listening.
      setImmediate(() => line.serve());
    });
  }

  /** Ends the queue: no more values can be sent. */
  end() {
    this.guarded(() => this.#native.end());
    this.#notify();
  }

  release() {
    this.#native.release();
    this.#notify();
  }

  #notify() {
    for (const line of this.#lines) line.serve();
  }

  /**
   * @template T
   * @param {() => T} call
   */
  guarded(call) {
    return guarded(this.subject, this.guarded, call);
  }
}

/**
 * @typedef {object} Limits
 * @property {AbortSignal | undefined} signal
 * @property {number} timeoutMs
 * @property {Function} origin
 */

/**
 * Returns what ends a wait that does not block.
 * @param {any} options
 * @param {Function} origin
 * @returns {Limits}
 */
function limitsOf(options, origin) {
  if (options === undefined) return { signal: undefined, timeoutMs: Infinity, origin };
  const { signal, timeoutMs } = source.checkOptions(options, origin, OPTIONS);
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw makeError('ERR_INVALID_ARG_TYPE', ['options.signal', 'an AbortSignal', signal], origin);
  }
  return { signal, timeoutMs: timeoutOption(timeoutMs, origin), origin };
}

/**
 * @param {any} options
 * @param {Function} origin
 */
function timeoutOf(options, origin) {
  return timeoutOption(source.checkOptions(options, origin, BLOCKING_OPTIONS).timeoutMs, origin);
}

/**
 * @param {unknown} timeoutMs
 * @param {Function} origin
 */
function timeoutOption(timeoutMs, origin) {
  const rules = { fallback: Infinity, min: 0, max: Infinity, integer: false, origin };
  return source.numberOption('options.timeoutMs', timeoutMs, rules);
}

module.exports.Queue = Queue;
module.exports.RECORDS = RECORDS;
module.exports.ROOM = ROOM;
module.exports.limitsOf = limitsOf;
module.exports.timeoutOf = timeoutOf;
