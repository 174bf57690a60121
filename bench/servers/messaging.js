'use strict';

/*
 * The program under bench/messaging.js: posts messages to a worker and prints how that went.
 *
 *   node messaging.js node|manycore SCENARIO COUNT
 */

const { SCENARIOS, sendSpaced } = require('../lib/messages');

const [library, name, total] = process.argv.slice(2);
const manycore = library === 'manycore' ? require('../..') : undefined;
const { Worker, isMainThread, parentPort } = manycore ?? require('node:worker_threads');

/**
 * Before the paced messages so many are posted and acknowledged one by one: V8 compiles what carries them once, which
 * takes the processor as long as some thousands of them.
 */
const WARM_UP_MESSAGES = 20_000;
/**
 * Of what is measured, so much goes before. While messages follow one another V8 compiles what carries them, beside two
 * threads that need both processors: that takes as long as some 300,000 small messages, or 4,000 texts of 64 KiB.
 */
const WARM_UP = 1;
/** Of rows by the clock, which are warmed up by themselves. */
const WARM_UP_OF_CLOCKED = 0.25;
/** As many messages before those that are few and large: what carries a thread's messages is set up for many. */
const FIRST_MESSAGES = 100;
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
  const { make, chunk, window } = scenario;
  return new Promise((resolve) => {
    const chunks = Math.ceil(count / chunk);
    let posted = 0;
    let acknowledged = 0;
    const post = () => {
      const first = posted++ * chunk;
      for (let i = first; i < first + chunk; i++) worker.postMessage(make(i));
    };
    worker.on('message', function acknowledge() {
      acknowledged++;
      if (posted < chunks) post();
      if (acknowledged < chunks) return;
      worker.off('message', acknowledge);
      resolve(chunks * chunk);
    });
    while (posted < Math.min(window, chunks)) post();
  });
}

/**
 * Posts `count` messages of which each is acknowledged.
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
 * Posts `count` messages, each when the one before has been received.
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
 * Posts `count` messages, one each 100 us, asleep in between.
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
 * Says nothing for so many milliseconds.
 * @param {Worker} _worker
 * @param {number} count
 */
async function idle(_worker, count) {
  await new Promise((resolve) => setTimeout(resolve, count));
  return count;
}

const run = name === 'paced' ? paced : name === 'idle' ? idle : exchange;

async function main() {
  if (scenario?.latency !== undefined) manycore?.configureLinks({ latency: scenario.latency });
  const worker = new Worker(__filename, { argv: process.argv.slice(2) });
  await nextMessage(worker);
  if (name === 'paced') await oneByOne(worker, WARM_UP_MESSAGES);
  if (scenario?.chunk === 1) await greet(worker, FIRST_MESSAGES);
  await run(worker, Math.ceil(Number(total) * (run === exchange ? WARM_UP : WARM_UP_OF_CLOCKED)));
  const cpu = process.cpuUsage();
  const startNs = process.hrtime.bigint();
  const messages = await run(worker, Number(total));
  const elapsedNs = Number(process.hrtime.bigint() - startNs);
  const { user, system } = process.cpuUsage(cpu);
  await worker.terminate();
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
