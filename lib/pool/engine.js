'use strict';

/** The caller's side of a pool: tasks go into the native queue, reports of the workers come out of it. */

const { memoryOf } = require('../link/memory');
const { LARGE_LENGTH } = require('../link/tags');
const { UNSUPPORTED } = require('../link/unsupported');
const { requireAddon } = require('../core/addon');
const { makeError } = require('../core/errors');
const { Crew } = require('./crew');
const { Encoder } = require('../link/encoder');
const { Definitions, makeTaskEncoder } = require('./definitions');
const { Errors } = require('./errors');
const { ENTRY_BYTES, Report, Target, TaskKind } = require('./page');
const { Parcels } = require('./parcels');
const { Pressure } = require('./pressure');
const { Stopping } = require('./stopping');
const { Tasks } = require('./tasks');
const { unpack } = require('./transfer');
const { restoreError } = require('./whole-errors');

/** Words that the native side reads whenever it likes. */
const OUTSTANDING = 15;
const KEPT = 14;
/** How long a blocking wait goes on before this thread can be terminated. */
const SLICE_MS = 50;

/**
 * @typedef {object} TaskOptions
 * @property {any[]} [transferList]
 * @property {any} [signal]
 * @property {number} [timeoutMs]
 * @property {number} [priority]
 * @property {number} [retries]
 * @property {((payload: any) => void) | null} [onEvent]
 * @property {number} [place] of the worker that must take it
 * @property {any} [info] of a task that JavaScript schedules
 */

class Engine {
  #options;
  #emit;
  #native;
  #words;
  #priority;
  #record;
  #batch;
  #push;
  #take;
  #definitions;
  /** @type {import('../link/encoder').Encoder} */
  #encoder;
  #isEncoding = false;
  /** @type {{ value: any } | null} */
  #substitute = null;
  #tasks = new Tasks();
  #crew;
  #carrier;
  #pressure;
  #stopping;
  /** Of tasks that go on: told after the batch, for they may call back into the pool. */
  /** @type {(() => void)[]} */
  #events = [];
  /** Told when a task that JavaScript schedules is over. @type {((slot: number, info: any, member: any) => void) | null} */
  onOver = null;
  /** @type {((member: any) => void) | null} */
  onAvailable = null;
  /** @type {(() => void)[]} */
  #whenIdle = [];
  #isBlocking = false;

  /**
   * @param {Record<string, any>} options
   * @param {(event: string, ...args: any[]) => void} emit
   */
  constructor(options, emit) {
    const addon = requireAddon('Pool');
    this.#options = options;
    this.#emit = emit;
    const isRemote = options.runtime === 'processes';
    const concurrency = Math.min(options.concurrentTasksPerWorker, 0x7fffffff);
    const native = new addon.PoolQueue(concurrency, options.maxTasksPerWorker, isRemote);
    this.#native = native;
    native.batchSize(options.taskStealing ? options.batch : 1);
    const words = /** @type {ArrayBuffer} */ (native.words());
    this.#words = new Int32Array(words);
    this.#priority = new Float64Array(words, 32, 1);
    this.#record = memoryOf(/** @type {ArrayBuffer} */ (native.record()));
    this.#batch = memoryOf(/** @type {ArrayBuffer} */ (native.batch()));
    this.#push = native.pushFunction();
    this.#take = native.takeFunction();
    this.#definitions = new Definitions(native);
    // Large values cost less by a worker's port than through the queue; processes have no such port.
    this.#encoder = isRemote
      ? makeTaskEncoder(require('./process-encoder').ProcessEncoder, this.#definitions)
      : makeTaskEncoder(Encoder, this.#definitions, LARGE_LENGTH);
    this.#crew = new Crew(options, native, this.#batch, {
      emit,
      outstanding: () => this.#tasks.outstanding,
      drain: () => {
        while (this.#drain());
      },
      onLost: (slots, error) => this.#onLost(slots, error),
      onStuck: (error) => this.#onStuck(error),
      onAvailable: (member) => this.onAvailable?.(member),
    });
    this.#pressure = new Pressure(options, emit, {
      outstanding: () => this.#tasks.outstanding,
      capacity: () => this.#crew.capacity,
      waiting: () => this.waiting,
    });
    const parts = { tasks: this.#tasks, native, crew: this.#crew };
    /** @type {import('./parcels').Parts['describe']} */
    const describe = (kind, slot, handler, taskOptions) => this.#describe(kind, slot, handler, taskOptions);
    const push = (/** @type {number} */ length, /** @type {() => number} */ call) => {
      this.#words[6] = length;
      return call() === 1;
    };
    this.#carrier = isRemote
      ? new (require('./serials').Serials)({
          ...parts,
          describe,
          pushRecord: (record) => push(record.length, () => native.pushLarge(record)),
        })
      : new Parcels({ ...parts, describe, pushBare: () => push(0, this.#push) });
    const { abortGraceMs } = options;
    this.#stopping = new Stopping({ ...parts, abortGraceMs, onReleased: () => this.#released() });
    native.listen(() => void this.#drain());
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

  /** Tasks that no worker is free for. */
  get waiting() {
    return Math.max(this.#tasks.outstanding - this.#crew.capacity, 0);
  }

  get needsDrain() {
    return this.#pressure.needsDrain;
  }

  /**
   * The number of a handler, for `run()`.
   * @param {string | null} filename
   * @param {string} name
   * @param {boolean} [isSpread]
   * @param {string | null} [source]
   */
  handler(filename, name, isSpread = false, source = null) {
    return this.#definitions.handler(filename, name, isSpread, source);
  }

  /**
   * Makes sure that there is room for one more task, and a worker to come. The error if there is none.
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

  /**
   * Queues a task.
   * @param {number} handler
   * @param {any} value
   * @param {TaskOptions | null} options
   * @param {(value: any) => void} resolve
   * @param {(error: any) => void} reject
   * @returns {number} its number; -1 when it could not be queued, and has been rejected
   */
  submit(handler, value, options, resolve, reject) {
    const moved = unpack(value);
    let transferList = options?.transferList;
    if (moved !== null) {
      transferList = (transferList ?? []).concat(moved.transferList);
      value = moved.value;
    }
    const slot = this.#tasks.add(resolve, reject);
    if (options !== null) this.#prepare(slot, options);
    this.#keepAlive();
    try {
      const carrier = this.#carrier;
      const transfers = transferList ?? [];
      const hasTransfers = transfers.length > 0;
      if (hasTransfers) carrier.check(transfers);
      const sent =
        ((!hasTransfers || carrier.copies) && this.#pushRecord(slot, handler, value, options)) ||
        carrier.push(slot, handler, this.#substituteFor(value), transfers, options);
      if (!sent) throw Errors.threadTermination();
      if (hasTransfers) carrier.sent(transfers);
    } catch (error) {
      this.#tasks.reject(slot, error);
      this.#tasks.free(slot);
      this.#released();
      return -1;
    }
    if (this.#tasks.outstanding >= this.#options.maxThreads * this.#options.concurrentTasksPerWorker) {
      this.#pressure.check();
    }
    return slot;
  }

  /**
   * @param {number} slot
   * @param {TaskOptions} options
   */
  #prepare(slot, { retries = 0, onEvent = null, timeoutMs = 0, info = null }) {
    if (retries === 0 && onEvent === null && timeoutMs === 0 && info === null) return;
    const extra = this.#tasks.extra(slot);
    extra.retries = retries;
    extra.onEvent = onEvent;
    extra.timeoutMs = timeoutMs;
    extra.info = info;
    if (timeoutMs > 0) this.#stopping.watch(slot, timeoutMs);
  }

  /**
   * False when only the port can carry the value.
   * @param {number} slot
   * @param {number} handler
   * @param {any} value
   * @param {TaskOptions | null} options
   */
  #pushRecord(slot, handler, value, options) {
    // A getter of the value may run another task.
    const isNested = this.#isEncoding;
    const encoder = isNested ? this.#encoder.sibling() : this.#encoder;
    if (isNested) encoder.beginInScratch();
    else encoder.begin(this.#record, 0, this.#record.bytes.length);
    this.#isEncoding = true;
    let length;
    try {
      length = encoder.encode(value);
    } catch (error) {
      if (error === UNSUPPORTED) {
        this.#substitute = encoder.substitute;
        encoder.substitute = null;
        return false;
      }
      throw error;
    } finally {
      this.#isEncoding = isNested;
    }
    this.#describe(TaskKind.CALL, slot, handler, options);
    this.#words[6] = length;
    const pushed = encoder.isIn(this.#record) ? this.#push() : this.#native.pushLarge(encoder.record());
    encoder.commit();
    if (pushed !== 1) throw Errors.threadTermination();
    return true;
  }

  /**
   * @param {number} kind
   * @param {number} slot
   * @param {number} handler
   * @param {TaskOptions | null} options
   */
  #describe(kind, slot, handler, options) {
    const words = this.#words;
    words[0] = kind;
    words[1] = slot;
    words[2] = handler;
    words[3] = this.#definitions.count;
    words[4] = Target.ANY;
    words[7] = 0;
    this.#priority[0] = 0;
    if (options === null) return;
    if (options.place !== undefined && options.place >= 0) {
      words[4] = Target.WORKER;
      words[5] = options.place;
    } else if (options.signal || options.timeoutMs) {
      words[4] = Target.ALONE;
    }
    words[7] = options.retries ? 1 : 0;
    this.#priority[0] = options.priority ?? 0;
  }

  /** What to send by other means: what was read of the value already, if getters may have run. @param {any} value */
  #substituteFor(value) {
    const substitute = this.#substitute;
    if (substitute === null) return value;
    this.#substitute = null;
    return substitute.value;
  }

  /** Takes a batch of reports. False when there was none. */
  #drain() {
    let memory = this.#batch;
    let bytes = this.#take();
    if (bytes < 0) {
      memory = memoryOf(new ArrayBuffer(-bytes));
      bytes = this.#native.takeLarge(memory.bytes);
    }
    if (bytes <= 0) return false;
    this.#read(memory, bytes);
    this.#words[OUTSTANDING] = this.#tasks.outstanding;
    if (this.#pressure.isOn) this.#pressure.check();
    if (this.#tasks.outstanding === 0 && this.#whenIdle.length > 0) this.#tellIdle();
    this.#crew.settle();
    while (this.#events.length > 0) /** @type {() => void} */ (this.#events.shift())();
    return true;
  }

  /**
   * @param {import('../link/memory').Memory} memory
   * @param {number} bytes
   */
  #read(memory, bytes) {
    const words = new Int32Array(memory.bytes.buffer, 0, bytes >> 2);
    for (let at = 0; at < bytes;) {
      const i = at >> 2;
      const length = words[i];
      const slot = words[i + 2];
      const member = /** @type {import('./member').Member} */ (this.#crew.at(words[i + 3]));
      try {
        if (words[i + 1] === Report.RESULT) this.#onResult(slot, member, memory, at, length);
        else this.#handle(words[i + 1], slot, member, memory, at, length);
      } catch {
        this.#onCorrupt(slot, member);
      }
      at += length;
    }
  }

  /**
   * @param {number} slot
   * @param {import('./member').Member} member
   * @param {import('../link/memory').Memory} memory
   * @param {number} at
   * @param {number} length
   */
  #onResult(slot, member, memory, at, length) {
    const { decoder } = member;
    if (decoder.memory !== memory) decoder.use(memory);
    const value = decoder.decode(at + ENTRY_BYTES, length - ENTRY_BYTES);
    if (this.onOver !== null || member.histogram !== null) this.#over(slot, member, memory, at);
    this.#tasks.resolve(slot, value);
    this.#tasks.free(slot);
  }

  /**
   * A worker's process wrote what no worker writes: it is ended.
   * @param {number} slot of a task that it reported on
   * @param {import('./member').Member} member
   */
  #onCorrupt(slot, member) {
    const error = makeError('ERR_MANYCORE_LINK_CORRUPT', []);
    if (this.#tasks.isOpen(slot)) {
      this.#tasks.reject(slot, error);
      this.#tasks.free(slot);
    }
    member.terminate(error);
  }

  /**
   * @param {number} kind
   * @param {number} slot
   * @param {import('./member').Member} member
   * @param {import('../link/memory').Memory} memory
   * @param {number} at
   * @param {number} length
   */
  #handle(kind, slot, member, memory, at, length) {
    const tasks = this.#tasks;
    const decode = () => {
      if (member.decoder.memory !== memory) member.decoder.use(memory);
      return member.decoder.decode(at + ENTRY_BYTES, length - ENTRY_BYTES);
    };
    const body = () => memory.bytes.slice(at + ENTRY_BYTES, at + length);
    switch (kind) {
      case Report.ERROR: {
        const error = restoreError(decode());
        this.#over(slot, member, memory, at);
        tasks.reject(slot, error);
        if (this.#emitsTaskErrors) this.#events.push(() => this.#emit('taskError', error));
        return tasks.free(slot);
      }
      case Report.PARCEL_RESULT:
        this.#over(slot, member, memory, at);
        this.#carrier.settle(slot, member, false, body);
        return tasks.free(slot);
      case Report.PARCEL_ERROR:
        this.#over(slot, member, memory, at);
        this.#carrier.settle(slot, member, true, body);
        return tasks.free(slot);
      case Report.EVENT:
        return this.#tell(slot, decode());
      case Report.PARCEL_EVENT:
        return this.#tell(slot, this.#carrier.event(member, body));
      case Report.CLAIM:
        return this.#carrier.deliver(slot, member);
      case Report.DROPPED:
        return tasks.free(slot);
      case Report.READY:
        return this.#crew.onStarted(member);
      case Report.RETIRED:
        return this.#crew.onRetired(member);
      case Report.FAULT:
        member.cause ??= restoreError(decode());
        return;
      case Report.CORRUPT:
        return member.terminate(makeError('ERR_MANYCORE_LINK_CORRUPT', []));
      case Report.ENDED:
        // Else its exit is an event of its own, which tells more.
        if (this.#isBlocking) this.#crew.onExit(member, null);
    }
  }

  /** Whether somebody listens for `taskError`. */
  #emitsTaskErrors = false;

  /** @param {boolean} on */
  set emitsTaskErrors(on) {
    this.#emitsTaskErrors = on;
  }

  /**
   * @param {number} slot
   * @param {import('./member').Member} member
   * @param {import('../link/memory').Memory} memory
   * @param {number} at
   */
  #over(slot, member, memory, at) {
    if (member.histogram !== null) {
      member.histogram.record(Math.max(1, Math.trunc(memory.view.getFloat64(at + 24, true))));
    }
    if (this.onOver === null) return;
    const { onOver } = this;
    const info = this.#tasks.peek(slot)?.info;
    this.#events.push(() => onOver(slot, info, member));
  }

  /**
   * @param {number} slot
   * @param {any} payload
   */
  #tell(slot, payload) {
    const onEvent = this.#tasks.peek(slot)?.onEvent;
    if (onEvent) this.#events.push(() => onEvent(payload));
  }

  /**
   * @param {number[]} slots that an ended worker had in hand
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
          affected++;
          continue;
        }
      }
      this.#native.forget(slot);
      if (tasks.isOpen(slot)) affected++;
      const info = extra?.info;
      if (this.onOver !== null && info) this.onOver(slot, info, null);
      tasks.reject(slot, error);
      tasks.free(slot);
    }
    this.#released();
    return affected;
  }

  /**
   * No worker is left, and none can be started.
   * @param {any} error
   */
  #onStuck(error) {
    if (this.#tasks.outstanding === 0) return false;
    for (const slot of this.#tasks.open()) this.#stopping.cancel(slot, error);
    return true;
  }

  /**
   * Runs tasks to their end without turning the event loop, until the given one is over.
   * @param {number} slot
   * @param {number} timeoutMs
   * @returns {boolean} false when the time has run out
   */
  waitFor(slot, timeoutMs) {
    const end = timeoutMs === Infinity ? Infinity : performance.now() + timeoutMs;
    const wasBlocking = this.#isBlocking;
    this.#isBlocking = true;
    try {
      return this.#waitUntil(slot, end);
    } finally {
      this.#isBlocking = wasBlocking;
      this.#native.rest();
    }
  }

  /**
   * @param {number} slot
   * @param {number} end
   */
  #waitUntil(slot, end) {
    while (this.#tasks.isOpen(slot)) {
      const left = end - performance.now();
      if (left <= 0) return false;
      if (this.#native.wait(Math.ceil(Math.min(left, SLICE_MS)))) this.#drain();
      // Neither timers nor exits of workers are told meanwhile.
      this.#stopping.endOverdue();
    }
    this.#released();
    return true;
  }

  /** Rejects all tasks. @param {any} error */
  rejectAll(error) {
    for (const slot of this.#tasks.open()) {
      this.#native.cancel(slot);
      this.#tasks.reject(slot, error);
    }
    this.#released();
  }

  /** Rejects the tasks that no worker has begun. @param {any} error */
  rejectWaiting(error) {
    for (const slot of this.#tasks.open()) {
      if (this.#native.cancel(slot) === -1) this.#tasks.reject(slot, error);
    }
    this.#released();
  }

  /** Resolves when nobody waits for a task. */
  whenIdle() {
    if (this.#tasks.outstanding === 0) return Promise.resolve();
    return /** @type {Promise<void>} */ (new Promise((resolve) => this.#whenIdle.push(resolve)));
  }

  #tellIdle() {
    for (const tell of this.#whenIdle.splice(0)) tell();
  }

  /** Ends all workers. @param {any} error */
  async destroy(error) {
    this.rejectAll(error);
    await this.#crew.close(error);
    this.#native.close();
  }

  /** The process stays while somebody waits. */
  #keepAlive() {
    const words = this.#words;
    words[OUTSTANDING] = this.#tasks.outstanding;
    if (words[KEPT] === 0) this.#native.keepAlive(true);
  }

  #released() {
    this.#words[OUTSTANDING] = this.#tasks.outstanding;
    if (this.#tasks.outstanding !== 0) return;
    if (this.#words[KEPT] === 1) this.#native.keepAlive(false);
    this.#tellIdle();
    if (this.#pressure.isOn) this.#pressure.check();
  }
}

module.exports.Engine = Engine;
