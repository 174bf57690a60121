'use strict';

/**
 * What the queue cannot carry goes by the worker's own port. If some worker has nothing to do, it gets the task
 * at once; else a ticket waits in the queue like any other task, and the worker that takes it asks for the rest.
 */

const { receiveFromNode } = require('../threads/receive');
const { TaskKind } = require('./page');
const { wantsNoCompany } = require('./run-options');
const { restoreError } = require('./whole-errors');

/** @typedef {import('./engine').TaskOptions} TaskOptions */

/**
 * @typedef {object} Parts of an engine
 * @property {import('./tasks').Tasks} tasks
 * @property {import('../native/index').PoolQueue} native
 * @property {import('./crew').Crew} crew
 * @property {import('./task-writer').TaskWriter} writer
 * @property {number} concurrency tasks that a worker runs at once
 */

class Parcels {
  #tasks;
  #native;
  #crew;
  #writer;
  #concurrency;
  /** Tasks with a transfer list go by a port. */
  copies = false;

  /** @param {Parts} parts */
  constructor({ tasks, native, crew, writer, concurrency }) {
    this.#tasks = tasks;
    this.#native = native;
    this.#crew = crew;
    this.#writer = writer;
    this.#concurrency = concurrency;
  }

  /** A port checks what it transfers itself. */
  check() {}

  /** It is gone. */
  sent() {}

  /**
   * Queues a task whose value goes by a port. False when its worker is gone.
   * @param {number} slot
   * @param {number} handler
   * @param {any} value
   * @param {any[]} transferList
   * @param {TaskOptions | null} options
   */
  push(slot, handler, value, transferList, options) {
    // What was posted to a worker is gone with it.
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
   * The place of the worker with the most room while nothing waits, or -1. One that has yet to start will do: what lies
   * on its port by then need not be asked for, which takes a turn of the event loop here.
   * @param {boolean} isAlone whether the task wants no company
   */
  #freePlace(isAlone) {
    const native = this.#native;
    if (native.waiting > 0) return -1;
    let place = -1;
    let least = isAlone ? 1 : this.#concurrency;
    for (const load of native.loads()) {
      const member = this.#crew.at(load.worker);
      const usage = load.inHand + load.pinned;
      if (usage >= least || !member?.isReady || member.isLeaving) continue;
      // Next to one that has nothing to do, one that has yet to start is as busy as can be.
      if (member.hasStarted && usage === 0) return load.worker;
      [place, least] = [load.worker, usage];
    }
    return place;
  }

  /**
   * Takes a result.
   * @param {number} slot
   * @param {import('./member').Member} member
   * @param {boolean} isError
   */
  settle(slot, member, isError) {
    let value;
    try {
      value = receiveFromNode(member.port)?.message;
    } catch (error) {
      // It cannot be read here: something in it was not to be cloned.
      return this.#tasks.reject(slot, error);
    }
    if (isError) this.#tasks.reject(slot, restoreError(value));
    else this.#tasks.resolve(slot, value);
  }

  /**
   * Takes what a task tells while it goes on.
   * @param {import('./member').Member} member
   */
  event(member) {
    return receiveFromNode(member.port)?.message;
  }

  /**
   * A worker asks for the value of a ticket.
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
