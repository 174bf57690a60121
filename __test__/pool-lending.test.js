'use strict';

/* Large buffers of equal length in succession: receivers lend memory for the next ones. */

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');
const { Lending } = require('../lib/link/lending');
const { WATCHDOG, fixture, makePool } = require('./support/pool');

const LARGE = fixture('large.js');
const LENGTH = 200_000;
/** See `Lending`. */
const MOST_LENT = 64;

/** @param {number} byte @param {number} [length] */
const filled = (byte, length = LENGTH) => new Uint8Array(length).fill(byte);

/** @param {Uint8Array} bytes @param {number} byte @param {number} [length] */
function assertFilled(bytes, byte, length = LENGTH) {
  assert.equal(bytes.length, length);
  assert.ok(
    bytes.every((each) => each === byte),
    `is not filled with ${byte}`,
  );
}

/** @param {import('node:test').TestContext} t @param {any} [options] */
const lendingPool = (t, options) => makePool(t, { filename: LARGE, name: 'echoOrExit', ...options });

for (const workers of [1, 3]) {
  test(
    `each result owns its memory, which may be modified and transferred: ${workers} workers`,
    WATCHDOG,
    async (t) => {
      const pool = lendingPool(t, { minThreads: workers, maxThreads: workers });
      /** @type {Set<ArrayBuffer>} */
      const seen = new Set();
      /** @type {[Uint8Array, number][]} */
      const kept = [];
      for (let round = 0; round < 12; round++) {
        const bytes = Array.from({ length: 6 }, (_, i) => (round * 6 + i) % 250);
        const results = await Promise.all(bytes.map((byte) => pool.run(filled(byte))));
        results.forEach((result, i) => {
          assertFilled(result, bytes[i]);
          seen.add(result.buffer);
          result.fill(bytes[i] + 1);
          kept.push([result, bytes[i] + 1]);
        });
      }
      assert.equal(seen.size, kept.length);
      for (const [result, byte] of kept) {
        assertFilled(result, byte);
        assert.equal(structuredClone(result.buffer, { transfer: [result.buffer] }).byteLength, LENGTH);
        assert.equal(result.length, 0);
      }
    },
  );
}

test('a task may transfer a received buffer, every time', WATCHDOG, async (t) => {
  const pool = lendingPool(t, { name: 'ownBuffer' });
  for (let i = 0; i < 12; i++) assert.deepEqual(await pool.run(filled(i)), [0, LENGTH]);
});

test('buffer lengths may change at any time, even within a task', WATCHDOG, async (t) => {
  const pool = lendingPool(t, { name: 'default', minThreads: 2, maxThreads: 2 });
  const running = Array.from({ length: 90 }, async (_, i) => {
    const lengths = [LENGTH + (i % 3), LENGTH, i % 7 === 0 ? 300_000 : LENGTH];
    const back = await pool.run(lengths.map((length, at) => filled(i + at, length)));
    back.forEach((/** @type {Uint8Array} */ bytes, /** @type {number} */ at) =>
      assertFilled(bytes, i + at, lengths[at]),
    );
  });
  await Promise.all(running);
});

test('a task kept for a retry receives its buffers again, lent or not', WATCHDOG, async (t) => {
  const pool = lendingPool(t, { minThreads: 2, maxThreads: 2 });
  for (let round = 0; round < 4; round++) {
    const running = Array.from({ length: 8 }, (_, i) => pool.run(filled(i), { retries: 3 }));
    const ending = pool.run(filled(255)).then(
      () => assert.fail('the task did not end its worker'),
      (/** @type {Error} */ error) => assert.match(error.message, /exited with code: 9/),
    );
    (await Promise.all(running)).forEach((bytes, i) => assertFilled(bytes, i));
    await ending;
  }
});

test('the exit of a worker does not affect buffers of tasks others have yet to run', WATCHDOG, async (t) => {
  const pool = lendingPool(t, { minThreads: 2, maxThreads: 2 });
  let ended = 0;
  for (let round = 0; round < 8; round++) {
    const running = Array.from({ length: 12 }, (_, i) => pool.run(filled(i === 5 ? 255 : i)));
    const results = await Promise.allSettled(running);
    results.forEach((result, i) => {
      if (result.status === 'fulfilled') return assertFilled(result.value, i);
      // Each worker holds one task at a time.
      assert.match(result.reason.message, /exited with code: 9/);
      ended++;
    });
  }
  assert.equal(ended, 8);
});

test('a thread may exit while buffers are in transit to it and to its workers', WATCHDOG, async () => {
  const program = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { Pool } = require(workerData.library);
    const pool = new Pool({ filename: workerData.filename, minThreads: 2, maxThreads: 2 });
    const bytes = new Uint8Array(${LENGTH}).fill(7);
    const again = async () => {
      for (let i = 0; ; i++) {
        const back = await pool.run(bytes);
        if (back[${LENGTH} - 1] !== 7) throw new Error('not what was sent');
        if (i === 10) parentPort.postMessage('busy');
      }
    };
    for (let i = 0; i < 4; i++) again();`;
  for (let round = 0; round < 6; round++) {
    const workerData = { library: require.resolve('..'), filename: LARGE };
    const worker = new Worker(program, { eval: true, workerData });
    const failed = new Promise((_, reject) => worker.once('error', reject));
    await Promise.race([failed, new Promise((resolve) => worker.once('message', resolve))]);
    await worker.terminate();
  }
});

test('buffers are lent for recurring lengths, up to a limit, and reclaimed when the lengths change', () => {
  /** @type {ArrayBuffer[]} */
  let lent = [];
  let taken = 0;
  const native = {
    length: 0,
    isLent: false,
    payloadLength: () => native.length,
    takePayload: () => true,
    redeemPayload: () => (native.isLent ? (lent.pop() ?? null) : null),
    lend: (/** @type {ArrayBuffer} */ buffer) => lent.push(buffer) > 0,
    takeBackLent() {
      taken += lent.length;
      lent = [];
    },
  };
  const lending = new Lending(native);
  assert.equal(lending.take(0), undefined);
  for (const length of [LENGTH, LENGTH + 1, LENGTH]) {
    native.length = length;
    assert.equal(lending.take(0)?.byteLength, length);
  }
  assert.equal(lent.length, 0);
  for (let i = 0; i < 80; i++) lending.take(0);
  assert.deepEqual([lent.length, lent[0].byteLength], [MOST_LENT, LENGTH]);
  native.isLent = true;
  const next = lent[MOST_LENT - 1];
  assert.equal(lending.take(0), next);
  assert.equal(lent.length, MOST_LENT);
  native.isLent = false;
  native.length = 5_000_000;
  for (let i = 0; i < 9; i++) lending.take(0);
  assert.deepEqual([taken, lent.length], [MOST_LENT, 3]);
});
