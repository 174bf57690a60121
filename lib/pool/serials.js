'use strict';

/** What the codec cannot carry to a process goes through the queue as well, as the platform serializes it. */

const { TaskKind } = require('./page');
const { checkTransferable, deserialize, detach, serialize } = require('./serialization');
const { restoreError } = require('./whole-errors');

/** @typedef {import('./engine').TaskOptions} TaskOptions */

/**
 * The counterpart of `Parcels` where workers are processes.
 * @typedef {object} Parts of an engine
 * @property {import('./tasks').Tasks} tasks
 * @property {import('./task-writer').TaskWriter} writer
 */

class Serials {
  #tasks;
  #writer;
  /** Tasks with a transfer list go through the queue like others. */
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

  /** @param {readonly any[]} transferList of a task that has been queued */
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
   * Takes a result.
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
   * Takes what a task tells while it goes on.
   * @param {import('./member').Member} _member
   * @param {() => Uint8Array} body
   */
  event(_member, body) {
    return deserialize(body());
  }

  /** Processes have no need to ask. */
  deliver() {}
}

module.exports.Serials = Serials;
