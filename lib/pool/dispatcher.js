'use strict';

/**
 * Scheduling in JavaScript, for pools with a user-defined queue or load balancer: a task leaves the queue when the
 * balancer chooses a worker for it.
 */

const { kMember } = require('./crew');
const { AbortError, Errors } = require('./errors');
const { makeStrategy } = require('./strategies');
const { queueOptionsSymbol } = require('./transfer');

/** @typedef {import('./engine').Engine} Engine */

let taskIds = 0;

class TaskInfo {
  taskId = taskIds++;
  created = performance.now();
  aborted = false;
  /** Whether it has been sent to a worker. */
  isSent = false;

  /**
   * @param {any} task
   * @param {string | null} filename
   * @param {string} name
   * @param {boolean} isAbortable
   * @param {(place: number) => void} send
   * @param {(error: any) => void} reject
   * @param {any} [metadata] metadata of the call, for queues
   */
  constructor(task, filename, name, isAbortable, send, reject, metadata) {
    this.task = task;
    this.filename = filename;
    this.name = name;
    this.isAbortable = isAbortable;
    this.send = send;
    this.reject = reject;
    this.metadata = metadata;
  }

  get [queueOptionsSymbol]() {
    return this.task?.[queueOptionsSymbol] ?? null;
  }

  /** Required by tinypool's queues. */
  cancel() {
    this.aborted = true;
    this.reject(Errors.cancelled());
  }

  /** The view passed to a balancer. */
  get interface() {
    const { taskId, filename, name, created, isAbortable, metadata } = this;
    const about = { taskId, filename, name, created, isAbortable, metadata };
    return { ...about, [queueOptionsSymbol]: this[queueOptionsSymbol] };
  }
}

class Dispatcher {
  #engine;
  #options;
  #balance;
  #queue;
  /** Abortable tasks that found no free worker. @type {TaskInfo[]} */
  #skipped = [];

  /**
   * @param {Engine} engine
   * @param {Record<string, any>} options
   */
  constructor(engine, options) {
    this.#engine = engine;
    this.#options = options;
    this.#queue = options.taskQueue;
    const { loadBalancer, workerChoiceStrategy: strategy, concurrentTasksPerWorker: concurrency } = options;
    const loads = () => new Map(engine.native.loads().map((load) => [load.worker, load]));
    this.#balance =
      loadBalancer ?? (strategy ? makeStrategy(strategy, concurrency, loads) : leastBusy(concurrency));
    engine.onAvailable = () => this.#distributeAll();
    engine.onOver = (_slot, info, member) => {
      if (member !== null && info !== null && info !== undefined) {
        member.usage--;
        if (info.isAbortable) member.abortable--;
      }
      this.#distributeAll();
    };
  }

  get size() {
    return this.#queue.size + this.#skipped.length;
  }

  /**
   * Queues a task, which the engine runs once a worker has been chosen for it.
   * @param {Engine} engine
   * @param {number} handler
   * @param {any} task
   * @param {{ filename: string, name: string, signal: any, metadata: any }} about
   * @param {any} settings
   * @param {(value: any) => void} resolve
   * @param {(error: any) => void} reject
   */
  run(engine, handler, task, about, settings, resolve, reject) {
    const { filename, name, signal, metadata } = about;
    let slot = -1;
    const release = { off: () => {} };
    const answer = (/** @type {(value: any) => void} */ settle) => (/** @type {any} */ value) => {
      release.off();
      settle(value);
    };
    const send = (/** @type {number} */ place) => {
      slot = engine.submit(handler, task, { ...settings, place, info }, answer(resolve), answer(reject));
    };
    const info = new TaskInfo(task, filename, name, signal !== null, send, answer(reject), metadata);
    const cancel = (/** @type {any} */ error) => {
      if (info.aborted) return;
      info.aborted = true;
      if (slot >= 0) engine.stopping.cancel(slot, error);
      else if (!info.isSent) this.remove(info);
      info.reject(error);
    };
    if (signal !== null) {
      const onAbort = () => cancel(new AbortError(signal.reason));
      const isTarget = 'addEventListener' in signal;
      if (isTarget) signal.addEventListener('abort', onAbort, { once: true });
      else signal.once('abort', onAbort);
      release.off = () => {
        if (isTarget) signal.removeEventListener('abort', onAbort);
        else signal.removeListener('abort', onAbort);
      };
    }
    const limit = (/** @type {number} */ timeoutMs) => {
      if (slot >= 0) engine.stopping.limit(slot, timeoutMs);
      else settings.timeoutMs = settings.timeoutMs > 0 ? Math.min(settings.timeoutMs, timeoutMs) : timeoutMs;
    };
    this.submit(info);
    return {
      engine,
      get slot() {
        return slot;
      },
      cancel,
      limit,
    };
  }

  /** @param {TaskInfo} info */
  submit(info) {
    const { crew } = this.#engine;
    const { maxQueue } = this.#options;
    if (this.#queue.size > 0) {
      if (this.#queue.size >= maxQueue + crew.pendingCapacity) {
        info.reject(maxQueue === 0 ? Errors.noTaskQueueAvailable() : Errors.taskQueueAtLimit());
      } else {
        this.#queue.push(info);
        crew.grow();
      }
      return;
    }
    if (this.#distribute(info)) return;
    crew.grow();
    if (maxQueue <= 0 && crew.pendingCapacity === 0) {
      this.remove(info);
      info.reject(Errors.noTaskQueueAvailable());
    }
  }

  /** @param {TaskInfo} info a waiting task */
  remove(info) {
    const at = this.#skipped.indexOf(info);
    if (at >= 0) this.#skipped.splice(at, 1);
    else this.#queue.remove(info);
  }

  /** Rejects all waiting tasks. @param {any} error */
  rejectWaiting(error) {
    for (const info of this.#skipped.splice(0)) info.reject(error);
    while (this.#queue.size > 0) this.#queue.shift()?.reject(error);
  }

  #distributeAll() {
    const { crew } = this.#engine;
    while (this.size > 0) {
      const info = this.#skipped.shift() ?? this.#queue.shift();
      if (info === null || info === undefined || this.#distribute(info)) continue;
      if (crew.size < this.#options.maxThreads) crew.grow();
      break;
    }
  }

  /** @param {TaskInfo} info */
  #distribute(info) {
    if (info.aborted) return true;
    const { crew } = this.#engine;
    const workers = [...crew.staying()]
      .filter((member) => member.isReady)
      .map((member) => crew.interfaceOf(member));
    const member = this.#balance(info.interface, workers)?.[kMember];
    if (member === undefined) {
      this.#putBack(info);
      return false;
    }
    member.usage++;
    if (info.isAbortable) member.abortable++;
    info.isSent = true;
    info.send(member.number);
    return true;
  }

  /** @param {TaskInfo} info a task for which no worker is free */
  #putBack(info) {
    const isLast = !this.#options.stricterFIFO;
    if (info.isAbortable) {
      if (isLast) this.#skipped.push(info);
      else this.#skipped.unshift(info);
    } else if (isLast || this.#queue.unshift === undefined) {
      this.#queue.push(info);
    } else {
      this.#queue.unshift(info);
    }
  }
}

/**
 * Default balancer: an idle worker, else the one with the fewest tasks. Skips workers with `concurrency` tasks, and
 * those with an abortable task, since aborting it ends all tasks of that worker.
 * @param {number} concurrency
 */
function leastBusy(concurrency) {
  return (/** @type {any} */ task, /** @type {any[]} */ workers) => {
    let chosen = null;
    let least = concurrency;
    for (const worker of workers) {
      if (worker.currentUsage === 0) return worker;
      if (task.isAbortable || worker.isRunningAbortableTask || worker.currentUsage >= least) continue;
      chosen = worker;
      least = worker.currentUsage;
    }
    return chosen;
  };
}

module.exports.Dispatcher = Dispatcher;
