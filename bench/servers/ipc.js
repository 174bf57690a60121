'use strict';

/*
 * Program of bench/ipc.js: sends messages to a cluster worker and prints the result.
 *
 *   node ipc.js node|manycore json|advanced SCENARIO COUNT
 */

const [library, serialization, name, total] = process.argv.slice(2);
const manycore = library === 'manycore' ? require('../..') : undefined;
const cluster = manycore?.cluster ?? require('node:cluster');
const { SCENARIOS, ownBuffer, sendInChunks, sendSpaced } = require('../lib/messages');

/** Number of workers in idle scenarios. */
const IDLE_WORKERS = 4;
/** Length of the warm-up relative to the measurement; less for scenarios of fixed duration, see messaging.js. */
const WARM_UP = 1;
const WARM_UP_OF_CLOCKED = 0.25;
/** Number of messages sent and acknowledged one by one before paced messages, see messaging.js. */
const WARM_UP_MESSAGES = 20_000;
const scenario = SCENARIOS[name];

/** @param {import('node:cluster').Worker} worker @param {number} count */
function exchange(worker, count) {
  const allocate = manycore
    ? (/** @type {number} */ byteLength) => manycore.linkBuffer(worker, byteLength)
    : ownBuffer;
  return sendInChunks(worker, (message) => worker.send(message), scenario, count, allocate);
}

/**
 * Sends `count` messages, each after the previous one has been received.
 * @param {import('node:cluster').Worker} worker
 * @param {number} count
 */
async function oneByOne(worker, count) {
  for (let i = 0; i < count; i++) {
    worker.send(SCENARIOS.small.make(i));
    await ask(worker, 'done');
  }
}

/**
 * Sends `count` messages, one every 100 us, sleeping in between.
 * @param {import('node:cluster').Worker} worker
 * @param {number} count
 */
async function paced(worker, count) {
  sendSpaced(count, (message) => worker.send(message));
  await ask(worker, 'done');
  return count;
}

/**
 * Sends nothing for `count` milliseconds.
 * @param {import('node:cluster').Worker} _worker
 * @param {number} count
 */
async function idle(_worker, count) {
  await new Promise((resolve) => setTimeout(resolve, count));
  return count;
}

const run = name === 'paced' ? paced : name === 'idle' ? idle : exchange;

/** @param {import('node:cluster').Worker} worker */
function nextMessage(worker) {
  return new Promise((resolve) => worker.once('message', resolve));
}

/** @param {import('node:cluster').Worker} worker @param {string} question */
function ask(worker, question) {
  worker.send(question);
  return nextMessage(worker);
}

async function main() {
  cluster.setupPrimary({ serialization });
  const workers = Array.from({ length: name === 'idle' ? IDLE_WORKERS : 1 }, () => cluster.fork());
  await Promise.all(workers.map(nextMessage));
  const [worker] = workers;
  if (name === 'paced') await oneByOne(worker, WARM_UP_MESSAGES);
  await run(worker, Math.ceil(Number(total) * (run === exchange ? WARM_UP : WARM_UP_OF_CLOCKED)));
  await Promise.all(workers.map((each) => ask(each, 'start')));
  const cpu = process.cpuUsage();
  const startNs = process.hrtime.bigint();
  const messages = await run(worker, Number(total));
  const elapsedNs = Number(process.hrtime.bigint() - startNs);
  const { user, system } = process.cpuUsage(cpu);
  const workersUs = await Promise.all(workers.map((each) => ask(each, 'end')));
  for (const each of workers) each.disconnect();
  const cpuUs = workersUs.reduce((sum, us) => sum + us, user + system);
  console.log(JSON.stringify({ messages, elapsedNs, cpuUs }));
}

function serve() {
  if (scenario?.views) manycore?.configureLink(process, { views: true });
  const chunk = scenario?.chunk ?? Infinity;
  let received = 0;
  let cpu = process.cpuUsage();
  process.on('message', (message) => {
    if (message === 'start') {
      received = 0;
      cpu = process.cpuUsage();
      process.send('started');
    } else if (message === 'end') {
      const { user, system } = process.cpuUsage(cpu);
      process.send(user + system);
    } else if (++received % chunk === 0 || message === 'done') {
      process.send(received);
    }
  });
  process.send('ready');
}

if (scenario?.latency !== undefined) manycore?.configureLinks({ latency: scenario.latency });
if (cluster.isPrimary) main();
else serve();
