'use strict';

/*
 * Program of bench/calls.js: makes blocking calls to a worker and prints the result.
 *
 *   node caller.js synckit|atomics-wait|manycore SCENARIO COUNT
 */

const path = require('node:path');

const [library, scenario, count] = process.argv.slice(2);
const WORKER = path.join(__dirname, 'answer.js');
const LINE = { sku: 'sku-12', qty: 36, price: 16.24, note: 'lorem ipsum dolor' };

const VALUES = {
  small: { id: 1, op: 'get', v: [1, 2, 3] },
  object: {
    id: 12345,
    user: { name: 'Alice Example', email: 'alice@example.com', age: 33, active: true },
    tags: ['lorem', 'ipsum', 'dolor', 'sit', 'amet', 'consectetur'],
    items: Array.from({ length: 10 }, (_, i) => ({ ...LINE, qty: i * 3 })),
    meta: { a: null, b: 1.5, c: 'x'.repeat(60) },
  },
  text: 'abcdefgh'.repeat(2048),
};

/** By library: returns a function that makes a call. */
const CALLERS = {
  synckit() {
    return require('synckit').createSyncFn(path.join(__dirname, 'answer-synckit.js'));
  },
  'atomics-wait'() {
    const { Worker, MessageChannel, receiveMessageOnPort } = require('node:worker_threads');
    const shared = new SharedArrayBuffer(4);
    const done = new Int32Array(shared);
    const { port1, port2 } = new MessageChannel();
    const worker = new Worker(
      `const { workerData: { port, shared } } = require('node:worker_threads');
       const done = new Int32Array(shared);
       port.on('message', ({ id, value }) => {
         port.postMessage({ id, value });
         Atomics.add(done, 0, 1);
         Atomics.notify(done, 0);
       });`,
      { eval: true, workerData: { port: port2, shared }, transferList: [port2] },
    );
    worker.unref();
    let id = 0;
    return (/** @type {any} */ value) => {
      const before = Atomics.load(done, 0);
      port1.postMessage({ id: ++id, value });
      // A loop: the notification of an answer that was found without waiting wakes the next call too early.
      while (Atomics.load(done, 0) === before) Atomics.wait(done, 0, before);
      return /** @type {any} */ (receiveMessageOnPort(port1)).message.value;
    };
  },
  manycore() {
    const { Worker } = require('../../../lib/threads');
    const worker = new Worker(WORKER, { env: { ...process.env, CALLS_LIBRARY: 'manycore' } });
    return (/** @type {any} */ value) => worker.call(value);
  },
};

function main() {
  const value = VALUES[scenario];
  const call = CALLERS[library]();
  const calls = Number(count);
  for (let i = 0; i < calls / 2; i++) call(value);
  const cpu = process.cpuUsage();
  const startNs = process.hrtime.bigint();
  for (let i = 0; i < calls; i++) call(value);
  const elapsedNs = Number(process.hrtime.bigint() - startNs);
  const { user, system } = process.cpuUsage(cpu);
  if (JSON.stringify(call(value)) !== JSON.stringify(value)) throw new Error('a wrong answer');
  console.log(JSON.stringify({ calls, elapsedNs, cpuUs: user + system }));
  process.exit();
}

main();
