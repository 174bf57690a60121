'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');

const { WATCHDOG, start } = require('./support/worker');

const LENGTH = 65_536;
/** Number of outstanding messages; more than are sent before lanes are used. */
const ON_THE_WAY = 16;
const ECHO = `
  const { parentPort } = require(${JSON.stringify(require.resolve('..'))});
  parentPort.on('message', (bytes) => {
    // Its own: it may be written to.
    bytes[1] = 1;
    parentPort.postMessage(bytes);
  });
`;

const bytesOf = (/** @type {number} */ i) => new Uint8Array(LENGTH).fill(i % 251);

/**
 * Sends buffers and checks the echoes, until `count` have been received.
 * @param {Worker} worker
 * @param {number} count
 */
function echo(worker, count) {
  return new Promise((resolve, reject) => {
    let sent = 0;
    let received = 0;
    worker.on('error', reject);
    worker.on('message', (bytes) => {
      const expected = bytesOf(received++);
      expected[1] = 1;
      if (!Buffer.from(bytes.buffer).equals(expected)) reject(new Error(`${received} is another`));
      if (received === count) resolve(received);
      else worker.postMessage(bytesOf(sent++));
    });
    while (sent < ON_THE_WAY) worker.postMessage(bytesOf(sent++));
  });
}

test(
  'streams of equal-length buffers arrive intact and in order, in both directions',
  WATCHDOG,
  async (t) => {
    const worker = start(t, ECHO);
    assert.equal(await echo(worker, 2000), 2000);
  },
);

test('a thread that exits during such a stream does not affect other threads', WATCHDOG, async (t) => {
  const steady = start(t, ECHO);
  const whole = echo(steady, 1500);
  for (const count of [90, 100, 110, 150, 200, 300]) {
    const worker = start(t, ECHO);
    await echo(worker, count);
    await worker.terminate();
    // Outstanding messages are not waited for.
    worker.postMessage(bytesOf(0));
  }
  assert.equal(await whole, 1500);
});
