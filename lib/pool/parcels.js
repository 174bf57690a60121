'use strict';

/**
 * Tasks whose values the queue cannot carry go through the worker's own port. An idle worker is given the task
 * directly; otherwise a ticket is queued like any other task, and the worker that takes it requests the value.
 */

const { TaskKind } = require('./page');
const { wantsNoCompany } = require('./run-options');
const { receiveFrom } = require('./transfer');
const { restoreError } = require('./whole-errors');

/** @typedef {import('./engine').TaskOptions} TaskOptions */

/**
 * @typedef {object} Parts of an engine
 * @property {import('./tasks').Tasks} tasks
 * @property {import('../native/index').PoolQueue} native
 * @property {import('./crew').Crew} crew
 * @property {import('./task-writer').TaskWriter} writer
 * @property {number} concurrency number of tasks a worker runs at once
 */

class Parcels {
  #tasks;
  #native;
  #crew;
  #writer;
  #concurrency;
  /** Whether transferred values are copied. Here, tasks with a transfer list go through a port. */
  copies = false;

  /** @param {Parts} parts */
  constructor({ tasks, native, crew, writer, concurrency }) {
    this.#tasks = tasks;
    this.#native = native;
    this.#crew = crew;
    this.#writer = writer;
    this.#concurrency = concurrency;
  }

  /** Nothing to do: the port validates the transfer list. */
  check() {}

  /** Nothing to do: the port has detached the values. */
  sent() {}

  /**
   * Queues a task whose value goes through a port. Returns false if its worker has ended.
   * @param {number} slot
   * @param {number} handler
   * @param {any} value
   * @param {any[]} transferList
   * @param {TaskOptions | null} options
   */
  push(slot, handler, value, transferList, options) {
    // A value posted to a worker is lost with it, so tasks to be retried are kept here.
    const isKept = (options?.retries ?? 0) > 0 && transferList.length === 0;
    const place = options?.place ?? (isKept ? -1 : this.#freePlace(wantsNoCompany(options)));
    if (place >= 0) {
      const member = this.#crew.at(place);
      if (member === undefined) return false;
      member.port.postMessage([slot, value], transferList);
      if (options?.retries) this.#tasks.extra(slot).retries = 0;
      this.#writer.describe(TaskKind.PARCEL, slot, handler, { ...options, retries: 0, place });
    } else {
      const extra = this.#tasks.extra(slot);
      extra.value = value;
      extra.transferList = transferList;
      if (!isKept) extra.retries = 0;
      this.#writer.describe(TaskKind.TICKET, slot, handler, options);
    }
    return this.#writer.pushBare();
  }

  /**
   * Returns the place of the least busy worker, or -1 if there is none with room or tasks are waiting. A worker
   * that is still starting qualifies: a value already on its port need not be requested, which saves a turn of this
   * event loop.
   * @param {boolean} isAlone whether the task needs a worker to itself
   */
  #freePlace(isAlone) {
    const native = this.#native;
    if (native.waiting > 0) return -1;
    let place = -1;
    let least = isAlone ? 1 : this.#concurrency;
    for (const load of native.loads()) {
      const member = this.#crew.at(load.worker);
      const usage = load.inHand + load.pinned;
      if (usage >= least || !member?.isReady || member.isEnding || member.isLeaving) continue;
      // An idle worker is preferred to any that is still starting.
      if (member.hasStarted && usage === 0) return load.worker;
      [place, least] = [load.worker, usage];
    }
    return place;
  }

  /**
   * Receives a result.
   * @param {number} slot
   * @param {import('./member').Member} member
   * @param {boolean} isError
   */
  settle(slot, member, isError) {
    let value;
    try {
      value = receiveFrom(member.port)?.message;
    } catch (error) {
      // It cannot be deserialized here.
      return this.#tasks.reject(slot, error);
    }
    if (isError) this.#tasks.reject(slot, restoreError(value));
    else this.#tasks.resolve(slot, value);
  }

  /**
   * Receives a progress message of a running task.
   * @param {import('./member').Member} member
   */
  event(member) {
    return receiveFrom(member.port)?.message;
  }

  /**
   * Sends the value of a ticket that a worker has requested.
   * @param {number} slot
   * @param {import('./member').Member} member
   */
  deliver(slot, member) {
    const extra = this.#tasks.peek(slot);
    if (extra === undefined) {
      member.port.postMessage([slot]);
    } else {
      const { value, transferList } = extra;
      if (extra.retries === 0) extra.value = undefined;
      try {
        member.port.postMessage([slot, value], transferList);
      } catch (error) {
        this.#tasks.reject(slot, error);
        member.port.postMessage([slot]);
      }
    }
    this.#native.notify(member.number, TaskKind.DELIVERY, slot);
  }
}

module.exports.Parcels = Parcels;
