'use strict';

const { EventEmitterAsyncResource } = require('node:events');
const { hasOwnScheduling, optionsOf, resolve: resolveOptions, resolveRuntime, toPath } = require('./options');
const { ENGINE, drop, startThreads } = require('./start');

/** @typedef {import('./engine').Engine} Engine */
/** @typedef {import('./dispatcher').Dispatcher} Dispatcher */

/**
 * Number of outstanding tasks of `map()` and `stream()` per task that can run at once: enough that no worker waits
 * for the next one.
 */
const AHEAD = 16;
/** Most outstanding tasks of `map()` and `stream()`, unless the program asks for more. */
const MOST_AHEAD = 2 ** 14;

/**
 * Modules that the methods use, loaded while the threads of the first pool boot.
 * @type {typeof import('./run-options') & typeof import('./errors') & typeof import('../core/errors')}
 */
let late;

/**
 * @typedef {object} Submitted
 * @property {Engine} engine
 * @property {number} slot -1 until it has one
 * @property {(error: any) => void} cancel
 * @property {(timeoutMs: number) => void} [limit] limits its run time, if it has to have a slot for that
 */

/** A pool of workers that run tasks. */
class Pool extends EventEmitterAsyncResource {
  #options;
  /** @type {Engine | null} */
  #engine = null;
  /** @type {Dispatcher | null} */
  #dispatcher = null;
  #defaultHandler = -1;
  #isPlain;
  #isManaged;
  #isClosing = false;
  /** Settles when the last engine that was destroyed has ended. @type {Promise<void> | null} */
  #ended = null;
  #completedBefore = 0;
  /** @type {import('./former-engines').FormerEngines | null} */
  #former = null;
  #startedAt = performance.now();
  /** @type {any} */
  #histogram = null;
  /** Times of the engine that was destroyed last. @type {import('./histogram').Times | null} */
  #pastTimes = null;
  /** Run time of the tasks of earlier engines, in milliseconds. */
  #busyMsBefore = 0;

  /**
   * @param {any} [options] options, or the file
   * @param {any} [further] options if the first argument is the file
   */
  constructor(options = {}, further = {}) {
    options = optionsOf(options, further);
    super({ ...options, name: 'Piscina' });
    this.#options = resolveOptions(options);
    this.#isManaged = hasOwnScheduling(this.#options, options);
    const { taskTimeoutMs, maxRetries, computeWorkerKey, agingFactor } = this.#options;
    const isPlain = taskTimeoutMs === 0 && maxRetries === 0 && !computeWorkerKey && agingFactor === 0;
    this.#isPlain = isPlain && !this.#isManaged;
    this.on('newListener', (name) => {
      if (name === 'taskError' && this.#engine !== null) this.#engine.emitsTaskErrors = true;
    });
    this.#start();
  }

  /**
   * Keeps started threads for the workers of pools with these options.
   * @param {number} count
   * @param {any} [options]
   */
  static warm(count, options) {
    return require('./warm').warm(count, options);
  }

  #start() {
    // Threads first: they boot while the rest is loaded here.
    const started = this.#options.runtime === 'threads' ? startThreads(this.#options) : [];
    let engine;
    try {
      const { Engine } = loadLate();
      engine = new Engine(this.#options, this, started);
    } catch (error) {
      drop(started);
      // In a bundle there is no such file: asking for the addon says so.
      if (/** @type {NodeJS.ErrnoException} */ (error).code === 'MODULE_NOT_FOUND') {
        require('../core/addon').requireAddon('Pool');
      }
      throw error;
    }
    engine.emitsTaskErrors = this.listenerCount('taskError') > 0;
    this.#engine = engine;
    this.#pastTimes = null;
    this.#dispatcher = this.#isManaged
      ? new (require('./dispatcher').Dispatcher)(engine, this.#options)
      : null;
    this.#defaultHandler = -1;
    return engine;
  }

  #running() {
    return this.#engine ?? this.#start();
  }

  /**
   * Runs a task.
   * @param {any} [task] argument of the handler
   * @param {any} [options]
   * @returns {Promise<any>}
   */
  run(task, options) {
    if (options === undefined && this.#isPlain && !this.#isClosing && this.#defaultHandler >= 0) {
      const engine = /** @type {Engine} */ (this.#engine);
      const refusal = engine.admit();
      if (refusal !== null) return Promise.reject(refusal);
      return new Promise((resolve) => {
        engine.submit(this.#defaultHandler, task, null, resolve, null);
      });
    }
    const error = late.checkRunOptions(options);
    if (error !== null) return Promise.reject(error);
    return new Promise((resolve, reject) => void this.#submit(task, options ?? {}, resolve, reject));
  }

  /**
   * @param {any} task
   * @param {any} options
   * @param {(value: any) => void} resolve
   * @param {(error: any) => void} reject
   * @returns {Submitted | null} null if it was rejected
   */
  #submit(task, options, resolve, reject) {
    const filename = /** @type {string} */ (toPath(options.filename ?? this.#options.filename));
    const name = options.name ?? this.#options.name;
    const { handler: own, isFileless = false } = options;
    if (typeof filename !== 'string' && !isFileless) {
      reject(late.Errors.filenameNotProvided());
      return null;
    }
    if (this.#isClosing) {
      reject(new late.AbortError('queue is being terminated'));
      return null;
    }
    const signal = options.signal ?? null;
    if (signal?.aborted) {
      reject(new late.AbortError(signal.reason));
      return null;
    }
    const engine = this.#running();
    let handler;
    const hasChannel = (options.channel ?? null) !== null;
    if (own !== undefined) {
      handler = engine.handler(own.filename, own.name, own.isSpread, own.source, hasChannel);
    } else {
      handler = engine.handler(filename, name, false, null, hasChannel);
      if ((options.filename ?? options.name ?? null) === null && !hasChannel) this.#defaultHandler = handler;
    }
    const settings = late.settingsOf(task, options, this.#options, engine, this.duration);
    if (this.#dispatcher !== null && settings.place === undefined) {
      const about = { filename, name, signal, metadata: options.metadata };
      return this.#dispatcher.run(engine, handler, task, about, settings, resolve, reject);
    }
    const refusal = settings.isForced ? engine.expect() : engine.admit();
    if (refusal !== null) {
      reject(refusal);
      return null;
    }
    const slot = engine.submit(handler, task, settings, resolve, reject);
    if (slot < 0) return null;
    const cancel = (/** @type {any} */ error) => void engine.stopping.cancel(slot, error);
    if (signal !== null) {
      engine.stopping.follow(slot, signal, () => cancel(new late.AbortError(signal.reason)));
    }
    return { engine, slot, cancel };
  }

  /**
   * Runs a task and blocks until it has ended. Other tasks continue, but the event loop of this thread does not
   * run.
   * @param {any} [task]
   * @param {any} [options]
   */
  runSync(task, options) {
    if (options === undefined && this.#isPlain && !this.#isClosing && this.#defaultHandler >= 0) {
      return /** @type {Engine} */ (this.#engine).runSync(this.#defaultHandler, task);
    }
    const { isError, value } = this.#runSyncWith(task, options ?? {});
    if (isError) throw value;
    return value;
  }

  /**
   * @param {any} task
   * @param {any} options
   */
  #runSyncWith(task, options) {
    const error = late.checkRunOptions(options);
    if (error !== null) throw error;
    const outcome = { isOver: false, isError: false, value: undefined };
    const settle = (/** @type {boolean} */ isError) => (/** @type {any} */ value) => {
      if (!outcome.isOver) Object.assign(outcome, { isOver: true, isError, value });
    };
    const submitted = this.#submit(task, { ...options, isForced: true }, settle(false), settle(true));
    if (submitted === null) return outcome;
    const { timeoutMs = Infinity } = options;
    const isOpen = () => !outcome.isOver;
    if (!submitted.engine.waitFor(isOpen, () => submitted.slot, timeoutMs)) {
      submitted.cancel(late.makeError('ERR_MANYCORE_TASK_TIMED_OUT', ['runSync()', timeoutMs], this.runSync));
    }
    return outcome;
  }

  /**
   * Calls a function of the worker file, or one sent as source, with arguments.
   * @param {string | Function} method
   * @param {readonly any[] | null} [params]
   * @param {any} [options]
   * @returns {import('./cancellable').CancellablePromise}
   */
  exec(method, params = [], options = {}) {
    if (typeof method !== 'string' && typeof method !== 'function') {
      throw late.wrongType('Function or string expected as argument "method"');
    }
    if (params !== null && !Array.isArray(params)) {
      throw late.wrongType('Array expected as argument "params"');
    }
    const isFunction = typeof method === 'function';
    const handler = {
      filename: isFunction ? null : this.#options.filename,
      name: isFunction ? method.name || 'anonymous' : method,
      isSpread: true,
      source: isFunction ? late.sourceOf(method) : null,
    };
    const { CancellablePromise } = require('./cancellable');
    const given = options ?? {};
    const { on: onProgress = given.onProgress, transfer: transferList = given.transferList, ...rest } = given;
    const error = late.checkRunOptions({ ...rest, onProgress });
    if (error !== null) throw error;
    /** @type {any} */
    let submitted = null;
    const promise = new CancellablePromise((resolve, reject) => {
      submitted = this.#submit(
        params ?? [],
        { ...rest, handler, isFileless: true, isCancellable: true, transferList, onProgress },
        resolve,
        reject,
      );
    });
    promise._cancel = submitted?.cancel ?? null;
    promise._limit = (timeoutMs) => {
      if (submitted?.limit !== undefined) submitted.limit(timeoutMs);
      else submitted?.engine.stopping.limit(submitted.slot, timeoutMs);
    };
    return promise;
  }

  /**
   * Returns an object with a method for each function that the workers offer.
   * @param {any[]} args none are accepted
   * @returns {Promise<Record<string, (...args: any[]) => import('./cancellable').CancellablePromise>>}
   */
  async proxy(...args) {
    if (args.length > 0) throw new Error('No arguments expected');
    const names = /** @type {string[]} */ (await this.exec('methods'));
    /** @type {Record<string, (...args: any[]) => import('./cancellable').CancellablePromise>} */
    const proxy = {};
    for (const name of names) proxy[name] = (...params) => this.exec(name, params);
    return proxy;
  }

  /**
   * Runs the handler for each item. Resolves with all results, or rejects with the first error.
   * @param {Iterable<any> | AsyncIterable<any>} items
   * @param {any} [options]
   */
  map(items, options = {}) {
    const { concurrency = this.#ahead, ordered = true, signal, onResult = () => {}, ...rest } = options;
    late.checkConcurrency(concurrency);
    return require('./flow').runAll(items, this.#runner(rest, signal), {
      concurrency,
      ordered,
      signal,
      onResult,
    });
  }

  /**
   * Runs the handler for each item and yields the results as they are requested.
   * @param {Iterable<any> | AsyncIterable<any>} items
   * @param {any} [options]
   */
  stream(items, options = {}) {
    const { concurrency = this.#ahead, ordered = true, signal, ...rest } = options;
    late.checkConcurrency(concurrency);
    return require('./flow').flow(items, this.#runner(rest, signal), { concurrency, ordered, signal });
  }

  get #ahead() {
    const { maxThreads, concurrentTasksPerWorker } = this.#options;
    return Math.min(Math.ceil(maxThreads * concurrentTasksPerWorker * AHEAD), MOST_AHEAD);
  }

  /**
   * @param {any} options
   * @param {AbortSignal} [signal]
   */
  #runner(options, signal) {
    const hasOptions = Object.keys(options).length > 0 || signal !== undefined;
    const runOptions = hasOptions ? { ...options, signal } : undefined;
    return (/** @type {any} */ item) => this.run(item, runOptions);
  }

  /**
   * Runs a task once on each worker. A worker that takes no more tasks is left to the one that replaces it.
   * @param {any} [task]
   * @param {any} [options]
   * @returns {Promise<any[]>}
   */
  async broadcast(task, options = {}) {
    /** @type {Set<import('./member').Member>} */
    const known = new Set();
    /** @type {Promise<any>[]} */
    const results = [];
    for (let engine = this.#running(); ; engine = this.#engine) {
      const members = [...engine.crew].filter((member) => !member.isSurplus && !known.has(member));
      for (const member of members) {
        known.add(member);
        if (member.isRetired) continue;
        results.push(this.run(task, { ...options, place: member.number, isForced: true }));
      }
      const retired = members.filter((member) => member.isRetired);
      if (retired.length === 0) return Promise.all(results);
      await Promise.race([Promise.all(retired.map((member) => member.exited)), rejectionOf(results)]);
      if (this.#engine === null) throw late.Errors.threadTermination();
    }
  }

  /** Rejects the tasks that no worker has started. */
  cancelPendingTasks() {
    this.#rejectWaiting(late.Errors.cancelled());
  }

  /** @param {Error} error */
  #rejectWaiting(error) {
    this.#dispatcher?.rejectWaiting(error);
    this.#engine?.rejectWaiting(error);
    this.#former?.rejectWaiting(error);
  }

  /**
   * Replaces all workers, each once its tasks have ended.
   * @param {{ runtime?: string } | null} [options] what the new workers are; default: the same as before
   * @returns {Promise<void>}
   */
  async recycleWorkers(options = {}) {
    const { runtime } = options ?? {};
    if (runtime !== undefined) {
      const known = resolveRuntime(runtime, this.#options);
      if (known !== this.#options.runtime) return this.#changeRuntime(known);
    }
    const engine = this.#running();
    const members = [...engine.crew];
    for (const member of members) engine.crew.end(member);
    await Promise.all(members.map((member) => member.exited));
  }

  /**
   * New tasks go to workers of the other kind; those already queued are left to the old ones.
   * @param {string} runtime
   */
  async #changeRuntime(runtime) {
    const engine = this.#running();
    const dispatcher = this.#dispatcher;
    // A queue of the program's own must be empty: its tasks belong to the engine they were queued for.
    while (dispatcher !== null && engine.outstanding + dispatcher.size > 0) {
      await require('./closing').whenIdle(() => [engine, dispatcher]);
      if (this.#engine !== engine) return;
    }
    const before = this.#options.runtime;
    this.#options.runtime = runtime;
    try {
      this.#start();
    } catch (error) {
      this.#options.runtime = before;
      throw error;
    }
    this.#former ??= new (require('./former-engines').FormerEngines)();
    await this.#former.add(engine, late.Errors.threadTermination());
  }

  /**
   * Sets the minimum and maximum number of workers.
   * @param {{ min?: number, max?: number }} limits
   */
  resize({ min = this.#options.minThreads, max = this.#options.maxThreads }) {
    if (typeof min !== 'number' || !(min >= 0)) {
      throw late.makeError('ERR_OUT_OF_RANGE', ['min', '>= 0', min], this.resize);
    }
    if (typeof max !== 'number' || !(max >= 1 && max >= min)) {
      throw late.makeError('ERR_OUT_OF_RANGE', ['max', `>= 1 and >= ${min}`, max], this.resize);
    }
    this.#options.minThreads = min;
    this.#options.maxThreads = max;
    this.#engine?.crew.adjust();
  }

  /** Returns the current load of the pool. */
  stats() {
    return require('./stats').statsOf(this.#engine, this.#dispatcher?.size ?? 0, this.completed);
  }

  /**
   * Accepts no more tasks and ends once outstanding tasks have ended; with `force`, only those that workers have
   * started.
   * @param {any} [options]
   */
  async close(options = { force: false }) {
    if (options === null || typeof options !== 'object') throw late.wrongType('options must be an object');
    const { force = false } = options;
    if (typeof force !== 'boolean') throw late.wrongType('force argument must be a boolean');
    this.#isClosing = true;
    if (force) this.#rejectWaiting(new late.AbortError('pool is closed'));
    const timer = new AbortController();
    try {
      const { whenIdle, whenOver } = require('./closing');
      const idle = whenIdle(() => [this.#engine, this.#dispatcher]);
      await Promise.race([
        Promise.all([idle, this.#former?.whenIdle()]),
        whenOver(this.#options.closeTimeout, timer.signal),
      ]);
    } catch (error) {
      this.emit('error', error);
    } finally {
      timer.abort();
      await this.destroy();
      this.emit('close');
      this.#isClosing = false;
    }
  }

  /** Terminates all workers. Outstanding tasks are rejected. */
  async destroy() {
    // A call while another is under way ends with that one.
    if (this.#engine !== null) this.#ended = this.#end(this.#engine);
    await this.#ended;
  }

  /** @param {Engine} engine */
  async #end(engine) {
    const error = late.Errors.threadTermination();
    const wasClosing = this.#isClosing;
    this.#isClosing = true;
    this.#engine = null;
    if (this.#options.recordTiming) {
      this.#pastTimes = new (require('./histogram').Times)(engine.native);
      this.#busyMsBefore += engine.busyMs;
    }
    this.#defaultHandler = -1;
    this.#dispatcher?.rejectWaiting(error);
    await Promise.all([engine.destroy(error), this.#former?.destroy(error)]);
    this.#completedBefore += engine.completed;
    this.#isClosing = wasClosing;
  }

  /**
   * Like workerpool's: ends the workers, after their tasks unless `force` is set.
   * @param {boolean} [force]
   * @param {number} [timeoutMs]
   */
  async terminate(force = false, timeoutMs) {
    this.#rejectWaiting(late.Errors.poolTerminated());
    if (force) return this.destroy();
    const { closeTimeout } = this.#options;
    if (timeoutMs !== undefined) this.#options.closeTimeout = timeoutMs;
    try {
      await this.close();
    } finally {
      this.#options.closeTimeout = closeTimeout;
    }
  }

  [Symbol.dispose ?? Symbol.for('nodejs.dispose')]() {
    void this.close();
  }

  [Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]() {
    return this.close();
  }

  get maxThreads() {
    return this.#options.maxThreads;
  }

  get minThreads() {
    return this.#options.minThreads;
  }

  get options() {
    return this.#options;
  }

  /** The workers, starting ones first. */
  get threads() {
    return this.#engine === null ? [] : [...this.#engine.crew].map((member) => member.worker);
  }

  get idleThreads() {
    if (this.#engine === null) return 0;
    return Math.max(this.#engine.crew.readyCount - this.#engine.outstanding, 0);
  }

  /** Number of waiting tasks, minus those that starting workers will take. */
  get queueSize() {
    if (this.#engine === null) return 0;
    const waiting = this.#dispatcher?.size ?? this.#engine.waiting;
    return Math.max(waiting - this.#engine.crew.pendingCapacity, 0);
  }

  get completed() {
    return this.#completedBefore + (this.#former?.completed ?? 0) + (this.#engine?.completed ?? 0);
  }

  get histogram() {
    this.#histogram ??= require('./histogram').makeHistogram(
      () => this.#engine?.native ?? this.#pastTimes,
      this.#options.recordTiming,
    );
    return this.#histogram;
  }

  /** Fraction of the available worker time since the pool was created that was spent running tasks, from 0 to 1. */
  get utilization() {
    if (!this.#options.recordTiming) return 0;
    const busyMs = this.#busyMsBefore + (this.#former?.busyMs ?? 0) + (this.#engine?.busyMs ?? 0);
    return busyMs / (this.duration * this.#options.maxThreads);
  }

  /** Milliseconds since the pool was created. */
  get duration() {
    return performance.now() - this.#startedAt;
  }

  get needsDrain() {
    return this.#engine?.needsDrain ?? false;
  }
}

/** Loads what a pool needs once its first threads have been started. @returns {typeof import('./engine')} */
function loadLate() {
  const [engine] = require('../core/own-code').load(ENGINE);
  late ??= { ...require('./run-options'), ...require('./errors'), ...require('../core/errors') };
  return engine;
}

/**
 * Rejects as soon as one of the promises does; otherwise, never settles.
 * @param {Promise<any>[]} promises
 * @returns {Promise<never>}
 */
function rejectionOf(promises) {
  return new Promise((_resolve, reject) => {
    for (const promise of promises) promise.catch(reject);
  });
}

module.exports.Pool = Pool;
