'use strict';

/** The acceptor of the process and the workers linked to it. */

const builtin = require('./builtin');
const { makeError } = require('../core/errors');

const DEFAULT_STALL_LIMIT_MS = 50;

/** How long the acceptor lets connections accumulate per connection that every worker has waiting, in milliseconds. */
const LINGER_MS = 0.06;

const EVENT_STALLED = 1;
const EVENT_RECOVERED = 2;
const EVENT_UNDECIDED = 5;

class Scheduler {
  /**
   * @param {import('../core/addon').Binding} addon
   * @param {number} stallLimitMs
   */
  constructor(addon, stallLimitMs) {
    this.acceptor = new addon.Acceptor(stallLimitMs, LINGER_MS);
    /** @type {Map<number, any>} */
    this.workers = new Map();
    /** @type {Map<number, () => void>} callbacks that assign a listener's undecided connections */
    this.deciders = new Map();
    this.acceptor.onEvent((/** @type {any[]} */ ...args) => this.#onEvent(args[0], args[1], args[2]));
  }

  addWorker() {
    const link = this.acceptor.addWorker();
    if (link === null) throw makeError('ERR_MANYCORE_TOO_MANY_WORKERS', [this.workers.size], this.addWorker);
    return link;
  }

  /**
   * @param {import('../native/index').AcceptorWorker} link
   * @param {any} worker
   */
  watch(link, worker) {
    const { pid } = worker.process;
    // Without a pid the process could not be started, and no 'exit' event will follow.
    if (pid === undefined) {
      this.removeWorker(link);
      return;
    }
    this.workers.set(link.token, worker);
    try {
      this.acceptor.watch(link.token, pid);
    } catch {
      // No descriptor left: what waits for the worker goes to others at its 'exit' then, not at once.
    }
  }

  /** @param {import('../native/index').AcceptorWorker} link */
  removeWorker(link) {
    this.workers.delete(link.token);
    this.acceptor.removeWorker(link.token);
  }

  /** @param {import('../native/index').AcceptorWorker} link */
  load(link) {
    if (!this.workers.has(link.token)) return { connections: 0, requests: 0, loopLagMs: 0, unclaimed: 0 };
    return this.acceptor.load(link.token);
  }

  /** @param {number} kind @param {number} subject a worker's token or a listener @param {number} moved */
  #onEvent(kind, subject, moved) {
    if (kind === EVENT_UNDECIDED) this.deciders.get(subject)?.();
    const worker = kind === EVENT_STALLED || kind === EVENT_RECOVERED ? this.workers.get(subject) : undefined;
    if (worker === undefined) return;
    if (kind === EVENT_STALLED) {
      const info = { moved };
      worker.emit('stall', info);
      builtin.emit('stall', worker, info);
    } else if (kind === EVENT_RECOVERED) {
      worker.emit('recover');
      builtin.emit('recover', worker);
    }
  }
}

/** @type {Scheduler | undefined} */
let scheduler;

/**
 * Returns the scheduler of the process, which is created on the first call.
 * @param {import('../core/addon').Binding} addon
 * @param {Record<string, any>} settings
 */
function getScheduler(addon, settings) {
  scheduler ??= new Scheduler(addon, settings.stallLimitMs ?? DEFAULT_STALL_LIMIT_MS);
  return scheduler;
}

module.exports.Scheduler = Scheduler;
module.exports.getScheduler = getScheduler;
