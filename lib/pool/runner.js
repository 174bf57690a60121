'use strict';

/**
 * Worker side: takes tasks from the queue, calls their handlers and reports the results.
 *
 * Tasks are taken one by one in native code, so that none is stuck behind another's long task, and only from the
 * event loop, which gets to run every few milliseconds, so that timers and sockets used by tasks make progress.
 */

const { Decoder } = require('../link/decoder');
const { Kind } = require('../link/layout');
const { Spinner } = require('../link/spinner');
const { memoryOf } = require('../link/memory');
const { inContextOfNow, keepsContextInFrames, runTicks, tick } = require('../threads/ticks');
const { abortTask, leaveTask, runTask } = require('./context');
const { load, makeHandler } = require('./handlers');
const { Lending } = require('../link/lending');
const { CALLED_WORD, LINGER_WORD, Report, TaskKind } = require('./page');
const { RecordEncoder } = require('./record-encoder');
const { unpack } = require('./transfer');
const { bareError, wholeError } = require('./whole-errors');

/** @typedef {import('./handlers').Handler} Handler */

/**
 * @typedef {object} Parts
 * @property {typeof import('../native/index')} addon
 * @property {import('../native/index').PoolWorker} native
 * @property {any} carrier carries values the codec does not support
 * @property {import('../link/encoder').Encoder} encoder
 * @property {(channel: number) => void} announce tells of the start of a task, among the messages of its code
 * @property {(() => boolean) | null} isOverLimit whether this worker exceeds its memory limit
 */

const { then } = Promise.prototype;

/**
 * How long an idle worker spins in JavaScript before native code does, in microseconds: a caller that awaits each
 * result sends the next task within this time, which then costs no native call.
 */
const LINGER_US = 10;

class Runner {
  #native;
  #reportUncaught;
  #words;
  #input;
  #pull;
  #report;
  #lingerer;
  /** What the last attempt of `#lingerer` pulled. */
  #lingered = -1;
  #decoder;
  #records;
  #isDraining = false;
  #carrier;
  #isOverLimit;
  #announce;
  /** Runs the prepared call in the context of the worker's start; null if contexts end with their task anyway. */
  #inContext;
  #slot = 0;
  /** @type {((value: any) => any) | null} */
  #toCall = null;
  /** @type {any} */
  #value = undefined;
  /** Handlers by number. @type {Handler[]} */
  #handlers = [];
  /** Number of definitions read so far. */
  #known = 0;
  /** Handlers of tasks that wait for their arguments, by slot. @type {Map<number, number>} */
  #claimed = new Map();
  /** Called when the caller wants this worker to end. */
  onRetire = () => {};

  /** @param {Parts} parts */
  constructor({ addon, native, carrier, encoder, isOverLimit, announce }) {
    this.#native = native;
    this.#reportUncaught = addon.reportUncaught;
    this.#words = new Int32Array(/** @type {ArrayBuffer} */ (native.words()));
    this.#input = memoryOf(/** @type {ArrayBuffer} */ (native.input()));
    this.#pull = native.pullFunction();
    this.#report = native.reportFunction();
    const linger = native.lingerFunction();
    this.#lingerer = new Spinner(() => {
      this.#words[LINGER_WORD] = LINGER_US;
      this.#lingered = linger();
      return this.#lingered !== -1;
    });
    this.#decoder = new Decoder(this.#input);
    const lending = new Lending(native);
    this.#decoder.takeLarge = (number) => lending.take(number - 1);
    this.#carrier = carrier;
    this.#records = new RecordEncoder(
      native,
      memoryOf(/** @type {ArrayBuffer} */ (native.output())),
      encoder,
    );
    this.#isOverLimit = isOverLimit;
    this.#announce = announce;
    this.#inContext = keepsContextInFrames ? inContextOfNow(() => this.#runPrepared()) : null;
  }

  /** Starts to take tasks. */
  start() {
    this.#tell(Report.READY, 0);
    this.#native.listen(() => this.#drain());
  }

  /** Stops taking tasks. */
  retire() {
    this.#native.retire();
  }

  /** Releases the queue, so that the thread can end. */
  close() {
    this.#native.close();
  }

  /** @param {number} slot */
  isAborted(slot) {
    return this.#native.isAborted(slot);
  }

  /**
   * Sends a progress message of a running task.
   * @param {number} slot
   * @param {any} payload
   */
  emit(slot, payload) {
    const moved = unpack(payload);
    if (moved !== null) this.#sendMoved(Report.EVENT, slot, moved);
    else this.#send(Report.EVENT, slot, payload);
  }

  #drain() {
    this.#isDraining = true;
    const words = this.#words;
    // A caller that blocks for each task sends the next in no time, to a worker that spins.
    let isCalled = false;
    try {
      for (;;) {
        let length = isCalled ? -1 : this.#pull();
        if (length < 0) {
          // A caller that sends one task after the other sends the next about now.
          if (runTicks === undefined || !this.#lingerer.spin()) break;
          isCalled = false;
          length = this.#lingered;
          if (length < 0) continue;
        }
        const kind = words[0];
        isCalled = words[CALLED_WORD] === 1;
        if (kind === TaskKind.CALL) this.#call(words[1], words[2], this.#readTask(length, words[3]));
        else this.#handle(kind, words[1], words[2], words[3], length);
        if (!this.#tick()) break;
      }
    } finally {
      this.#isDraining = false;
    }
  }

  /** Runs ticks and microtasks between two tasks. Returns false if one threw; the error has been reported. */
  #tick() {
    return runTicks !== undefined && tick(this.#reportUncaught);
  }

  /**
   * @param {number} kind
   * @param {number} slot
   * @param {number} handler
   * @param {number} definitions
   * @param {number} length
   */
  #handle(kind, slot, handler, definitions, length) {
    switch (kind) {
      case TaskKind.TICKET:
        this.#learn(definitions);
        this.#claimed.set(slot, handler);
        return this.#tell(Report.CLAIM, slot);
      case TaskKind.PARCEL:
        this.#learn(definitions);
        return this.#callWithParcel(slot, handler, length);
      case TaskKind.DELIVERY: {
        const claimed = this.#claimed.get(slot);
        if (claimed === undefined) return;
        this.#claimed.delete(slot);
        return this.#callWithParcel(slot, claimed, 0);
      }
      case TaskKind.ABORT:
        return abortTask(slot);
      case TaskKind.RETIRE:
        return this.onRetire();
    }
  }

  /**
   * @param {number} length
   * @param {number} definitions
   */
  #readTask(length, definitions) {
    this.#learn(definitions);
    const decoder = this.#decoder;
    decoder.use(this.#record(length));
    return decoder.decode(0, length);
  }

  /** Returns the memory with the last pulled record. @param {number} length */
  #record(length) {
    if (length <= this.#input.bytes.length) return this.#input;
    const memory = memoryOf(new ArrayBuffer(length));
    this.#native.takeHeld(memory.bytes);
    return memory;
  }

  /** Reads the definitions up to this number. @param {number} definitions */
  #learn(definitions) {
    for (; this.#known < definitions; this.#known++) {
      const bytes = /** @type {Uint8Array} */ (this.#native.definition(this.#known));
      const decoder = this.#decoder;
      decoder.use(memoryOf(/** @type {ArrayBuffer} */ (bytes.buffer)));
      if (bytes[4] === Kind.VALUE) this.#handlers.push(makeHandler(decoder.decode(0, bytes.length)));
      else decoder.tables(0, bytes.length);
    }
  }

  /**
   * @param {number} slot
   * @param {number} handler
   * @param {number} length length of its record
   */
  #callWithParcel(slot, handler, length) {
    let parcel;
    try {
      parcel = this.#carrier.receive(slot, this.#record(length).bytes.slice(0, length));
    } catch (error) {
      return this.#fail(slot, error);
    }
    // Empty if the caller could not send it; the task has been rejected there.
    if (parcel.length === 1) this.#done(slot, undefined);
    else this.#call(slot, handler, parcel[1]);
  }

  /**
   * @param {number} slot
   * @param {number} number
   * @param {any} value
   */
  #call(slot, number, value) {
    const handler = this.#handlers[number];
    if (handler.announces) {
      this.#announce(value[0]);
      value = value[1];
    }
    if (handler.call !== null) return this.#run(slot, handler.call, value);
    load(handler).then(
      () => this.#run(slot, /** @type {(value: any) => any} */ (handler.call), value),
      (error) => this.#fail(slot, error),
    );
  }

  /**
   * @param {number} slot
   * @param {(value: any) => any} call
   * @param {any} value
   */
  #run(slot, call, value) {
    let result;
    try {
      result = this.#inContext === null ? runTask(slot, call, value) : this.#runInContext(slot, call, value);
      if (result !== null && typeof result === 'object' && typeof result.then === 'function') {
        // Wrapped in a native promise, which settles only once.
        then.call(
          Promise.resolve(result),
          (/** @type {any} */ settled) => this.#done(slot, settled),
          (/** @type {any} */ error) => this.#fail(slot, error),
        );
        return;
      }
    } catch (error) {
      return this.#fail(slot, error);
    }
    this.#done(slot, result);
  }

  /**
   * Passing arguments through a bound function costs more than most tasks: they are stored in fields instead.
   * @param {number} slot
   * @param {(value: any) => any} call
   * @param {any} value
   */
  #runInContext(slot, call, value) {
    this.#slot = slot;
    this.#toCall = call;
    this.#value = value;
    return /** @type {() => any} */ (this.#inContext)();
  }

  #runPrepared() {
    const call = /** @type {(value: any) => any} */ (this.#toCall);
    const value = this.#value;
    this.#toCall = null;
    this.#value = undefined;
    return runTask(this.#slot, call, value);
  }

  /**
   * @param {number} slot
   * @param {any} result
   */
  #done(slot, result) {
    leaveTask(slot);
    try {
      const moved = unpack(result);
      if (moved !== null) this.#sendMoved(Report.RESULT, slot, moved);
      else this.#send(Report.RESULT, slot, result);
    } catch (error) {
      // It cannot be cloned, or one of its getters threw.
      return this.#fail(slot, error);
    }
    this.#afterwards();
  }

  /**
   * @param {number} slot
   * @param {any} error
   */
  #fail(slot, error) {
    leaveTask(slot);
    try {
      this.#send(Report.ERROR, slot, wholeError(error));
    } catch {
      this.#send(Report.ERROR, slot, bareError(error));
    }
    this.#afterwards();
  }

  #afterwards() {
    if (this.#isOverLimit !== null && this.#isOverLimit()) this.#native.retire();
    if (!this.#isDraining) this.#native.wake();
  }

  /**
   * Reports with a value, through the worker's port if necessary.
   * @param {number} kind
   * @param {number} slot
   * @param {any} value
   */
  #send(kind, slot, value) {
    const records = this.#records;
    const encoder = records.encode(value);
    if (encoder === null) return this.#sendByPort(kind, slot, records.substituteFor(value), []);
    const words = this.#words;
    words[0] = kind;
    words[1] = slot;
    words[2] = records.length;
    words[3] = encoder.larges.length;
    if (records.isInMemory(encoder)) this.#report();
    else this.#native.reportLarge(encoder.record());
    encoder.commit();
  }

  /**
   * Reports with a value of which a part is transferred.
   * @param {number} kind
   * @param {number} slot
   * @param {{ value: any, transferList: any[] }} moved
   */
  #sendMoved(kind, slot, { value, transferList }) {
    const carrier = this.#carrier;
    if (!carrier.copies) return this.#sendByPort(kind, slot, value, transferList);
    carrier.check(transferList);
    this.#send(kind, slot, value);
    carrier.sent(transferList);
  }

  /**
   * @param {number} kind kind of report for a value that the codec supports
   * @param {number} slot
   * @param {any} value
   * @param {any[]} transferList
   */
  #sendByPort(kind, slot, value, transferList) {
    const parcel = kind + (kind === Report.EVENT ? 1 : 2);
    const record = this.#carrier.send(value, transferList);
    if (record === null) return this.#tell(parcel, slot);
    const words = this.#words;
    words[0] = parcel;
    words[1] = slot;
    words[2] = record.length;
    words[3] = 0;
    this.#native.reportLarge(record);
  }

  /** Reports an uncaught error in the form returned by `wholeError`. @param {any} error */
  fault(error) {
    try {
      this.#send(Report.FAULT, 0, error);
    } catch {
      this.#send(Report.FAULT, 0, bareError(error[0]));
    }
  }

  /**
   * @param {number} kind
   * @param {number} slot
   */
  #tell(kind, slot) {
    const words = this.#words;
    words[0] = kind;
    words[1] = slot;
    words[2] = 0;
    words[3] = 0;
    this.#report();
  }
}

module.exports.Runner = Runner;
