'use strict';

/** One worker of a pool, as its caller sees it: what threads and processes have in common. */

const { Decoder } = require('../link/decoder');

/**
 * @typedef {object} Events
 * @property {(member: Member, message: any) => void} onMessage
 * @property {(member: Member, code: number | null, signal?: string | null) => void} onExit
 */

class Member {
  /**
   * @param {Record<string, any>} options of the pool
   * @param {number} number its place in the queue
   * @param {import('../link/memory').Memory} memory that its reports are in
   * @param {import('./start').Beginning} beginning
   */
  constructor(options, number, memory, { workerId, settings }) {
    this.number = number;
    this.workerId = workerId;
    this.decoder = new Decoder(memory);
    /** Whether tasks count on it. */
    this.isReady = false;
    /** Whether it has loaded what it needs. */
    this.hasStarted = false;
    this.isLeaving = false;
    this.isGone = false;
    /** Why it ended, if that is known. @type {any} */
    this.cause = undefined;
    this.startedAt = performance.now();
    /** Tasks given to it by JavaScript. */
    this.usage = 0;
    this.abortable = 0;
    this.histogram = options.workerHistogram ? require('node:perf_hooks').createHistogram() : null;
    this.settings = settings;
    /** The Worker or ChildProcess. @type {any} */
    this.worker = null;
    /** For what the queue cannot carry, where there is one. @type {any} */
    this.port = null;
    /** @type {Promise<any>} */
    this.exited = Promise.resolve();
  }

  /** What it is told first, besides how to reach it. @param {Record<string, any>} options of the pool */
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

  /** What users tell it by. @returns {number} */
  get id() {
    return -1;
  }

  /** Whether it is to be asked to end, as long as it has nothing in hand. */
  get endsByItself() {
    return false;
  }

  /** This process stays until it has ended. */
  hold() {
    this.worker.ref();
  }

  /** Ends it. @param {any} [cause] what its tasks are rejected with */
  terminate(cause) {
    this.cause ??= cause;
    this.isLeaving = true;
    if (this.isGone) return;
    this.hold();
    this.kill();
  }

  kill() {}
}

module.exports.Member = Member;
