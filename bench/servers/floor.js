'use strict';

/*
 * Program of bench/floor.js: makes round trips to a worker and prints the result.
 *
 *   node floor.js word|lanes|messages|calls|copy|copies COUNT
 */

const { loadAddon } = require('../../lib/core/addon');
const { LaneReceiver } = require('../../lib/link/lane-receiver');
const { LaneSender } = require('../../lib/link/lane-sender');
const { Worker, isMainThread, parentPort, workerData } = require('../../lib/threads');
const { SCENARIOS } = require('../lib/messages');

const [name, total] = process.argv.slice(2);
const { make } = SCENARIOS.small;

/** Repetitions before the measurement, for V8 to compile the code. */
const WARM_UP = 30_000;
const LANE_BYTES = 256 * 1024;
/** Indices of 32-bit words on cache lines of their own, which are not prefetched together either. */
const THERE = 0;
const BACK = 64;
/** Messages of 1 MiB: number outstanding, and number of buffers into which they are received in turn. */
const MEBIBYTE = 2 ** 20;
const WINDOW = 4;
const PLACES = 40;
/** Index of the words that hold the numbers of payloads beside a lane. */
const NUMBERS = 128;

/** @param {any} point */
function lanesOf(point) {
  const end = point.open(LANE_BYTES);
  return { receiver: new LaneReceiver(end.receiver()), sender: new LaneSender(end.sender()) };
}

/** Waits for the next value of a lane. @param {LaneReceiver} receiver */
function nextOf(receiver) {
  while (!receiver.next()) receiver.release();
  const { value } = receiver;
  receiver.value = undefined;
  return value;
}

/** @param {any} [data] */
function startWorker(data) {
  return new Worker(__filename, { argv: process.argv.slice(2), workerData: data });
}

/** @param {number} count */
function blocksOf(count) {
  return Array.from({ length: count }, (_, i) => new Uint8Array(MEBIBYTE).fill(i));
}

/** By name: starts the worker and returns a function that makes a number of round trips, or copies. */
const KINDS = {
  copy() {
    const [source, ...blocks] = blocksOf(1 + WINDOW);
    return (/** @type {number} */ count) => {
      for (let i = 0; i < count; i++) blocks[i % WINDOW].set(source);
    };
  },
  copies() {
    const words = new Int32Array(new SharedArrayBuffer(4096));
    const point = new (loadAddon().CallPoint)();
    const end = point.open(LANE_BYTES).sender();
    const [source] = blocksOf(1);
    startWorker({ id: point.id, words });
    let sent = 0;
    return (/** @type {number} */ count) => {
      for (let i = 0; i < count; i++) {
        while (sent - Atomics.load(words, BACK) >= WINDOW);
        words[NUMBERS + (sent % WINDOW)] = end.putLarge(source);
        Atomics.store(words, THERE, ++sent);
      }
      while (Atomics.load(words, BACK) !== sent);
    };
  },
  word() {
    const words = new Int32Array(new SharedArrayBuffer(4096));
    startWorker(words);
    let value = 0;
    return (/** @type {number} */ count) => {
      for (let i = 0; i < count; i++) {
        Atomics.store(words, THERE, ++value);
        while (Atomics.load(words, BACK) !== value);
      }
    };
  },
  lanes() {
    const point = new (loadAddon().CallPoint)();
    startWorker(point.id);
    const { receiver, sender } = lanesOf(point);
    return (/** @type {number} */ count) => {
      for (let i = 0; i < count; i++) {
        sender.send(make(i));
        if (nextOf(receiver) !== i) throw new Error('another answer');
      }
    };
  },
  messages() {
    const worker = startWorker();
    return (/** @type {number} */ count) =>
      new Promise((resolve) => {
        let i = 0;
        worker.on('message', function answer() {
          if (++i < count) return worker.postMessage(make(i));
          worker.off('message', answer);
          resolve(undefined);
        });
        worker.postMessage(make(i));
      });
  },
  calls() {
    const worker = startWorker();
    return (/** @type {number} */ count) => {
      for (let i = 0; i < count; i++) worker.call(make(i));
    };
  },
};

/** Worker side, by name. */
const ANSWERS = {
  copies() {
    const { id, words } = workerData;
    const end = new (loadAddon().CallPoint)(id, true).open(LANE_BYTES).receiver();
    const places = blocksOf(PLACES);
    for (let taken = 0; ;) {
      while (Atomics.load(words, THERE) === taken);
      if (!end.takeLarge(words[NUMBERS + (taken % WINDOW)], places[taken % PLACES])) throw new Error('none');
      Atomics.store(words, BACK, ++taken);
    }
  },
  word() {
    for (let value = 1; ; value++) {
      while (Atomics.load(workerData, THERE) !== value);
      Atomics.store(workerData, BACK, value);
    }
  },
  lanes() {
    const { receiver, sender } = lanesOf(new (loadAddon().CallPoint)(workerData, true));
    for (;;) sender.send(nextOf(receiver).id);
  },
  messages: () => parentPort.on('message', ({ id }) => parentPort.postMessage(id)),
  calls: () => parentPort.onRequest((/** @type {any} */ value) => value),
};

async function main() {
  const run = KINDS[name]();
  await run(Math.min(WARM_UP, Number(total)));
  const cpu = process.cpuUsage();
  const startNs = process.hrtime.bigint();
  await run(Number(total));
  const elapsedNs = Number(process.hrtime.bigint() - startNs);
  const { user, system } = process.cpuUsage(cpu);
  console.log(JSON.stringify({ calls: Number(total), elapsedNs, cpuUs: user + system }));
  process.exit();
}

if (isMainThread) main();
else ANSWERS[name]();
