'use strict';

/* Basic tests of a pool, for every version of Node. */

const assert = require('node:assert/strict');
const { AsyncLocalStorage } = require('node:async_hooks');
const { test } = require('node:test');
const { Pool } = require('..');
const { TASKS, WATCHDOG, failInEachWay } = require('./support/pool');

/**
 * @param {import('node:test').TestContext} t
 * @param {any} [options]
 */
function makePool(t, options) {
  const pool = new Pool({ filename: TASKS, minThreads: 1, maxThreads: 2, ...options });
  t.after(() => pool.destroy());
  return pool;
}

test('run, runSync, map and exec work', WATCHDOG, async (t) => {
  const pool = makePool(t);
  assert.equal(await pool.run({ a: 4, b: 6 }), 10);
  assert.equal(pool.runSync({ a: 1, b: 2 }), 3);
  assert.deepEqual(
    await pool.map([
      { a: 1, b: 1 },
      { a: 2, b: 2 },
    ]),
    [2, 4],
  );
  assert.equal(await pool.exec((/** @type {number} */ a, /** @type {number} */ b) => a * b, [6, 7]), 42);
});

test('values of any size are returned unchanged', WATCHDOG, async (t) => {
  const pool = makePool(t);
  for (const length of [1, 70_000, 1_500_000]) {
    const bytes = new Uint8Array(length).fill(length % 251);
    assert.deepEqual(await pool.run({ bytes, text: 'ä'.repeat(length) }, { name: 'echo' }), {
      bytes,
      text: 'ä'.repeat(length),
    });
  }
});

test('errors, aborts and exits reject only their own task', WATCHDOG, async (t) => {
  const pool = makePool(t, { abortGraceMs: 0 });
  await failInEachWay(pool);
  assert.equal(await pool.run({ a: 1, b: 2 }), 3);
});

// Older versions keep what is entered where tasks come from, as between messages.
const keepsContexts = '_propagate' in AsyncLocalStorage.prototype;
test(
  'an async context entered by a task ends with the task',
  { ...WATCHDOG, skip: keepsContexts },
  async (t) => {
    const pool = makePool(t, { maxThreads: 1 });
    const values = ['first', 'second', 'third'];
    const before = await Promise.all(values.map((value) => pool.run(value, { name: 'enterContext' })));
    assert.deepEqual(before, [undefined, undefined, undefined]);
  },
);

test('bursts of thousands of tasks complete', WATCHDOG, async (t) => {
  const pool = makePool(t);
  for (let burst = 0; burst < 5; burst++) {
    const sums = await Promise.all(Array.from({ length: 2000 }, (_, a) => pool.run({ a, b: burst })));
    assert.ok(sums.every((sum, a) => sum === a + burst));
  }
});
