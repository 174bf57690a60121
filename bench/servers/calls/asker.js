'use strict';

/*
 * Program of bench/requests.js: sends requests to a worker and prints the result.
 *
 *   node asker.js node|comlink|manycore WINDOW COUNT
 */

const path = require('node:path');

const [library, window, count] = process.argv.slice(2);
const options = { env: { ...process.env, CALLS_LIBRARY: library } };
const WORKER = path.join(__dirname, 'answer.js');

/** By library: returns a function that sends a request and returns a promise of the reply. */
const ASKERS = {
  node() {
    const worker = new (require('node:worker_threads').Worker)(WORKER, options);
    const waiting = new Map();
    let lastId = 0;
    worker.on('message', ({ id, value }) => {
      waiting.get(id)(value);
      waiting.delete(id);
    });
    return (/** @type {any} */ value) =>
      new Promise((resolve) => {
        waiting.set(++lastId, resolve);
        worker.postMessage({ id: lastId, value });
      });
  },
  comlink() {
    const comlink = require('comlink');
    const nodeEndpoint = require('comlink/dist/umd/node-adapter.js');
    const worker = new (require('node:worker_threads').Worker)(WORKER, options);
    const remote = comlink.wrap(nodeEndpoint(worker));
    return (/** @type {any} */ value) => remote.ask(value);
  },
  manycore() {
    const worker = new (require('../../../lib/threads').Worker)(WORKER, options);
    return (/** @type {any} */ value) => worker.request(value);
  },
};

/**
 * @param {(value: any) => Promise<any>} ask
 * @param {number} requests
 */
async function exchange(ask, requests) {
  let left = requests;
  const loop = async () => {
    while (left-- > 0) await ask({ id: left, op: 'get', v: [1, 2, 3] });
  };
  await Promise.all(Array.from({ length: Number(window) }, loop));
}

async function main() {
  const ask = ASKERS[library]();
  const calls = Number(count);
  await exchange(ask, Math.ceil(calls / 2));
  const cpu = process.cpuUsage();
  const startNs = process.hrtime.bigint();
  await exchange(ask, calls);
  const elapsedNs = Number(process.hrtime.bigint() - startNs);
  const { user, system } = process.cpuUsage(cpu);
  console.log(JSON.stringify({ calls, elapsedNs, cpuUs: user + system }));
  process.exit();
}

main();
