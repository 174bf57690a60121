'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const { once } = require('node:events');

const { Worker, configureLink, configureLinks, linkStatus } = require('..');

// Lanes from the first message on: see threads-switch.test.js for the time before.
require('../lib/threads/launch').state.lanesAfter = 0;

const WATCHDOG = { timeout: 60_000 };

/** Creates a worker that replies, on request, what became of the previous message. */
function makeWorker() {
  const source = `
    const { parentPort } = require('node:worker_threads');
    const { configureLink } = require(${JSON.stringify(require.resolve('..'))});
    let kept;
    parentPort.on('message', (message) => {
      if (message.views !== undefined) parentPort.postMessage(configureLink(parentPort, message));
      else if (message.ask) parentPort.postMessage(kept.byteLength);
      else {
        kept = message.bytes;
        parentPort.postMessage([kept.length, kept[0], kept[kept.length - 1]]);
      }
    });`;
  return new Worker(source, { eval: true });
}

/** @param {Worker} worker */
async function ask(worker, message) {
  const answer = once(worker, 'message');
  worker.postMessage(message);
  return (await answer)[0];
}

test('large buffers are lent to listeners that request views', WATCHDOG, async () => {
  const worker = makeWorker();
  const length = 1024 * 1024;
  const bytes = new Uint8Array(length).fill(7);
  assert.deepEqual(await ask(worker, { bytes }), [length, 7, 7]);
  assert.equal(await ask(worker, { ask: true }), length);
  assert.equal(await ask(worker, { views: true }), true);
  for (let round = 0; round < 100; round++) {
    bytes[length - 1] = round;
    assert.deepEqual(await ask(worker, { bytes }), [length, 7, round]);
    assert.equal(await ask(worker, { ask: true }), 0);
  }
  const few = new Uint8Array(1000);
  assert.deepEqual(await ask(worker, { bytes: few }), [1000, 0, 0]);
  assert.equal(await ask(worker, { ask: true }), 1000);
  assert.equal(await ask(worker, { views: false }), true);
  assert.deepEqual(await ask(worker, { bytes }), [length, 7, 99]);
  assert.equal(await ask(worker, { ask: true }), length);
  await worker.terminate();
});

test('a worker that exits while reading a view causes no failure', WATCHDOG, async () => {
  const source = `
    const { parentPort } = require('node:worker_threads');
    const { configureLink } = require(${JSON.stringify(require.resolve('..'))});
    configureLink(parentPort, { views: true });
    parentPort.on('message', (bytes) => {
      parentPort.postMessage(bytes.length);
      for (;;) bytes[0]++;
    });
    parentPort.postMessage('ready');`;
  for (let round = 0; round < 5; round++) {
    const worker = new Worker(source, { eval: true });
    await once(worker, 'message');
    for (let i = 0; i < 8; i++) worker.postMessage(new Uint8Array(1024 * 1024));
    assert.deepEqual(await once(worker, 'message'), [1024 * 1024]);
    await worker.terminate();
  }
});

test('every latency setting carries messages both ways, set per link or per process', WATCHDOG, async () => {
  const worker = makeWorker();
  for (const latency of ['low', 'frugal', 'balanced']) {
    assert.equal(configureLink(worker, { latency }), true);
    configureLinks({ latency });
    for (let i = 0; i < 50; i++) {
      assert.deepEqual(await ask(worker, { bytes: Uint8Array.of(i) }), [1, i, i]);
    }
  }
  await worker.terminate();
});

test('linkStatus() reports pending messages, and an exited worker has no link', WATCHDOG, async () => {
  const worker = new Worker(
    `require('node:worker_threads').parentPort.on('message', (words) => Atomics.wait(words, 0, 0)).postMessage(1);`,
    { eval: true },
  );
  await once(worker, 'message');
  assert.deepEqual(linkStatus(worker), { bufferedAmount: 0, needsDrain: false });
  const words = new Int32Array(new SharedArrayBuffer(4));
  worker.postMessage(words);
  worker.postMessage(new Uint8Array(1024 * 1024));
  assert.ok(linkStatus(worker).bufferedAmount >= 1024 * 1024);
  await worker.terminate();
  assert.deepEqual(linkStatus(worker), { bufferedAmount: 0, needsDrain: false });
  assert.equal(configureLink(worker, { views: true }), false);
  assert.equal(configureLink({}, {}), false);
  assert.equal(linkStatus({}), undefined);
});

test('invalid settings are rejected', () => {
  const invalidValue = { code: 'ERR_INVALID_ARG_VALUE', name: 'TypeError' };
  const invalidType = { code: 'ERR_INVALID_ARG_TYPE', name: 'TypeError' };
  assert.throws(() => configureLinks({ latency: 'fast' }), invalidValue);
  assert.throws(() => configureLink({}, { latency: 1 }), invalidValue);
  assert.throws(() => configureLink({}, { views: 'yes' }), invalidType);
  assert.throws(() => configureLinks(), invalidType);
  assert.throws(() => configureLink({}, null), invalidType);
});
