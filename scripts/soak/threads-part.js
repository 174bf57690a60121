'use strict';

/* Worker threads and pools: messages, requests and tasks, with threads that end at any instant. */

const { once } = require('node:events');
const { setTimeout: delay } = require('node:timers/promises');

const { Pool, Worker } = require('../..');
const { check, count } = require('./accounts');

const ECHO = `
  const { parentPort } = require('worker_threads');
  parentPort.on('message', (value) => parentPort.postMessage(value));
  parentPort.onRequest?.((value) => value * 2);
`;
const MESSAGES = 500;
const TASKS = 200;
const STUCK_MS = 30_000;

/** A worker that echoes until it is terminated: the echoes received must be a prefix of what was sent. */
async function terminated() {
  const worker = new Worker(ECHO, { eval: true, warm: Math.random() < 0.5 });
  const exited = once(worker, 'exit');
  let next = 0;
  const stopAt = Math.floor(Math.random() * MESSAGES);
  const enough = new Promise((resolve) => {
    worker.on('message', ({ number, bytes }) => {
      check(number === next && bytes.length === number * 10, `echo ${number} in place of ${next}`);
      if (next++ === stopAt) resolve(undefined);
    });
  });
  for (let number = 0; number < MESSAGES; number++) {
    worker.postMessage({ number, bytes: new Uint8Array(number * 10) });
  }
  await enough;
  check(worker.call(21, { timeoutMs: STUCK_MS }) === 42, 'a call had a wrong answer');
  await worker.terminate();
  await exited;
  check(next <= MESSAGES, `${next} of ${MESSAGES} messages came back`);
  count('threads');
}

/** @param {{ number: number, how: string }} task */
const task = async ({ number, how }) => {
  if (how === 'exit') process.exit(3);
  if (how === 'throw') throw new RangeError(`no ${number}`);
  if (how === 'wait') await new Promise((resolve) => setTimeout(resolve, number % 7));
  return number * 2;
};

/** @param {Pool} pool */
async function tasks(pool) {
  const kinds = ['value', 'value', 'value', 'wait', 'throw', 'abort'];
  await Promise.all(
    Array.from({ length: TASKS }, async (_, number) => {
      const how = number === 50 ? 'exit' : kinds[Math.floor(Math.random() * kinds.length)];
      const abort = how === 'abort' ? new AbortController() : undefined;
      if (abort) setTimeout(() => abort.abort(), Math.random() * 5);
      try {
        const result = await pool.exec(task, [{ number, how }], { signal: abort?.signal });
        check(result === number * 2, `task ${number} (${how}) gave ${result}`);
        count('tasks done');
      } catch (error) {
        const { name, message } = /** @type {Error} */ (error);
        // A worker's exit also fails its other running tasks.
        const expected = how !== 'throw' || message === `no ${number}` || !name.startsWith('Range');
        check(expected, `task ${number} (${how}) failed: ${message}`);
        count('tasks failed');
      }
    }),
  );
}

/** @param {AbortSignal} signal ends the run */
async function threadsPart(signal) {
  const threads = (async () => {
    while (!signal.aborted) await terminated();
  })();
  const pools = (async () => {
    for (let turn = 0; !signal.aborted; turn++) {
      const runtime = turn % 4 === 3 ? 'processes' : 'threads';
      const pool = new Pool({ runtime, minThreads: 1, maxThreads: 2 });
      pool.on('error', () => count('pool errors'));
      await tasks(pool);
      await pool.destroy();
      count(`pools of ${runtime}`);
      await delay(10);
    }
  })();
  await Promise.all([threads, pools]);
}

module.exports.threadsPart = threadsPart;
