'use strict';

const path = require('node:path');
const workerThreads = require('node:worker_threads');
const { Member, pick } = require('./member');

const PROGRAM = path.join(__dirname, 'worker.js');
const SETTINGS = ['env', 'argv', 'execArgv', 'resourceLimits', 'workerData', 'trackUnmanagedFds'];

/** A worker that is a thread. */
class ThreadMember extends Member {
  /**
   * @param {Record<string, any>} options of the pool
   * @param {import('../native/index').PoolQueue} native
   * @param {number} number
   * @param {import('../link/memory').Memory} memory
   * @param {import('./member').Events} events
   */
  constructor(options, native, number, memory, events) {
    const settings = pick(options, SETTINGS);
    Object.assign(settings, options.workerThreadOpts);
    if (options.emitStdStreams || options.stdio !== 'inherit') {
      Object.assign(settings, { stdout: true, stderr: true });
    }
    super(options, number, memory, settings);
    const { port1, port2 } = new workerThreads.MessageChannel();
    this.port = port1;
    this.worker = new workerThreads.Worker(PROGRAM, this.settings);
    this.worker.postMessage({ ...this.startup(options), queue: native.id, number, port: port2 }, [port2]);
    this.worker.unref();
    if (options.stdio === 'ignore' && !options.emitStdStreams) {
      this.worker.stdout.resume();
      this.worker.stderr.resume();
    }
    this.worker.on('message', (/** @type {any} */ message) => events.onMessage(this, message));
    this.worker.on('error', (/** @type {any} */ error) => {
      this.cause ??= error;
    });
    this.worker.once('exit', (/** @type {number} */ code) => {
      this.isGone = true;
      this.port.close();
      events.onExit(this, code);
    });
    this.exited = new Promise((resolve) => {
      this.worker.once('exit', resolve);
    });
  }

  /**
   * @override
   * @param {Record<string, any>} created
   */
  known({ forkArgs, forkOpts: _, workerThreadOpts, ...rest }) {
    return { ...(forkArgs === undefined ? {} : { argv: forkArgs }), ...workerThreadOpts, ...rest };
  }

  /** @override */
  get id() {
    return this.worker.threadId;
  }

  /** @override */
  kill() {
    void this.worker.terminate();
  }
}

module.exports.ThreadMember = ThreadMember;
