'use strict';

/* A hundred thousand tasks, some of which end their worker: each is settled once, and none is lost. */

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { makePool, fixture } = require('./support/pool');

const TASKS = 100_000;
/** One task in this many does each kind of harm. */
const EVERY = 5000;

const HARMS = /** @type {const} */ (['exit', 'reject', 'throw', 'function', 'abort', 'port']);

/** @param {number} i */
function harmOf(i) {
  const at = i % EVERY;
  return at < HARMS.length * 7 && at % 7 === 3 ? HARMS[(at - 3) / 7] : null;
}

test('every task settles, whatever happens to its worker', { timeout: 300_000 }, async (t) => {
  const pool = makePool(t, {
    filename: fixture('chaos.js'),
    minThreads: 2,
    maxThreads: 3,
    abortGraceMs: 0,
    maxRetries: 20,
  });
  pool.on('error', () => {});
  const counts = { fine: 0, exit: 0, reject: 0, throw: 0, function: 0, abort: 0, port: 0 };
  /** @param {number} i */
  const one = async (i) => {
    const harm = harmOf(i);
    const controller = harm === 'abort' ? new AbortController() : null;
    const doesHarm = harm === 'exit' || harm === 'reject';
    const task = pool.run(
      { i, harm },
      { ...(controller && { signal: controller.signal }), ...(doesHarm && { retries: 0 }) },
    );
    if (controller !== null) setTimeout(() => controller.abort(), 5);
    try {
      const result = await task;
      if (harm === 'port') {
        assert.equal(result.words.length, 2);
        counts.port++;
      } else {
        assert.equal(harm, null);
        assert.equal(result, i * 2);
        counts.fine++;
      }
    } catch (/** @type {any} */ error) {
      if (harm === null || harm === 'port') throw error;
      const expected = {
        exit: /worker exited with code: 5/,
        reject: /left alone/,
        throw: /thrown/,
        function: /could not be cloned/,
        abort: /has been aborted/,
      };
      assert.match(error.message, expected[harm]);
      counts[harm]++;
    }
  };
  for (let i = 0; i < TASKS; i += 2000) {
    await Promise.all(Array.from({ length: 2000 }, (_, k) => one(i + k)));
  }
  const each = TASKS / EVERY;
  assert.deepEqual(counts, {
    fine: TASKS - each * HARMS.length,
    exit: each,
    reject: each,
    throw: each,
    function: each,
    abort: each,
    port: each,
  });
  assert.equal(pool.completed, TASKS);
  assert.equal(pool.queueSize, 0);
  assert.ok(pool.threads.length >= 2 && pool.threads.length <= 3);
});
