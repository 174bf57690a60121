'use strict';

/** Values the codec does not support go to processes through the queue as well, serialized by `v8.Serializer`. */

const { TaskKind } = require('./page');
const { checkTransferable, deserialize, detach, serialize } = require('./serialization');
const { restoreError } = require('./whole-errors');

/** @typedef {import('./engine').TaskOptions} TaskOptions */

/**
 * Counterpart of `Parcels` for worker processes.
 * @typedef {object} Parts of an engine
 * @property {import('./tasks').Tasks} tasks
 * @property {import('./task-writer').TaskWriter} writer
 */

class Serials {
  #tasks;
  #writer;
  /** Whether transferred values are copied. Here, tasks with a transfer list go through the queue like others. */
  copies = true;

  /** @param {Parts} parts */
  constructor({ tasks, writer }) {
    this.#tasks = tasks;
    this.#writer = writer;
  }

  /** @param {readonly any[]} transferList */
  check(transferList) {
    checkTransferable(transferList);
  }

  /** @param {readonly any[]} transferList transfer list of a task that has been queued */
  sent(transferList) {
    detach(transferList);
  }

  /**
   * @param {number} slot
   * @param {number} handler
   * @param {any} value
   * @param {readonly any[]} _transferList
   * @param {TaskOptions | null} options
   */
  push(slot, handler, value, _transferList, options) {
    const record = serialize(value);
    this.#writer.describe(TaskKind.PARCEL, slot, handler, options);
    return this.#writer.pushBytes(record);
  }

  /**
   * Receives a result.
   * @param {number} slot
   * @param {import('./member').Member} _member
   * @param {boolean} isError
   * @param {() => Uint8Array} body
   */
  settle(slot, _member, isError, body) {
    const value = deserialize(body());
    if (isError) this.#tasks.reject(slot, restoreError(value));
    else this.#tasks.resolve(slot, value);
  }

  /**
   * Receives a progress message of a running task.
   * @param {import('./member').Member} _member
   * @param {() => Uint8Array} body
   */
  event(_member, body) {
    return deserialize(body());
  }

  /** Never called: processes get the value with the task. */
  deliver() {}
}

module.exports.Serials = Serials;
