'use strict';

const { fork } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { Worker } = require('node:worker_threads');

const PEER = path.join(__dirname, '..', 'fixtures', 'locks-peer.js');
const LIMIT_MS = 60_000;

/** Fails instead of waiting forever. */
async function within(promise, what, limitMs = LIMIT_MS) {
  let timer;
  const limit = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** A process or thread that runs functions of the test, see fixtures/locks-peer.js. */
class Peer {
  #target;
  #isProcess;
  #calls = new Map();
  #told = [];
  #waiting = [];
  #lastId = 0;

  constructor(target, isProcess) {
    this.#target = target;
    this.#isProcess = isProcess;
    this.exited = once(target, 'exit');
    this.exited.then(() => this.#end());
    this.ready = new Promise((resolve) => {
      target.on('message', (message) => {
        if (message.ready) resolve();
        else if ('told' in message) this.#onTold(message.told);
        else this.#onResult(message);
      });
    });
  }

  /** Returns the result of `body(manycore, argument, tell)`, run in the peer. */
  run(body, argument) {
    const id = ++this.#lastId;
    const result = new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));
    const message = { id, body: String(body), argument };
    if (this.#isProcess) this.#target.send(message);
    else this.#target.postMessage(message);
    return within(result, `${body}`.slice(0, 80));
  }

  /** Like `run`, for functions that do not return. Resolves to the first value they tell. */
  async start(body, argument) {
    this.run(body, argument).catch((error) => {
      if (error.message !== 'the peer has ended') this.#onTold({ failed: error.message });
    });
    return this.told();
  }

  /** Returns the next value told by the peer. */
  told() {
    if (this.#told.length > 0) return Promise.resolve(this.#told.shift());
    return within(new Promise((resolve) => this.#waiting.push(resolve)), 'something told');
  }

  /** Returns all told values that have not been consumed. */
  takeTold() {
    return this.#told.splice(0);
  }

  /** Ends the peer at whatever point it is: by SIGKILL, or terminate(). */
  async kill() {
    if (this.#isProcess) this.#target.kill('SIGKILL');
    else await this.#target.terminate();
    await within(this.exited, 'the end of a peer');
  }

  #onTold(value) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(value);
    else this.#told.push(value);
  }

  #onResult({ id, value, error }) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (error) call?.reject(Object.assign(new Error(error.message), error));
    else call?.resolve(value);
  }

  #end() {
    for (const { reject } of this.#calls.values()) reject(new Error('the peer has ended'));
    this.#calls.clear();
  }
}

/** Starts a process; it ends with the test. */
async function startProcess(t) {
  const child = fork(PEER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const peer = new Peer(child, true);
  t.after(() => peer.kill());
  await within(peer.ready, 'the start of a process');
  return peer;
}

/** Starts a thread; it ends with the test. */
async function startThread(t) {
  const peer = new Peer(new Worker(PEER), false);
  t.after(() => peer.kill());
  await within(peer.ready, 'the start of a thread');
  return peer;
}

/** Returns a segment name for one test; the segment is removed afterwards. */
function segmentName(t, what) {
  const name = `test.${process.pid}.${what}.${Math.random().toString(36).slice(2)}`;
  t.after(() => require('manycore').shared.unlink(name));
  return name;
}

module.exports.startProcess = startProcess;
module.exports.startThread = startThread;
module.exports.segmentName = segmentName;
module.exports.within = within;
