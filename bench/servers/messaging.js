'use strict';

/*
 * The program under bench/messaging.js: posts messages to a worker and prints how that went.
 *
 *   node messaging.js node|manycore SCENARIO COUNT
 */

const library = process.argv[2] ?? process.env.MESSAGING_LIBRARY;
const { Worker, isMainThread, parentPort } =
  library === 'node' ? require('node:worker_threads') : require('../..');
const { configureLink } = library === 'node' ? {} : require('../..');

const WORDS = 'lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod'.split(' ');
/** 907 bytes as JSON, give or take the digits of the id. */
const OBJECT = {
  id: 12345,
  type: 'update',
  user: { name: 'Alice Example', email: 'alice@example.com', age: 33, active: true },
  tags: WORDS.slice(0, 8),
  items: Array.from({ length: 10 }, (_, i) => ({
    sku: `sku-${i}`,
    qty: i * 3,
    price: i * 1.25 + 0.99,
    note: `${WORDS[i]} ${WORDS[i + 1]}`,
  })),
  ts: 1_700_000_000_123,
  meta: { a: null, b: 1.5, c: 'x'.repeat(60) },
};
const TEXT = 'abcdefgh'.repeat(8192);
const SHORT_TEXT = 'abcdefgh'.repeat(128);
const MAP = new Map(Object.entries({ a: 1, b: { x: 1 }, c: new Date(5) }));
const BYTES = new Uint8Array(1024 * 1024).fill(9);

/** @type {Uint8Array | undefined} */
let huge;

/** How a message is made, and how many may be on the way at a time. */
const SCENARIOS = {
  small: { make: (i) => ({ id: i, op: 'get', v: [1, 2, 3] }), chunk: 1000, window: 8 },
  object: { make: (i) => ((OBJECT.id = i), OBJECT), chunk: 250, window: 8 },
  text: { make: () => TEXT, chunk: 4, window: 8 },
  'short-text': { make: () => SHORT_TEXT, chunk: 250, window: 8 },
  map: { make: () => MAP, chunk: 250, window: 8 },
  binary: { make: () => BYTES, chunk: 1, window: 4 },
  'binary-64mib': { make: () => (huge ??= new Uint8Array(64 * 1024 * 1024).fill(9)), chunk: 1, window: 1 },
  'round-trip': { make: (i) => ({ id: i, op: 'get', v: [1, 2, 3] }), chunk: 1, window: 1 },
  outstanding: { make: (i) => ({ id: i, op: 'get', v: [1, 2, 3] }), chunk: 1, window: 32 },
};

/** @param {Worker} worker */
function nextMessage(worker) {
  return new Promise((resolve) => worker.once('message', resolve));
}

/**
 * Posts `count` messages in chunks, each of which the worker acknowledges.
 * @param {Worker} worker
 * @param {{ make: (i: number) => any, chunk: number, window: number }} scenario
 * @param {number} count
 */
function exchange(worker, { make, chunk, window }, count) {
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

async function main() {
  const scenario = SCENARIOS[process.argv[3]];
  const count = Number(process.argv[4]);
  const worker = new Worker(__filename, {
    env: { ...process.env, MESSAGING_LIBRARY: library, MESSAGING_CHUNK: String(scenario.chunk) },
  });
  await nextMessage(worker);
  await exchange(worker, scenario, Math.ceil(count / 4));
  const cpu = process.cpuUsage();
  const startNs = process.hrtime.bigint();
  const messages = await exchange(worker, scenario, count);
  const elapsedNs = Number(process.hrtime.bigint() - startNs);
  const { user, system } = process.cpuUsage(cpu);
  await worker.terminate();
  console.log(JSON.stringify({ messages, elapsedNs, cpuUs: user + system }));
}

function serve() {
  const chunk = Number(process.env.MESSAGING_CHUNK);
  let received = 0;
  parentPort.on('message', () => {
    if (++received % chunk === 0) parentPort.postMessage(received);
  });
  parentPort.postMessage('ready');
}

if (isMainThread) main();
else serve();
