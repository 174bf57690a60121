'use strict';

/* Starts workers and prints one figure; see ../threads.js. Usage: threads.js LIBRARY SCENARIO WORKERS */

const fs = require('node:fs');
const path = require('node:path');
const { once } = require('node:events');
const nodeModule = /** @type {any} */ (require('node:module'));
const os = require('node:os');
const { setTimeout: delay } = require('node:timers/promises');

const { median } = require('../lib/statistics');

const [library, scenario, count] = process.argv.slice(2);
const isOurs = library === 'manycore';
const { Worker } = isOurs ? require('../..') : require('node:worker_threads');

const loadsMuch = scenario === 'cold-large';
const FILE = path.join(__dirname, loadsMuch ? 'threads-worker-large.js' : 'threads-worker.js');
const SOURCE = fs.readFileSync(FILE, 'utf8');
/** Directory of the compile cache. */
const CACHE = path.join(os.tmpdir(), `manycore-bench-${process.pid}`);
const isWarm = isOurs && scenario.startsWith('warm');
const options = { eval: scenario === 'warm-eval', warm: isWarm };
const script = options.eval ? SOURCE : FILE;

const milliseconds = (/** @type {bigint} */ since) => Number(process.hrtime.bigint() - since) / 1e6;
const rssKiB = () => process.memoryUsage.rss() / 1024;

async function toFirstMessage() {
  if (isWarm) await Worker.warm(1);
  // Lets earlier starts and exits settle.
  await delay(60);
  const since = process.hrtime.bigint();
  const worker = new Worker(script, options);
  await once(worker, 'message');
  const figure = milliseconds(since);
  await worker.terminate();
  return figure;
}

async function toTerminate() {
  const worker = new Worker(script);
  await once(worker, 'message');
  await delay(20);
  const since = process.hrtime.bigint();
  await worker.terminate();
  return milliseconds(since);
}

/** @param {number} messages number of messages in each direction, per worker */
async function memoryEach(messages) {
  const start = async () => {
    const worker = new Worker(script);
    await once(worker, 'message');
    for (let left = messages; left > 0; left--) {
      worker.postMessage({ left });
      await once(worker, 'message');
    }
    return worker;
  };
  const first = await start();
  globalThis.gc?.();
  const before = rssKiB();
  const workers = [];
  for (let index = 0; index < Number(count); index++) workers.push(await start());
  globalThis.gc?.();
  await delay(200);
  const figure = (rssKiB() - before) / workers.length;
  await Promise.all([first, ...workers].map((worker) => worker.terminate()));
  return figure;
}

async function main() {
  if (loadsMuch) nodeModule.enableCompileCache?.(CACHE);
  if (scenario === 'memory') return memoryEach(0);
  if (scenario === 'memory-lanes') return memoryEach(100);
  const one = scenario === 'terminate' ? toTerminate : toFirstMessage;
  await one();
  const figures = [];
  for (let index = 0; index < Number(count); index++) figures.push(await one());
  return median(figures);
}

main().then(async (figure) => {
  if (isOurs) await Worker.warm(0);
  fs.rmSync(CACHE, { recursive: true, force: true });
  console.log(JSON.stringify({ figure }));
});
