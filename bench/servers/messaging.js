'use strict';

/*
 * Program of bench/messaging.js: posts messages to a worker and prints the result.
 *
 *   node messaging.js node|manycore SCENARIO COUNT
 */

const { SCENARIOS, ownBuffer, sendInChunks, sendSpaced } = require('../lib/messages');

const [library, name, total] = process.argv.slice(2);
const manycore = library === 'manycore' ? require('../..') : undefined;
const { Worker, isMainThread, parentPort } = manycore ?? require('node:worker_threads');

/**
 * Number of messages posted and acknowledged one by one before paced messages, so that V8 has compiled the code:
 * that takes as much CPU time as some thousands of them.
 */
const WARM_UP_MESSAGES = 20_000;
/**
 * Length of the warm-up relative to the measurement. V8 compiles the code concurrently with two threads that occupy
 * both processors: that takes as long as some 300,000 small messages, or 4,000 strings of 64 KiB.
 */
const WARM_UP = 1;
/** The same for scenarios of fixed duration, which have a warm-up of their own. */
const WARM_UP_OF_CLOCKED = 0.25;
/** Number of messages before scenarios with few large ones: a thread's lanes are set up only after many. */
const FIRST_MESSAGES = 100;
/** Threads that say nothing, after their first messages. */
const IDLE_WORKERS = 4;
const scenario = SCENARIOS[name];

/** @param {Worker} worker */
function nextMessage(worker) {
  return new Promise((resolve) => worker.once('message', resolve));
}

/**
 * Posts `count` messages in chunks, each of which the worker acknowledges.
 * @param {Worker} worker
 * @param {number} count
 */
function exchange(worker, count) {
  const allocate = manycore
    ? (/** @type {number} */ byteLength) => manycore.linkBuffer(worker, byteLength)
    : ownBuffer;
  return sendInChunks(worker, (message) => worker.postMessage(message), scenario, count, allocate);
}

/**
 * Posts `count` messages, each of which is acknowledged.
 * @param {Worker} worker
 * @param {number} count
 */
async function greet(worker, count) {
  for (let i = 0; i < count; i++) {
    const acknowledged = nextMessage(worker);
    worker.postMessage(i);
    await acknowledged;
  }
}

/**
 * Posts `count` messages, each after the previous one has been received.
 * @param {Worker} worker
 * @param {number} count
 */
async function oneByOne(worker, count) {
  for (let i = 0; i < count; i++) {
    const acknowledged = nextMessage(worker);
    worker.postMessage(SCENARIOS.small.make(i));
    worker.postMessage('done');
    await acknowledged;
  }
}

/**
 * Posts `count` messages, one every 100 us, sleeping in between.
 * @param {Worker} worker
 * @param {number} count
 */
async function paced(worker, count) {
  sendSpaced(count, (message) => worker.postMessage(message));
  worker.postMessage('done');
  await nextMessage(worker);
  return count;
}

/**
 * Sends nothing for `count` milliseconds.
 * @param {Worker} _worker
 * @param {number} count
 */
async function idle(_worker, count) {
  await new Promise((resolve) => setTimeout(resolve, count));
  return count;
}

const run = name === 'paced' ? paced : name === 'idle' ? idle : exchange;

function startWorker() {
  return new Worker(__filename, { argv: process.argv.slice(2) });
}

async function main() {
  if (scenario?.latency !== undefined) manycore?.configureLinks({ latency: scenario.latency });
  const workers = Array.from({ length: name === 'idle' ? IDLE_WORKERS : 1 }, startWorker);
  await Promise.all(workers.map(nextMessage));
  const [worker] = workers;
  if (name === 'paced') await oneByOne(worker, WARM_UP_MESSAGES);
  if (scenario?.chunk === 1) await greet(worker, FIRST_MESSAGES);
  if (name === 'idle') for (const each of workers) await oneByOne(each, FIRST_MESSAGES);
  await run(worker, Math.ceil(Number(total) * (run === exchange ? WARM_UP : WARM_UP_OF_CLOCKED)));
  const cpu = process.cpuUsage();
  const startNs = process.hrtime.bigint();
  const messages = await run(worker, Number(total));
  const elapsedNs = Number(process.hrtime.bigint() - startNs);
  const { user, system } = process.cpuUsage(cpu);
  for (const each of workers) await each.terminate();
  console.log(JSON.stringify({ messages, elapsedNs, cpuUs: user + system }));
}

function serve() {
  if (scenario?.views) manycore?.configureLink(parentPort, { views: true });
  const chunk = scenario?.chunk ?? Infinity;
  let received = 0;
  parentPort.on('message', (message) => {
    if (++received % chunk === 0 || message === 'done') parentPort.postMessage(received);
  });
  parentPort.postMessage('ready');
}

if (isMainThread) main();
else serve();
