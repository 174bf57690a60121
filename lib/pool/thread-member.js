'use strict';

const { MessageChannel } = require('node:worker_threads');
const { requireAddon } = require('../core/addon');
const { Member } = require('./member');
const { startThread } = require('./start');
const { codeOfWorkers, share } = require('./worker-code');

/** A worker thread. */
class ThreadMember extends Member {
  /** Must have been called before one is made. */
  static prepare() {
    share(requireAddon('Pool'));
  }

  /**
   * @param {Record<string, any>} options of the pool
   * @param {import('../native/index').PoolQueue} native
   * @param {number} number
   * @param {import('../link/memory').Memory} memory
   * @param {import('./member').Events} events
   * @param {import('./start').Started} [started] its thread, if already started
   */
  constructor(options, native, number, memory, events, started = startThread(options)) {
    super(options, number, memory, started);
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    this.worker = started.worker;
    const queue = { queue: native.id, number, port: port2 };
    started.post({ ...this.startup(options), code: codeOfWorkers(), ...queue }, [port2]);
    if (options.stdio === 'ignore' && !options.emitStdStreams) {
      this.worker.stdout.resume();
      this.worker.stderr.resume();
    }
    this.worker.on('message', (/** @type {any} */ message) => events.onMessage(this, message));
    // Adding a 'message' listener refs the worker, so it is unref'd only now.
    this.worker.unref();
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

  /** @override */
  get id() {
    return this.worker.threadId;
  }

  /** @override */
  kill() {
    void this.worker.terminate();
  }

  /**
   * @override
   * @param {any} message
   */
  post(message) {
    if (!this.isGone) this.worker.postMessage(message);
  }
}

module.exports.ThreadMember = ThreadMember;
