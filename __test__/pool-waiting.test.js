'use strict';

/* When the caller of a pool is notified: in batches while workers are busy, within blocking calls, in events. */

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { test } = require('node:test');
const { promisify } = require('node:util');
const { TASKS, WATCHDOG, makePool } = require('./support/pool');

/** Blocks its thread. @param {number} ms */
const hold = (ms) => {
  const end = performance.now() + ms;
  while (performance.now() < end);
  return ms;
};

test('many tasks that fill all workers complete, and so do later ones', WATCHDOG, async (t) => {
  for (const maxThreads of [1, 2, 4]) {
    const pool = makePool(t, { minThreads: maxThreads, maxThreads });
    const results = await Promise.all(Array.from({ length: 100 }, () => pool.exec(hold, [1])));
    assert.equal(results.length, 100);
    assert.equal(await pool.run({ a: 1, b: 2 }), 3);
    const [first, second] = [pool.exec(hold, [1]), pool.run({ a: 3, b: 4 })];
    assert.deepEqual(await Promise.all([first, second]), [1, 7]);
  }
});

test('a pool can be destroyed, or blocked on, while results are pending collection', WATCHDOG, async (t) => {
  for (const isBlocking of [false, true]) {
    const pool = makePool(t, { minThreads: 2, maxThreads: 2 });
    const all = Array.from({ length: 60 }, () => pool.exec(hold, [1]));
    const ends = Promise.allSettled(all);
    await Promise.any(all);
    if (isBlocking) {
      assert.equal(pool.runSync({ a: 1, b: 2 }), 3);
      const statuses = (await ends).map(({ status }) => status);
      assert.deepEqual(new Set(statuses), new Set(['fulfilled']));
    } else {
      await pool.destroy();
      const statuses = (await ends).map(({ status }) => status);
      assert.deepEqual(new Set(statuses), new Set(['fulfilled', 'rejected']));
    }
  }
});

test('an error thrown by a listener during result collection loses no result', WATCHDOG, async () => {
  // In a separate process, since the test runner treats uncaught exceptions as failures.
  const program = `
    const { Pool } = require(${JSON.stringify(require.resolve('..'))});
    const pool = new Pool({ filename: ${JSON.stringify(TASKS)}, minThreads: 2, maxThreads: 2 });
    let reported = 0;
    process.on('uncaughtException', () => reported++);
    pool.on('taskError', (error) => {
      throw error;
    });
    const all = Array.from({ length: 100 }, (_, i) =>
      i % 10 === 5 ? pool.run('bad', { name: 'throwError' }) : pool.exec(${hold}, [1]),
    );
    Promise.allSettled(all).then(async (results) => {
      const failed = results.filter(({ status }) => status === 'rejected').length;
      const sum = await pool.run({ a: 1, b: 2 });
      process.on('exit', () => console.log(JSON.stringify({ failed, sum, reported })));
    });`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], { timeout: 60_000 });
  assert.deepEqual(JSON.parse(stdout), { failed: 10, sum: 3, reported: 10 });
});

test('runSync() starts the worker it needs', WATCHDOG, async (t) => {
  for (const runtime of ['threads', 'processes']) {
    const pool = makePool(t, { minThreads: 0, maxThreads: 1, runtime });
    for (let i = 0; i < 3; i++) {
      assert.equal(pool.runSync({ a: i, b: 2 }), i + 2);
      // Idle workers beyond the minimum are dismissed from the event loop.
      await new Promise((resolve) => void pool.once('workerDestroy', resolve));
    }
  }
});

test('listeners may block on the pool when a worker becomes ready', WATCHDOG, async (t) => {
  const pool = makePool(t, { minThreads: 1, maxThreads: 3 });
  /** @type {number[]} */
  const sums = [];
  const block = () => void sums.push(pool.runSync({ a: 1, b: 1 }));
  pool.on('ready', block);
  const results = await Promise.all(Array.from({ length: 30 }, (_, i) => pool.run({ a: i, b: i })));
  // A worker may get ready when the tasks are over and the pool is closing, which takes no more tasks.
  pool.off('ready', block);
  assert.deepEqual(
    results,
    Array.from({ length: 30 }, (_, i) => 2 * i),
  );
  assert.ok(sums.length > 0);
  assert.deepEqual(
    sums,
    sums.map(() => 2),
  );
});

test('pressure events are emitted once for everything that happened in a turn', WATCHDOG, async (t) => {
  const pool = makePool(t);
  await pool.run({ a: 1, b: 2 });
  await new Promise((resolve) => setImmediate(resolve));
  /** @type {string[]} */
  const told = [];
  for (const name of ['busy', 'needsDrain', 'drain', 'busyEnd']) pool.on(name, () => told.push(name));
  for (let i = 0; i < 10; i++) pool.runSync({ a: 1, b: 2 });
  assert.deepEqual(told, []);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(told, ['busy', 'needsDrain', 'drain', 'busyEnd']);
  assert.equal(pool.needsDrain, false);
  told.length = 0;
  const running = Promise.all([pool.run({ a: 1, b: 2 }), pool.run({ a: 1, b: 2 })]);
  await null;
  assert.equal(pool.needsDrain, true);
  await running;
  await new Promise((resolve) => setImmediate(resolve));
  // Once per batch of results after which all workers are busy.
  assert.deepEqual([...new Set(told)], ['busy', 'needsDrain', 'drain', 'busyEnd']);
});
