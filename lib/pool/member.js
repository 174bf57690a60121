'use strict';

/** One worker of a pool, as its caller sees it. */

const path = require('node:path');
const { createHistogram } = require('node:perf_hooks');
const workerThreads = require('node:worker_threads');
const { Decoder } = require('../link/decoder');

const PROGRAM = path.join(__dirname, 'worker.js');

/** Numbers the workers of this process. */
let workers = 0;

/**
 * @typedef {object} Events
 * @property {(member: Member, message: any) => void} onMessage
 * @property {(member: Member, code: number) => void} onExit
 */

class Member {
  /**
   * @param {Record<string, any>} options of the pool
   * @param {number} queue
   * @param {number} number its place in the queue
   * @param {import('../link/memory').Memory} memory that its reports are in
   * @param {Events} events
   */
  constructor(options, queue, number, memory, events) {
    const { port1, port2 } = new workerThreads.MessageChannel();
    this.number = number;
    this.workerId = ++workers;
    this.port = port1;
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
    this.settings = settingsOf(options);
    const created = options.onCreateWorker?.({ ...this.settings, workerId: this.workerId });
    if (typeof created === 'object' && created !== null) Object.assign(this.settings, known(created));
    this.worker = new workerThreads.Worker(PROGRAM, this.settings);
    this.worker.postMessage(
      {
        queue,
        number,
        workerId: this.workerId,
        port: port2,
        concurrency: options.concurrentTasksPerWorker,
        niceIncrement: options.niceIncrement,
        heapLimitBytes: options.maxMemoryLimitBeforeRecycle,
        filename: options.filename,
        name: options.name,
        teardown: options.teardown,
        setupArgs: options.setupArgs,
      },
      [port2],
    );
    this.worker.unref();
    if (options.stdio === 'ignore' && !options.emitStdStreams) {
      this.worker.stdout.resume();
      this.worker.stderr.resume();
    }
    this.worker.on('message', (message) => events.onMessage(this, message));
    this.worker.on('error', (error) => {
      this.cause ??= error;
    });
    this.worker.once('exit', (code) => {
      this.isGone = true;
      this.port.close();
      events.onExit(this, code);
    });
    this.exited = new Promise((resolve) => {
      this.worker.once('exit', resolve);
    });
  }

  /** Ends it. @param {any} [cause] what its tasks are rejected with */
  terminate(cause) {
    this.cause ??= cause;
    this.isLeaving = true;
    if (this.isGone) return;
    // The process stays until it has ended.
    this.worker.ref();
    void this.worker.terminate();
  }
}

/** @param {Record<string, any>} options */
function settingsOf(options) {
  /** @type {Record<string, any>} */
  const settings = {};
  for (const name of ['env', 'argv', 'execArgv', 'resourceLimits', 'workerData', 'trackUnmanagedFds']) {
    if (options[name] !== undefined) settings[name] = options[name];
  }
  Object.assign(settings, options.workerThreadOpts);
  if (options.emitStdStreams || options.stdio !== 'inherit') {
    settings.stdout = true;
    settings.stderr = true;
  }
  return settings;
}

/** @param {Record<string, any>} created */
function known({ forkArgs, workerThreadOpts, ...rest }) {
  return { ...(forkArgs === undefined ? {} : { argv: forkArgs }), ...workerThreadOpts, ...rest };
}

module.exports.Member = Member;
