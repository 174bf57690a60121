'use strict';

/* Pools under test: destroyed after the test; and scripts that run on both piscina and ours. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const { Piscina: Peer } = require('piscina');
const { Pool } = require('../..');

/** For `test(name, WATCHDOG, ...)`: far more than any test takes, even on a loaded machine. */
const WATCHDOG = { timeout: 120_000 };

/** @param {string} name */
const fixture = (name) => path.join(__dirname, '../fixtures/pool', name);

const TASKS = fixture('tasks.js');

/**
 * @param {import('node:test').TestContext} t
 * @param {any} [options]
 * @param {any} [Class]
 */
function makePool(t, options = {}, Class = Pool) {
  const pool = new Class({ filename: TASKS, minThreads: 1, maxThreads: 1, ...options });
  // An idle pool does not keep the process alive, and some tests wait for its events.
  const alive = setInterval(() => {}, 1000);
  t.after(() => {
    clearInterval(alive);
    return pool.destroy();
  });
  return pool;
}

/**
 * Checks that tasks that throw, end their worker or are aborted are rejected.
 * @param {any} pool
 */
async function failInEachWay(pool) {
  await assert.rejects(pool.run('no', { name: 'throwError' }), { name: 'TypeError', message: 'no' });
  await assert.rejects(pool.run(3, { name: 'exit' }), /worker exited with code: 3/);
  const controller = new AbortController();
  const task = pool.run(null, { name: 'forever', signal: controller.signal });
  controller.abort();
  await assert.rejects(task, { name: 'AbortError' });
}

/**
 * A test whose script must have the same result for piscina and for ours, and optionally an expected one.
 * @param {string} name
 * @param {(t: import('node:test').TestContext, make: (options?: any) => any, Class: any) => Promise<any>} script
 * @param {any} [expected]
 */
function conform(name, script, expected) {
  test(name, WATCHDOG, async (t) => {
    const run = (/** @type {any} */ Class) => script(t, (options) => makePool(t, options, Class), Class);
    const theirs = await run(Peer);
    const ours = await run(Pool);
    assert.deepEqual(ours, theirs);
    if (expected !== undefined) assert.deepEqual(ours, expected);
  });
}

/**
 * Returns the outcome of a promise: `['value', v]` or `['error', name, message, cause]`.
 * @param {Promise<any>} promise
 */
async function outcome(promise) {
  try {
    return ['value', await promise];
  } catch (/** @type {any} */ error) {
    return ['error', error.name, error.message, error.cause];
  }
}

/** Returns words shared with tasks. */
const shared = () => new Int32Array(new SharedArrayBuffer(8));

/**
 * Waits until a word is 1.
 * @param {Int32Array} words
 * @param {number} at
 */
async function raised(words, at) {
  const { async, value } = /** @type {any} */ (Atomics).waitAsync(words, at, 0);
  if (async) await value;
}

module.exports.WATCHDOG = WATCHDOG;
module.exports.TASKS = TASKS;
module.exports.Peer = Peer;
module.exports.fixture = fixture;
module.exports.makePool = makePool;
module.exports.failInEachWay = failInEachWay;
module.exports.conform = conform;
module.exports.outcome = outcome;
module.exports.shared = shared;
module.exports.raised = raised;
