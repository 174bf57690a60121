'use strict';

/** Writes tasks to the native queue and encodes their arguments into records. */

const { Encoder } = require('../link/encoder');
const { memoryOf } = require('../link/memory');
const { LARGE_LENGTH } = require('../link/tags');
const { Definitions, makeTaskEncoder } = require('./definitions');
const { Errors } = require('./errors');
const { Target, TaskKind, Word } = require('./page');
const { RecordEncoder } = require('./record-encoder');
const { wantsNoCompany } = require('./run-options');

/** @typedef {import('./engine').TaskOptions} TaskOptions */

class TaskWriter {
  #native;
  #words;
  #priority;
  #records;
  #push;
  #call;
  #definitions;

  /**
   * @param {import('../native/index').PoolQueue} native
   * @param {Int32Array} words
   * @param {boolean} isRemote whether workers are processes
   */
  constructor(native, words, isRemote) {
    this.#native = native;
    this.#words = words;
    this.#priority = new Float64Array(words.buffer, Word.PRIORITY * 4, 1);
    this.#push = native.pushFunction();
    this.#call = native.callFunction();
    this.#definitions = new Definitions(native);
    // Long strings are cheaper through a worker's port than through the queue; processes have no such port.
    const encoder = isRemote
      ? makeTaskEncoder(require('./process-encoder').ProcessEncoder, this.#definitions)
      : makeTaskEncoder(Encoder, this.#definitions, LARGE_LENGTH);
    this.#records = new RecordEncoder(
      native,
      memoryOf(/** @type {ArrayBuffer} */ (native.record())),
      encoder,
    );
  }

  /**
   * Returns the number of a handler.
   * @param {string | null} filename
   * @param {string} name
   * @param {boolean} isSpread
   * @param {string | null} source
   * @param {boolean} announces
   */
  handler(filename, name, isSpread, source, announces) {
    return this.#definitions.handler(filename, name, isSpread, source, announces);
  }

  /**
   * Queues a task with its argument. Returns false if the codec does not support the argument.
   * @param {number} slot
   * @param {number} handler
   * @param {any} value
   * @param {TaskOptions | null} options
   * @throws errors of the value's getters, and an error if the task's worker has ended
   */
  push(slot, handler, value, options) {
    const encoder = this.#records.encode(value);
    if (encoder === null) return false;
    this.#send(encoder, slot, handler, options);
    return true;
  }

  /**
   * Hands a task without options to a worker that spins, and blocks until it has returned; otherwise queues it.
   * @param {import('./tasks').Tasks} tasks
   * @param {number} slot
   * @param {number} handler
   * @param {any} value
   * @returns {number} length of the report in the batch; 0 if the task goes on or waits, -1 if the codec does not
   * support the argument
   * @throws errors of the value's getters, and an error if the queue is closed
   */
  call(tasks, slot, handler, value) {
    const encoder = this.#records.encode(value);
    if (encoder === null) return -1;
    // A getter of the value may have queued tasks, which come first, or ended the pool or its worker.
    const isOnly = tasks.outstanding === 1 && tasks.isOpen(slot);
    if (!isOnly || encoder.larges.length > 0 || !this.#records.isInMemory(encoder)) {
      this.#send(encoder, slot, handler, null);
      return 0;
    }
    this.describe(TaskKind.CALL, slot, handler, null);
    this.#words[Word.LENGTH] = this.#records.length;
    const length = this.#call();
    encoder.commit();
    return length;
  }

  /**
   * @param {import('../link/encoder').Encoder} encoder
   * @param {number} slot
   * @param {number} handler
   * @param {TaskOptions | null} options
   */
  #send(encoder, slot, handler, options) {
    this.describe(TaskKind.CALL, slot, handler, options);
    this.#words[Word.LENGTH] = this.#records.length;
    this.#words[Word.PAYLOADS] = encoder.larges.length;
    const pushed = this.#records.isInMemory(encoder)
      ? this.#push()
      : this.#native.pushLarge(encoder.record());
    encoder.commit();
    if (pushed !== 1) throw Errors.threadTermination();
  }

  /**
   * @param {number} kind
   * @param {number} slot
   * @param {number} handler
   * @param {TaskOptions | null} options
   */
  describe(kind, slot, handler, options) {
    const words = this.#words;
    words[Word.KIND] = kind;
    words[Word.SLOT] = slot;
    words[Word.HANDLER] = handler;
    words[Word.DEFINITIONS] = this.#definitions.count;
    words[Word.TARGET] = Target.ANY;
    words[Word.LENGTH] = 0;
    words[Word.KEEP] = 0;
    words[Word.PAYLOADS] = 0;
    this.#priority[0] = 0;
    if (options === null) return;
    if (options.place !== undefined && options.place >= 0) {
      words[Word.TARGET] = Target.WORKER;
      words[Word.WORKER] = options.place;
    } else if (wantsNoCompany(options)) {
      words[Word.TARGET] = Target.ALONE;
    }
    words[Word.KEEP] = options.retries ? 1 : 0;
    this.#priority[0] = options.priority ?? 0;
  }

  /** Queues the described task without a record. Returns false if its worker has ended. */
  pushBare() {
    return this.#push() === 1;
  }

  /**
   * Queues the described task. Returns false if its worker has ended.
   * @param {Uint8Array} record
   */
  pushBytes(record) {
    this.#words[Word.LENGTH] = record.length;
    return this.#native.pushLarge(record) === 1;
  }

  /**
   * Returns what to send by other means: the value, or the copy read so far if getters may have run.
   * @param {any} value
   */
  substituteFor(value) {
    return this.#records.substituteFor(value);
  }
}

module.exports.TaskWriter = TaskWriter;
