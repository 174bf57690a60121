'use strict';

/**
 * In a worker: takes tasks from the queue, calls their handlers, reports what became of them.
 *
 * Tasks are taken one by one in native code, so that nobody waits behind another's long task, and only from the
 * event loop, which gets its turn every few milliseconds: timers and sockets of the tasks' code go on.
 */

const { AsyncLocalStorage } = require('node:async_hooks');
const { receiveFromNode } = require('../threads/receive');
const { Decoder } = require('../link/decoder');
const { Encoder } = require('../link/encoder');
const { Kind } = require('../link/layout');
const { memoryOf } = require('../link/memory');
const { UNSUPPORTED } = require('../link/unsupported');
const { keepsContextInFrames, runTicks } = require('../threads/node-internals');
const { abortTask, leaveTask, runTask } = require('./context');
const { load, makeHandler } = require('./handlers');
const { Report, TaskKind } = require('./page');
const { unpack } = require('./transfer');
const { bareError, wholeError } = require('./whole-errors');

/** @typedef {import('./handlers').Handler} Handler */

class Runner {
  #native;
  #reportUncaught;
  #words;
  #input;
  #output;
  #pull;
  #report;
  #decoder;
  #encoder = new Encoder();
  #isEncoding = false;
  #isDraining = false;
  #port;
  #heapLimit;
  #inContext;
  /** By number. @type {Handler[]} */
  #handlers = [];
  /** Definitions read so far. */
  #known = 0;
  /** Tasks that wait for their arguments, and arguments that came before their notices. */
  /** @type {Map<number, number>} */
  #claimed = new Map();
  /** @type {Map<number, any[]>} */
  #parcels = new Map();
  /** Runs when the caller wants this worker to end. */
  onRetire = () => {};

  /**
   * @param {typeof import('../native/index')} addon
   * @param {import('./worker').Startup} startup
   */
  constructor(addon, { queue, number, port, heapLimitBytes }) {
    const native = new addon.PoolWorker(queue, number);
    this.#native = native;
    this.#reportUncaught = addon.reportUncaught;
    this.#words = new Int32Array(/** @type {ArrayBuffer} */ (native.words()));
    this.#input = memoryOf(/** @type {ArrayBuffer} */ (native.input()));
    this.#output = memoryOf(/** @type {ArrayBuffer} */ (native.output()));
    this.#pull = native.pullFunction();
    this.#report = native.reportFunction();
    this.#decoder = new Decoder(this.#input);
    this.#port = port;
    this.#heapLimit = heapLimitBytes;
    this.#inContext = keepsContextInFrames ? AsyncLocalStorage.snapshot() : null;
  }

  /** Begins to take tasks. */
  start() {
    this.#tell(Report.READY, 0);
    this.#native.listen(() => this.#drain());
  }

  /** Takes no more tasks. */
  retire() {
    this.#native.retire();
  }

  /** Lets the thread end. */
  close() {
    this.#native.close();
  }

  /** @param {number} slot */
  isAborted(slot) {
    return this.#native.isAborted(slot);
  }

  /**
   * Sends something about a task that goes on.
   * @param {number} slot
   * @param {any} payload
   */
  emit(slot, payload) {
    const moved = unpack(payload);
    if (moved !== null) this.#sendByPort(Report.PARCEL_EVENT, slot, moved.value, moved.transferList);
    else this.#send(Report.EVENT, slot, payload);
  }

  #drain() {
    this.#isDraining = true;
    try {
      let length;
      while ((length = this.#pull()) >= 0) {
        const words = this.#words;
        const kind = words[0];
        if (kind === TaskKind.CALL) this.#call(words[1], words[2], this.#readTask(length, words[3]));
        else this.#handle(kind, words[1], words[2], words[3]);
        if (!this.#tick()) break;
      }
    } finally {
      this.#isDraining = false;
    }
  }

  /** Ticks and microtasks between two tasks. False when one of them threw, which has been reported. */
  #tick() {
    if (runTicks === undefined) return false;
    try {
      runTicks();
      return true;
    } catch (error) {
      this.#reportUncaught(/** @type {any} */ (error));
      return false;
    }
  }

  /**
   * @param {number} kind
   * @param {number} slot
   * @param {number} handler
   * @param {number} definitions
   */
  #handle(kind, slot, handler, definitions) {
    switch (kind) {
      case TaskKind.TICKET:
        this.#learn(definitions);
        this.#claimed.set(slot, handler);
        return this.#tell(Report.CLAIM, slot);
      case TaskKind.PARCEL:
        this.#learn(definitions);
        return this.#callWithParcel(slot, handler);
      case TaskKind.DELIVERY: {
        const claimed = this.#claimed.get(slot);
        if (claimed === undefined) return;
        this.#claimed.delete(slot);
        return this.#callWithParcel(slot, claimed);
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
    let memory = this.#input;
    if (length > memory.bytes.length) {
      memory = memoryOf(new ArrayBuffer(length));
      this.#native.takeHeld(memory.bytes);
    }
    decoder.use(memory);
    return decoder.decode(0, length);
  }

  /** Reads what tasks from here on build on. @param {number} definitions */
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
   */
  #callWithParcel(slot, handler) {
    let parcel;
    try {
      parcel = this.#receive(slot);
    } catch (error) {
      return this.#fail(slot, error);
    }
    // Empty when the caller could not send it, and has said so to its own caller.
    if (parcel.length === 1) this.#done(slot, undefined);
    else this.#call(slot, handler, parcel[1]);
  }

  /** @param {number} slot */
  #receive(slot) {
    for (;;) {
      const early = this.#parcels.get(slot);
      if (early !== undefined) {
        this.#parcels.delete(slot);
        return early;
      }
      const { message } = /** @type {{ message: any[] }} */ (receiveFromNode(this.#port));
      if (message[0] === slot) return message;
      this.#parcels.set(message[0], message);
    }
  }

  /**
   * @param {number} slot
   * @param {number} number
   * @param {any} value
   */
  #call(slot, number, value) {
    const handler = this.#handlers[number];
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
      result =
        this.#inContext === null ? runTask(slot, call, value) : this.#inContext(runTask, slot, call, value);
      if (result !== null && typeof result === 'object' && typeof result.then === 'function') {
        result.then(
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
   * @param {number} slot
   * @param {any} result
   */
  #done(slot, result) {
    leaveTask(slot);
    try {
      const moved = unpack(result);
      if (moved !== null) this.#sendByPort(Report.PARCEL_RESULT, slot, moved.value, moved.transferList);
      else this.#send(Report.RESULT, slot, result);
    } catch (error) {
      // It cannot be cloned, or a getter of it threw.
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
    if (this.#heapLimit !== 0 && process.memoryUsage().heapUsed > this.#heapLimit) this.#native.retire();
    if (!this.#isDraining) this.#native.wake();
  }

  /**
   * Reports with a value, by the worker's port if need be.
   * @param {number} kind
   * @param {number} slot
   * @param {any} value
   */
  #send(kind, slot, value) {
    // A getter of the value may send something in turn.
    const encoder = this.#isEncoding ? this.#encoder.sibling() : this.#encoder;
    if (encoder === this.#encoder) encoder.begin(this.#output, 0, this.#output.bytes.length);
    else encoder.beginInScratch();
    const wasEncoding = this.#isEncoding;
    this.#isEncoding = true;
    let length;
    try {
      length = encoder.encode(value);
    } catch (error) {
      if (error !== UNSUPPORTED) throw error;
      return this.#sendByPort(kind + (kind === Report.EVENT ? 1 : 2), slot, value, []);
    } finally {
      this.#isEncoding = wasEncoding;
    }
    const words = this.#words;
    words[0] = kind;
    words[1] = slot;
    words[2] = length;
    if (encoder.isIn(this.#output)) this.#report();
    else this.#native.reportLarge(encoder.record());
    encoder.commit();
  }

  /**
   * @param {number} kind
   * @param {number} slot
   * @param {any} value
   * @param {any[]} transferList
   */
  #sendByPort(kind, slot, value, transferList) {
    this.#port.postMessage(value, transferList);
    this.#tell(kind, slot);
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
    this.#report();
  }
}

module.exports.Runner = Runner;
