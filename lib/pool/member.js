'use strict';

/** One worker of a pool, as its caller sees it: what threads and processes have in common. */

const { createHistogram } = require('node:perf_hooks');
const { Decoder } = require('../link/decoder');

/** Numbers the workers of this process. */
let workers = 0;

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
   * @param {Record<string, any>} settings to start it with
   */
  constructor(options, number, memory, settings) {
    this.number = number;
    this.workerId = ++workers;
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
    this.histogram = options.workerHistogram ? createHistogram() : null;
    this.settings = settings;
    const created = options.onCreateWorker?.({ ...settings, workerId: this.workerId });
    if (typeof created === 'object' && created !== null) Object.assign(settings, this.known(created));
    /** The Worker or ChildProcess. @type {any} */
    this.worker = null;
    /** For what the queue cannot carry, where there is one. @type {any} */
    this.port = null;
    /** @type {Promise<any>} */
    this.exited = Promise.resolve();
  }

  /**
   * What workerpool's hook returned, by our names.
   * @param {Record<string, any>} created
   */
  known(created) {
    return created;
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

/**
 * @param {Record<string, any>} options
 * @param {readonly string[]} names
 */
function pick(options, names) {
  /** @type {Record<string, any>} */
  const settings = {};
  for (const name of names) if (options[name] !== undefined) settings[name] = options[name];
  return settings;
}

module.exports.Member = Member;
module.exports.pick = pick;
