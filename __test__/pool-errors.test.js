'use strict';

// Errors of a pool have codes, so that programs need not look at messages.

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const { Pool } = require('..');
const { WATCHDOG, fixture, makePool } = require('./support/pool');

/** @param {string} code */
const coded = (code) => (/** @type {any} */ error) => {
  assert.equal(error.code, code);
  return true;
};

for (const runtime of ['threads', 'processes']) {
  test(`${runtime}: a worker that ends`, WATCHDOG, async (t) => {
    const pool = makePool(t, { runtime });
    await assert.rejects(pool.run(3, { name: 'exit' }), coded('ERR_MANYCORE_WORKER_ENDED'));
  });

  test(`${runtime}: a file that does not exist`, WATCHDOG, async (t) => {
    const pool = makePool(t, { runtime });
    for (const filename of ['./nowhere.mjs', path.resolve('nowhere.mjs')]) {
      const message = `Cannot find module '${path.resolve(filename)}', the file of a task: give its absolute path or file: URL`;
      await assert.rejects(pool.run(1, { filename }), { code: 'ERR_MODULE_NOT_FOUND', message });
    }
  });

  test(`${runtime}: a function that does not exist, whose name is told`, WATCHDOG, async (t) => {
    const pool = makePool(t, { runtime });
    const run = pool.run(1, { name: 'nowhere' });
    await assert.rejects(run, { code: 'ERR_MANYCORE_NO_HANDLER', message: /it has no function 'nowhere'$/ });
    await assert.rejects(pool.exec('nowhere'), coded('ERR_MANYCORE_NO_HANDLER'));
  });
}

test('a full queue', WATCHDOG, async (t) => {
  for (const options of [{ maxQueue: 0 }, { maxQueue: 1 }]) {
    const pool = makePool(t, { name: 'forever', ...options });
    const outcomes = Promise.allSettled([1, 2, 3].map(() => pool.run(1)));
    await assert.rejects(pool.run(1), coded('ERR_MANYCORE_FULL'));
    await pool.destroy();
    await outcomes;
  }
});

test('tasks that are given up', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'forever' });
  const [running, waiting] = [pool.run(1), pool.run(1)];
  pool.cancelPendingTasks();
  await assert.rejects(waiting, coded('ERR_MANYCORE_TASK_CANCELLED'));
  const refused = assert.rejects(running, coded('ERR_MANYCORE_TASK_CANCELLED'));
  await pool.terminate(true);
  await refused;
});

test('tasks that are aborted', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'forever' });
  await assert.rejects(pool.run(1, { signal: AbortSignal.abort() }), coded('ABORT_ERR'));
  await assert.rejects(pool.exec('forever').cancel(), coded('ABORT_ERR'));
});

test('close() that takes too long', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'forever', closeTimeout: 1 });
  const running = assert.rejects(pool.run(1), coded('ERR_MANYCORE_TASK_CANCELLED'));
  const error = new Promise((resolve) => pool.once('error', resolve));
  await pool.close();
  coded('ERR_MANYCORE_TIMEOUT')(await error);
  await running;
});

test('invalid options and arguments', WATCHDOG, async (t) => {
  const make = (/** @type {any} */ options) => () => new Pool(options);
  assert.throws(make({ maxThreads: '2' }), { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' });
  assert.throws(make({ runtime: 'process' }), { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' });
  assert.throws(make({ minThreads: 3, maxThreads: 2 }), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' });
  const pool = /** @type {any} */ (makePool(t, { filename: null }));
  await assert.rejects(pool.run(1), coded('ERR_MISSING_OPTION'));
  const wrong = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  await assert.rejects(pool.run(1, { filename: 5 }), wrong);
  await assert.rejects(pool.run(1, { filename: fixture('tasks.js'), signal: 5 }), wrong);
  const controller = { filename: fixture('tasks.js'), signal: new AbortController() };
  await assert.rejects(pool.run(1, controller), {
    ...wrong,
    message: /an AbortSignal .*instance of AbortController$/,
  });
  assert.throws(() => pool.exec(5), wrong);
  await assert.rejects(pool.close(null), wrong);
});
