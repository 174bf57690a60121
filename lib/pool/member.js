'use strict';

/** Caller's view of one worker of a pool: the part common to threads and processes. */

const { Decoder } = require('../link/decoder');

/**
 * @typedef {object} Events
 * @property {(member: Member, message: any) => void} onMessage
 * @property {(member: Member, code: number | null, signal?: string | null) => void} onExit
 */

/**
 * Channel between the program and the worker that runs a task.
 * @typedef {object} Channel
 * @property {(send: (message: any) => void) => void} [onMessage] receives the function that sends to the worker
 * @property {(message: any) => void} [postMessage] called with each message of the worker
 * @property {() => void} [onClose] called when the worker has ended or has begun a task with another channel
 */

class Member {
  /**
   * @param {Record<string, any>} options of the pool
   * @param {number} number the worker's place in the queue
   * @param {import('../link/memory').Memory} memory memory for its reports
   * @param {import('./start').Beginning} beginning
   */
  constructor(options, number, memory, { workerId, settings }) {
    this.number = number;
    this.workerId = workerId;
    this.decoder = new Decoder(memory);
    /** Whether it counts towards the capacity of the pool. */
    this.isReady = false;
    /** Whether it has loaded everything it needs. */
    this.hasStarted = false;
    /** Whether it is to end as soon as it has no task left, and is given no more. */
    this.isEnding = false;
    /** Whether it is ending because it exceeds the maximum number of workers. */
    this.isSurplus = false;
    /** Whether the queue has been told to give it no more tasks. */
    this.isRetired = false;
    this.isLeaving = false;
    this.isGone = false;
    /** Why it ended, if known. @type {any} */
    this.cause = undefined;
    this.startedAt = performance.now();
    /** Number of tasks assigned to it by JavaScript. */
    this.usage = 0;
    this.abortable = 0;
    this.histogram = options.workerHistogram ? require('node:perf_hooks').createHistogram() : null;
    this.settings = settings;
    /** The Worker or ChildProcess. @type {any} */
    this.worker = null;
    /** Port for values the queue cannot carry, if there is one. @type {any} */
    this.port = null;
    /** Channel of the last task that had one. @type {Channel | null} */
    this.channel = null;
    /** @type {Promise<any>} */
    this.exited = Promise.resolve();
  }

  /**
   * Returns its initial data, without the connection to the queue. @param {Record<string, any>} options of the pool
   */
  startup(options) {
    return {
      workerId: this.workerId,
      concurrency: options.concurrentTasksPerWorker,
      niceIncrement: options.niceIncrement,
      memoryLimitBytes: options.maxMemoryLimitBeforeRecycle,
      filename: options.filename,
      name: options.name,
      teardown: options.teardown,
      setupArgs: options.setupArgs,
    };
  }

  /** User-visible id. @returns {number} */
  get id() {
    return -1;
  }

  /** Whether an idle worker is asked to exit instead of being terminated. */
  get endsByItself() {
    return false;
  }

  /** Keeps this process alive until the worker has ended. */
  hold() {
    this.worker.ref();
  }

  /** Terminates the worker. @param {any} [cause] reason with which its tasks are rejected */
  terminate(cause) {
    this.cause ??= cause;
    this.isLeaving = true;
    if (this.isGone) return;
    this.hold();
    this.kill();
  }

  kill() {}

  /** Sends a message to the code in it. @param {any} _message */
  post(_message) {}
}

module.exports.Member = Member;
