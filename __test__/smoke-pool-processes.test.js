'use strict';

/* Basic tests of a pool of processes, for every version of Node. */

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { WATCHDOG, failInEachWay, fixture, makePool: makeAnyPool } = require('./support/pool');

/**
 * @param {import('node:test').TestContext} t
 * @param {any} [options]
 */
const makePool = (t, options) => makeAnyPool(t, { maxThreads: 2, runtime: 'processes', ...options });

test('run, runSync, map and exec work', WATCHDOG, async (t) => {
  const pool = makePool(t);
  assert.equal(await pool.run({ a: 4, b: 6 }), 10);
  assert.equal(pool.runSync({ a: 1, b: 2 }), 3);
  const items = [
    { a: 1, b: 1 },
    { a: 2, b: 2 },
  ];
  assert.deepEqual(await pool.map(items), [2, 4]);
  assert.equal(await pool.exec((/** @type {number} */ a, /** @type {number} */ b) => a * b, [6, 7]), 42);
});

test('values of any size are returned unchanged, and buffers are transferred', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'echo' });
  for (const length of [1, 70_000, 1_500_000]) {
    const value = { bytes: new Uint8Array(length).fill(length % 251), text: 'ä'.repeat(length) };
    assert.deepEqual(await pool.run(value), value);
  }
  const moved = new Uint8Array(300_000).fill(5);
  const back = await pool.run(moved, { transferList: [moved.buffer] });
  assert.deepEqual([moved.length, back.length, back[299_999]], [0, 300_000, 5]);
  await assert.rejects(pool.run(new SharedArrayBuffer(8)), { name: 'DataCloneError' });
});

test('errors, aborts, exits and kills reject only their own task', WATCHDOG, async (t) => {
  const pool = makePool(t, { abortGraceMs: 0 });
  await failInEachWay(pool);
  const filename = fixture('processes.js');
  await assert.rejects(pool.run('SIGKILL', { filename, name: 'kill' }), /worker killed by signal: SIGKILL/);
  assert.equal(await pool.run({ a: 1, b: 2 }), 3);
  await pool.close();
});

test('bursts of thousands of tasks complete', WATCHDOG, async (t) => {
  const pool = makePool(t);
  for (let burst = 0; burst < 3; burst++) {
    const sums = await Promise.all(Array.from({ length: 2000 }, (_, a) => pool.run({ a, b: burst })));
    assert.ok(sums.every((sum, a) => sum === a + burst));
  }
});
