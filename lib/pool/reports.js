'use strict';

/**
 * Takes the workers' reports out of the native queue and processes them. User code is called only after a batch has
 * been read, since it may run tasks and block for them, which takes the next batch.
 */

const { memoryOf } = require('../link/memory');
const { makeError } = require('../core/errors');
const { Lending } = require('../link/lending');
const { ENTRY_BYTES, PAYLOADS_SHIFT, Report } = require('./page');
const { restoreError } = require('./whole-errors');

const KIND_MASK = (1 << PAYLOADS_SHIFT) - 1;

/** @typedef {import('./member').Member} Member */
/** @typedef {import('../link/memory').Memory} Memory */

/**
 * @typedef {object} Parts of an engine
 * @property {import('./tasks').Tasks} tasks
 * @property {import('../native/index').PoolQueue} native
 * @property {Memory} batch
 * @property {import('./crew').Crew} crew
 * @property {import('./parcels').Parcels | import('./serials').Serials} carrier
 * @property {(event: string, ...args: any[]) => void} emit
 * @property {(call: () => void) => void} tell calls user code, which may throw
 */

class Reports {
  #tasks;
  #native;
  #batch;
  #crew;
  #carrier;
  #emit;
  #tell;
  #take;
  #await;
  #takeLarge;
  /** Number of payloads in the batch before those of the current report. */
  #payloadsBefore = 0;
  /** @type {(() => void)[]} */
  #later = [];
  /**
   * Called when a task scheduled in JavaScript has ended.
   * @type {((slot: number, info: any, member: any) => void) | null}
   */
  onOver = null;
  /** Whether there is a listener for `taskError`. */
  emitsTaskErrors = false;
  /** Whether the event loop is blocked, so that exit events of workers cannot be received. */
  isBlocking = false;
  isReading = false;

  /** @param {Parts} parts */
  constructor({ tasks, native, batch, crew, carrier, emit, tell }) {
    this.#tasks = tasks;
    this.#native = native;
    this.#batch = batch;
    this.#crew = crew;
    this.#carrier = carrier;
    this.#emit = emit;
    this.#tell = tell;
    this.#take = native.takeFunction();
    this.#await = native.awaitFunction();
    const lending = new Lending(native);
    this.#takeLarge = (/** @type {number} */ number) => lending.take(this.#payloadsBefore + number - 1);
  }

  /** Processes a batch. Returns false if there was none. */
  take() {
    return this.#receive(this.#take());
  }

  /**
   * Blocks until there is a batch, at most for the time in `Word.LIMIT_MS`, and processes it. Returns false if
   * there was none.
   */
  await() {
    return this.#receive(this.#await());
  }

  /** Decodes the result in the only report of a batch, that of a direct call. @param {number} bytes */
  answer(bytes) {
    const memory = this.#batch;
    const member = /** @type {Member} */ (this.#crew.at(memory.words[3]));
    try {
      return this.#decode(member, memory, 0, bytes);
    } catch {
      throw this.#distrust(member);
    }
  }

  /** @param {number} bytes size of the batch; 0 for none, negative if it needs a larger buffer */
  #receive(bytes) {
    let memory = this.#batch;
    if (bytes < 0) {
      memory = memoryOf(new ArrayBuffer(-bytes));
      bytes = this.#native.takeLarge(memory.bytes);
    }
    if (bytes <= 0) return false;
    this.isReading = true;
    try {
      this.#read(memory, bytes);
    } finally {
      this.isReading = false;
    }
    return true;
  }

  /** Defers a call until the batch has been read. @param {() => void} call */
  defer(call) {
    this.#later.push(call);
  }

  /** Runs the deferred calls. */
  settle() {
    while (this.#later.length > 0) this.#tell(/** @type {() => void} */ (this.#later.shift()));
  }

  /**
   * @param {Memory} memory
   * @param {number} bytes
   */
  #read(memory, bytes) {
    const { words } = memory;
    this.#payloadsBefore = 0;
    for (let at = 0; at < bytes;) {
      const i = at >> 2;
      const length = words[i];
      const kind = words[i + 1];
      const slot = words[i + 2];
      const member = /** @type {Member} */ (this.#crew.at(words[i + 3]));
      try {
        if (kind === Report.RESULT) this.#onResult(slot, member, memory, at, length);
        else this.#handle(kind, slot, member, memory, at, length);
      } catch {
        this.#onCorrupt(slot, member);
      }
      this.#payloadsBefore += kind >>> PAYLOADS_SHIFT;
      at += length;
    }
  }

  /**
   * @param {Member} member
   * @param {Memory} memory
   * @param {number} at
   * @param {number} length
   */
  #decode({ decoder }, memory, at, length) {
    if (decoder.memory !== memory) decoder.use(memory);
    return decoder.decode(at + ENTRY_BYTES, length - ENTRY_BYTES);
  }

  /**
   * @param {number} slot
   * @param {Member} member
   * @param {Memory} memory
   * @param {number} at
   * @param {number} length
   */
  #onResult(slot, member, memory, at, length) {
    const value = this.#decode(member, memory, at, length);
    if (this.onOver !== null || member.histogram !== null) this.#over(slot, member, memory, at);
    this.#tasks.resolve(slot, value);
    this.#tasks.free(slot);
  }

  /**
   * A worker wrote invalid data: terminates it.
   * @param {number} slot task that the report is about
   * @param {Member} member
   */
  #onCorrupt(slot, member) {
    const error = this.#distrust(member);
    if (this.#tasks.isOpen(slot)) {
      this.#tasks.reject(slot, error);
      this.#tasks.free(slot);
    }
  }

  /** Terminates a worker that wrote invalid data. Returns the error. @param {Member} member */
  #distrust(member) {
    const error = makeError('ERR_MANYCORE_LINK_CORRUPT', []);
    member.terminate(error);
    return error;
  }

  /**
   * @param {number} kind and number of payloads
   * @param {number} slot
   * @param {Member} member
   * @param {Memory} memory
   * @param {number} at
   * @param {number} length
   */
  #handle(kind, slot, member, memory, at, length) {
    const tasks = this.#tasks;
    if (kind > KIND_MASK) member.decoder.takeLarge = this.#takeLarge;
    const decode = () => this.#decode(member, memory, at, length);
    const body = () => memory.bytes.slice(at + ENTRY_BYTES, at + length);
    switch (kind & KIND_MASK) {
      case Report.RESULT:
        return this.#onResult(slot, member, memory, at, length);
      case Report.ERROR: {
        const error = restoreError(decode());
        this.#over(slot, member, memory, at);
        tasks.reject(slot, error);
        if (this.emitsTaskErrors) this.defer(() => this.#emit('taskError', error));
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
        return this.#onEvent(slot, decode());
      case Report.PARCEL_EVENT:
        return this.#onEvent(slot, this.#carrier.event(member, body));
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
        return void this.#distrust(member);
      case Report.ENDED:
        // Otherwise the exit event follows, which has more information.
        if (this.isBlocking) this.#crew.onExit(member, null);
    }
  }

  /**
   * @param {number} slot
   * @param {Member} member
   * @param {Memory} memory
   * @param {number} at
   */
  #over(slot, member, memory, at) {
    if (member.histogram !== null) {
      member.histogram.record(Math.max(1, Math.trunc(memory.view.getFloat64(at + 24, true))));
    }
    if (this.onOver === null) return;
    const { onOver } = this;
    const info = this.#tasks.peek(slot)?.info;
    this.defer(() => onOver(slot, info, member));
  }

  /**
   * @param {number} slot
   * @param {any} payload
   */
  #onEvent(slot, payload) {
    const onEvent = this.#tasks.peek(slot)?.onEvent;
    if (onEvent) this.defer(() => onEvent(payload));
  }
}

module.exports.Reports = Reports;
