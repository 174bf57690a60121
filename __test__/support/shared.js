'use strict';

/* Shared objects under test: unique names, removed after the test, and other programs that use them. */

const { spawn } = require('node:child_process');
const path = require('node:path');
const { Worker } = require('node:worker_threads');

const { shared } = require('../..');

const PEER = path.join(__dirname, '..', 'fixtures', 'shared-peer.js');
/** For `test(name, WATCHDOG, ...)`: far more than any test takes, even on a loaded machine. */
const WATCHDOG = { timeout: 120_000 };

let count = 0;

/**
 * Returns a name that no other test uses.
 * @param {import('node:test').TestContext} t
 */
function nameFor(t) {
  const name = `test-${process.pid}-${++count}`;
  t.after(() => {
    shared.unlink(name);
    shared.unlink(name, { scope: 'process' });
  });
  return name;
}

/** Runs functions of this program in another process or thread, with given arguments. */
class Peer {
  #next = 0;
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
  #waiting = new Map();
  /** @type {(message: object) => void} */
  #post;

  /**
   * @param {(message: object) => void} post
   * @param {import('node:events').EventEmitter} source
   */
  constructor(post, source) {
    this.#post = post;
    source.on('message', ({ id, value, error }) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(Object.assign(new Error(error.message), { code: error.code }));
      else waiting?.resolve(value);
    });
    source.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the peer ended: ${signal ?? code}`));
      this.#waiting.clear();
    });
  }

  /**
   * Calls `action({ manycore, kept }, ...args)` in the peer and returns its result; `kept` is an object that
   * persists between calls. The function has no access to the rest of this program.
   * @param {(there: { manycore: any, kept: any }, ...args: any[]) => any} action
   * @param {...any} args
   * @returns {Promise<any>}
   */
  run(action, ...args) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#post({ id, source: String(action), args });
    });
  }
}

/**
 * An unrelated process of the same user.
 * @param {import('node:test').TestContext} t
 * @param {Record<string, string>} [env]
 */
function process_(t, env) {
  const child = spawn(process.execPath, [PEER], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced',
  });
  const ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })));
  t.after(() => {
    child.kill('SIGKILL');
    return ended;
  });
  return Object.assign(new Peer((message) => child.send(message), child), { child, ended });
}

/**
 * A thread of this process.
 * @param {import('node:test').TestContext} t
 * @param {any} [workerData]
 */
function thread(t, workerData) {
  const worker = new Worker(PEER, { workerData });
  t.after(() => worker.terminate());
  return Object.assign(new Peer((message) => worker.postMessage(message), worker), { worker });
}

module.exports.WATCHDOG = WATCHDOG;
module.exports.nameFor = nameFor;
module.exports.processPeer = process_;
module.exports.threadPeer = thread;
