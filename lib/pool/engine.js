'use strict';

/** Caller's side of a pool: puts tasks into the native queue and processes the workers' reports. */

const { memoryOf } = require('../link/memory');
const { requireAddon } = require('../core/addon');
const { Crew } = require('./crew');
const { Dozing } = require('./dozing');
const { Errors } = require('./errors');
const { Word } = require('./page');
const { Parcels } = require('./parcels');
const { Pressure } = require('./pressure');
const { Reports } = require('./reports');
const { wantsNoCompany } = require('./run-options');
const { Stopping } = require('./stopping');
const { TaskWriter } = require('./task-writer');
const { Tasks } = require('./tasks');
const { unpack } = require('./transfer');

/** Slice of a blocking wait, in milliseconds; the thread can be terminated between two slices. */
const SLICE_MS = 50;
const SETTLED = Promise.resolve();
/** @type {any[]} */
const NOTHING = [];

/**
 * @typedef {object} TaskOptions
 * @property {any[]} [transferList]
 * @property {any} [signal]
 * @property {number} [timeoutMs]
 * @property {number} [priority]
 * @property {number} [retries]
 * @property {((payload: any) => void) | null} [onEvent]
 * @property {number} [place] place of the worker that must take the task
 * @property {import('./member').Channel | null} [channel]
 * @property {any} [info] data of a task scheduled in JavaScript
 */

/** What has become of a task whose caller blocks. */
class Outcome {
  isError = false;
  /** @type {any} */
  value = undefined;

  /** @param {any} value */
  resolve(value) {
    this.value = value;
  }

  /** @param {any} error */
  reject(error) {
    this.isError = true;
    this.value = error;
  }
}

class Engine {
  #options;
  #native;
  #words;
  #tasks = new Tasks();
  #rest;
  #writer;
  #crew;
  #carrier;
  #reports;
  #pressure;
  #stopping;
  #dozing;
  /** @type {((member: any) => void) | null} */
  onAvailable = null;
  /** @type {(() => void)[]} */
  #whenIdle = [];
  /** Whether wake-ups have yet to be re-enabled after a blocking wait. */
  #isRestless = false;
  /** Whether a caller that blocks may hand its task to a worker without the queue. */
  #hasLines;

  /**
   * @param {Record<string, any>} options
   * @param {import('node:events').EventEmitter} emitter
   * @param {import('./start').Started[]} started started threads for its first workers
   */
  constructor(options, emitter, started) {
    const addon = requireAddon('Pool');
    this.#options = options;
    this.#hasLines = options.runtime === 'threads' && !options.workerHistogram && options.maxQueue > 0;
    const isRemote = options.runtime === 'processes';
    const concurrency = options.concurrentTasksPerWorker;
    const native = new addon.PoolQueue(concurrency, options.maxTasksPerWorker, isRemote);
    this.#native = native;
    native.batchSize(options.taskStealing ? options.batch : 1);
    this.#words = new Int32Array(/** @type {ArrayBuffer} */ (native.words()));
    this.#writer = new TaskWriter(native, this.#words, isRemote);
    this.#rest = native.restFunction();
    const tell = guarded(addon.reportUncaught);
    /** @type {(event: string, ...args: any[]) => void} */
    const emit = (event, ...args) => tell(() => void emitter.emit(event, ...args));
    const batch = memoryOf(/** @type {ArrayBuffer} */ (native.batch()));
    const drain = () => {
      while (this.#drain());
    };
    /** @type {import('./crew').Owner} */
    const owner = {
      emit: (...event) => this.#afterReports(() => emit(...event)),
      tell,
      outstanding: () => this.#tasks.outstanding,
      drain,
      onLost: (slots, error) => this.#onLost(slots, error),
      onStuck: (error) => this.#onStuck(error),
      onAvailable: (member) => this.#afterReports(() => this.onAvailable?.(member)),
    };
    try {
      this.#crew = new Crew(options, native, batch, owner, started);
    } catch (error) {
      native.close();
      throw error;
    }
    this.#pressure = new Pressure(options, emitter, emit, {
      outstanding: () => this.#tasks.outstanding,
      capacity: () => this.#crew.capacity,
      isFull: () => this.#isFull(),
    });
    const parts = { tasks: this.#tasks, native, crew: this.#crew, writer: this.#writer, concurrency };
    this.#carrier = isRemote ? new (require('./serials').Serials)(parts) : new Parcels(parts);
    this.#reports = new Reports({ ...parts, batch, carrier: this.#carrier, emit, tell });
    const { abortGraceMs } = options;
    this.#stopping = new Stopping({ ...parts, abortGraceMs, onReleased: () => this.#released() });
    this.#dozing = new Dozing(native, this.#words, drain, () => {
      this.#rest();
      this.#released();
    });
    native.listen(() => {
      if (this.#drain() && this.waiting > 0) this.#dozing.begin();
    });
  }

  /** Calls a function now, or after the current batch of reports. @param {() => void} call */
  #afterReports(call) {
    if (this.#reports?.isReading) this.#reports.defer(call);
    else call();
  }

  get stopping() {
    return this.#stopping;
  }

  get crew() {
    return this.#crew;
  }

  get native() {
    return this.#native;
  }

  get completed() {
    return this.#tasks.completed;
  }

  get outstanding() {
    return this.#tasks.outstanding;
  }

  /** Total run time of its tasks, in milliseconds. */
  get busyMs() {
    const { count, mean } = this.#native.runTimes();
    return (count * mean) / 1000;
  }

  /** Number of tasks for which no worker is free. */
  get waiting() {
    const { outstanding, alone } = this.#tasks;
    const { readyCount, capacity } = this.#crew;
    if (alone === 0) return Math.max(outstanding - capacity, 0);
    // Tasks that accept company share workers; each of the others occupies a whole worker.
    const others = outstanding - alone;
    const shared = Math.ceil(others / this.#options.concurrentTasksPerWorker);
    const left = Math.max(readyCount - shared, 0);
    return Math.max(others - capacity, 0) + Math.max(alone - left, 0);
  }

  get needsDrain() {
    return this.#pressure.needsDrain;
  }

  /**
   * Returns the number of a handler, for `submit()`.
   * @param {string | null} filename
   * @param {string} name
   * @param {boolean} [isSpread]
   * @param {string | null} [source]
   * @param {boolean} [announces] whether workers report the start of its tasks
   */
  handler(filename, name, isSpread = false, source = null, announces = false) {
    return this.#writer.handler(filename, name, isSpread, source, announces);
  }

  /**
   * Checks that there is room for one more task, and starts a worker if needed. Returns an error if there is no
   * room.
   * @returns {Error | null}
   */
  admit() {
    const { outstanding } = this.#tasks;
    const { capacity } = this.#crew;
    if (outstanding < capacity) return null;
    const { maxQueue } = this.#options;
    const refusal = () => (maxQueue === 0 ? Errors.noTaskQueueAvailable() : Errors.taskQueueAtLimit());
    const waiting = outstanding - capacity;
    if (waiting > 0) {
      if (waiting >= maxQueue + this.#crew.pendingCapacity) return refusal();
      this.#crew.grow();
      return null;
    }
    this.#crew.grow();
    return maxQueue <= 0 && this.#crew.pendingCapacity === 0 ? refusal() : null;
  }

  /** Whether `admit()` would refuse a task. */
  #isFull() {
    const { maxQueue, maxThreads } = this.#options;
    if (maxQueue === Infinity) return false;
    const { size, capacity, pendingCapacity } = this.#crew;
    const waiting = this.#tasks.outstanding - capacity;
    if (waiting > 0) return waiting >= maxQueue + pendingCapacity;
    return waiting === 0 && maxQueue <= 0 && pendingCapacity === 0 && size >= maxThreads;
  }

  /** Like `admit()`, for a task that is never refused. */
  expect() {
    if (this.#tasks.outstanding >= this.#crew.capacity) this.#crew.grow();
    return null;
  }

  /**
   * Queues a task.
   * @param {number} handler
   * @param {any} value
   * @param {TaskOptions | null} options
   * @param {(value: any) => void} resolve
   * @param {((error: any) => void) | null} reject see `Tasks`
   * @param {boolean} [keepsAlive] whether the task keeps the process alive; false if this thread blocks for it
   * @returns {number} slot of the task; -1 if it could not be queued and has been rejected
   */
  submit(handler, value, options, resolve, reject, keepsAlive = true) {
    const moved = unpack(value);
    let transferList = options?.transferList;
    if (moved !== null) {
      transferList = (transferList ?? []).concat(moved.transferList);
      value = moved.value;
    }
    const slot = this.#tasks.add(resolve, reject);
    if (options !== null) {
      this.#prepare(slot, options);
      if (options.channel) value = [this.#tasks.extra(slot).channelId, value];
    }
    if (keepsAlive) this.#keepAlive();
    try {
      const carrier = this.#carrier;
      const transfers = transferList ?? NOTHING;
      const hasTransfers = transfers.length > 0;
      if (hasTransfers) carrier.check(transfers);
      const sent =
        ((!hasTransfers || carrier.copies) && this.#writer.push(slot, handler, value, options)) ||
        carrier.push(slot, handler, this.#writer.substituteFor(value), transfers, options);
      if (!sent) throw Errors.threadTermination();
      if (hasTransfers) carrier.sent(transfers);
    } catch (error) {
      this.#crew.forgetChannel(this.#tasks.peek(slot));
      this.#drop(slot, error);
      return -1;
    }
    this.#checkPressure();
    return slot;
  }

  /**
   * Rejects a task that could not be queued.
   * @param {number} slot
   * @param {any} error
   */
  #drop(slot, error) {
    this.#tasks.reject(slot, error);
    this.#tasks.free(slot);
    this.#released();
  }

  #checkPressure() {
    if (this.#tasks.outstanding >= this.#options.maxThreads * this.#options.concurrentTasksPerWorker) {
      this.#pressure.check();
    }
  }

  /**
   * Runs a task and blocks until it has ended.
   * @param {number} handler
   * @param {any} value
   * @throws what the task throws
   */
  runSync(handler, value) {
    this.expect();
    const tasks = this.#tasks;
    const outcome = new Outcome();
    let slot;
    const isDirect = this.#hasLines && tasks.outstanding === 0 && !this.#stopping.isAwaited;
    if (isDirect && unpack(value) === null) {
      // Before the value is encoded: a getter of it may end the pool or its worker, or run other tasks.
      slot = tasks.addFor(outcome);
      const length = this.#call(slot, handler, value);
      if (length > 0) {
        tasks.remove(slot);
        this.#released();
        const { maxThreads, concurrentTasksPerWorker } = this.#options;
        if (maxThreads * concurrentTasksPerWorker === 1) this.#pressure.pulse();
        return this.#reports.answer(length);
      }
    } else {
      const resolve = (/** @type {any} */ result) => outcome.resolve(result);
      const reject = (/** @type {any} */ error) => outcome.reject(error);
      slot = this.submit(handler, value, null, resolve, reject, false);
    }
    if (slot >= 0) {
      const waiting = slot;
      this.waitFor(
        () => tasks.isOpen(waiting),
        () => waiting,
        Infinity,
      );
    }
    if (outcome.isError) throw outcome.value;
    return outcome.value;
  }

  /**
   * Hands a task of a caller that blocks to a worker that spins, or queues it.
   * @param {number} slot
   * @param {number} handler
   * @param {any} value
   * @returns {number} length of the report in the batch; 0 if the task goes on, waits or has been rejected
   */
  #call(slot, handler, value) {
    try {
      const length = this.#writer.call(this.#tasks, slot, handler, value);
      if (length > 0) return length;
      if (length < 0) {
        const substitute = this.#writer.substituteFor(value);
        if (!this.#carrier.push(slot, handler, substitute, NOTHING, null)) throw Errors.threadTermination();
      }
    } catch (error) {
      this.#drop(slot, error);
      return 0;
    }
    this.#checkPressure();
    return 0;
  }

  /**
   * @param {number} slot
   * @param {TaskOptions} options
   */
  #prepare(slot, options) {
    const { retries = 0, onEvent = null, timeoutMs = 0, info = null, place, channel = null } = options;
    const isShared = place === undefined && this.#options.concurrentTasksPerWorker > 1;
    const isAlone = isShared && wantsNoCompany(options);
    const isPlain = retries === 0 && onEvent === null && timeoutMs === 0 && info === null && channel === null;
    if (isPlain && !isAlone) return;
    const extra = this.#tasks.extra(slot);
    if (isAlone) this.#tasks.setAlone(extra);
    extra.retries = retries;
    extra.onEvent = onEvent;
    extra.info = info;
    if (channel !== null) {
      extra.channel = channel;
      extra.channelId = this.#crew.expectChannel(channel);
    }
    if (timeoutMs > 0) this.#stopping.watch(slot, timeoutMs);
  }

  /** Processes a batch of reports. Returns false if there was none. */
  #drain() {
    if (!this.#reports.take()) return false;
    this.#settle();
    return true;
  }

  /** Updates state after a batch of reports. */
  #settle() {
    this.#words[Word.OUTSTANDING] = this.#tasks.outstanding;
    if (this.#pressure.isOn) this.#pressure.check();
    if (this.#tasks.outstanding === 0 && this.#whenIdle.length > 0) this.#tellIdle();
    this.#crew.settle();
    this.#reports.settle();
  }

  /** @param {boolean} on whether there is a listener for `taskError` */
  set emitsTaskErrors(on) {
    this.#reports.emitsTaskErrors = on;
  }

  /**
   * @param {((slot: number, info: any, member: any) => void) | null} call called when a task scheduled in
   * JavaScript has ended
   */
  set onOver(call) {
    this.#reports.onOver = call;
  }

  /**
   * @param {number[]} slots tasks held by a worker that has ended
   * @param {any} error
   */
  #onLost(slots, error) {
    const tasks = this.#tasks;
    let affected = 0;
    for (const slot of slots) {
      const extra = tasks.peek(slot);
      if (extra !== undefined && extra.retries > 0) {
        extra.retries--;
        if (tasks.isOpen(slot) && this.#native.retry(slot)) {
          this.#crew.expectChannelAgain(extra);
          affected++;
          continue;
        }
      }
      this.#native.forget(slot);
      this.#crew.forgetChannel(extra);
      if (tasks.isOpen(slot)) affected++;
      const info = extra?.info;
      if (info) this.#reports.onOver?.(slot, info, null);
      tasks.reject(slot, error);
      tasks.free(slot);
    }
    this.#released();
    return affected;
  }

  /**
   * No worker is left, and none can be started: rejects all tasks.
   * @param {any} error
   */
  #onStuck(error) {
    if (this.#tasks.outstanding === 0) return false;
    for (const slot of this.#tasks.open()) this.#stopping.cancel(slot, error);
    return true;
  }

  /**
   * Processes reports without running the event loop, until a task has ended.
   * @param {() => boolean} isOpen whether it has not ended
   * @param {() => number} slotOf returns its slot; -1 if it has none yet
   * @param {number} timeoutMs
   * @returns {boolean} false on timeout
   */
  waitFor(isOpen, slotOf, timeoutMs) {
    const end = timeoutMs === Infinity ? Infinity : performance.now() + timeoutMs;
    const reports = this.#reports;
    const wasBlocking = reports.isBlocking;
    reports.isBlocking = true;
    try {
      while (isOpen()) {
        const leftMs = end === Infinity ? Infinity : end - performance.now();
        if (leftMs <= 0) return false;
        this.#words[Word.LIMIT_MS] = Math.ceil(Math.min(leftMs, SLICE_MS));
        if (reports.await()) this.#settle();
        // Timers and exit events of workers do not run meanwhile.
        this.#stopping.endOverdue();
        this.#stopping.enforce(slotOf());
      }
      this.#released();
      return true;
    } finally {
      reports.isBlocking = wasBlocking;
      this.#restSoon();
    }
  }

  /**
   * Deferred to a microtask: the caller may block again, and each change of the flag transfers its cache line to
   * the other side and back.
   */
  #restSoon() {
    if (this.#isRestless) return;
    this.#isRestless = true;
    SETTLED.then(() => {
      this.#isRestless = false;
      this.#rest();
    });
  }

  /** Rejects all tasks. @param {any} error */
  rejectAll(error) {
    for (const slot of this.#tasks.open()) {
      this.#native.cancel(slot);
      this.#tasks.reject(slot, error);
    }
    this.#released();
  }

  /**
   * Rejects tasks that wait for a worker. As many as the ready workers could still start at once count as started
   * and are kept.
   * @param {any} error
   */
  rejectWaiting(error) {
    const begun = [...this.#crew].reduce((sum, { number }) => sum + this.#native.begun(number).length, 0);
    let kept = Math.max(this.#crew.capacity - begun, 0);
    for (const slot of this.#tasks.open()) {
      if (!this.#native.isQueued(slot) || kept-- > 0) continue;
      if (this.#native.cancel(slot) !== -1) continue;
      this.#crew.forgetChannel(this.#tasks.peek(slot));
      this.#tasks.reject(slot, error);
    }
    this.#released();
  }

  /** Resolves when no task is outstanding. */
  whenIdle() {
    if (this.#tasks.outstanding === 0) return Promise.resolve();
    return /** @type {Promise<void>} */ (new Promise((resolve) => this.#whenIdle.push(resolve)));
  }

  #tellIdle() {
    for (const tell of this.#whenIdle.splice(0)) tell();
  }

  /** Terminates all workers. @param {any} error */
  async destroy(error) {
    this.rejectAll(error);
    this.#dozing.end();
    await this.#crew.close(error);
    this.#native.close();
  }

  /** Keeps the process alive while a task is outstanding. */
  #keepAlive() {
    const words = this.#words;
    words[Word.OUTSTANDING] = this.#tasks.outstanding;
    if (words[Word.KEPT] === 0) this.#native.keepAlive(true);
  }

  #released() {
    this.#words[Word.OUTSTANDING] = this.#tasks.outstanding;
    if (this.#tasks.outstanding !== 0) return;
    if (this.#words[Word.KEPT] === 1) this.#native.keepAlive(false);
    if (this.#whenIdle.length > 0) this.#tellIdle();
    if (this.#pressure.isOn) this.#pressure.check();
  }
}

/**
 * Returns a function that calls user code. Errors are reported as uncaught exceptions, as if the event loop had
 * called it, and the caller continues.
 * @param {(error: unknown) => void} reportUncaught
 */
function guarded(reportUncaught) {
  return (/** @type {() => void} */ call) => {
    try {
      call();
    } catch (error) {
      reportUncaught(error);
    }
  };
}

module.exports.Engine = Engine;
