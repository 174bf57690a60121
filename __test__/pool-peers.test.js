'use strict';

/* What users of tinypool and workerpool do with their pools, done with those and with ours. */

const assert = require('node:assert/strict');
const { test } = require('node:test');
const workerpool = require('workerpool');
const { Pool } = require('..');
const { WATCHDOG, fixture, raised, shared } = require('./support/pool');

/**
 * Runs a script with workerpool and with ours.
 * @param {string} name
 * @param {(pool: any, t: import('node:test').TestContext) => Promise<any>} script
 * @param {any} expected
 */
function likeWorkerpool(name, script, expected) {
  test(`workerpool: ${name}`, WATCHDOG, async (t) => {
    const options = { minWorkers: 1, maxWorkers: 1 };
    for (const pool of [workerpool.pool({ ...options, workerType: 'thread' }), new Pool(options)]) {
      t.after(() => pool.terminate(true));
      assert.deepEqual(await script(pool, t), expected);
    }
  });
}

likeWorkerpool(
  'a function is sent with its arguments',
  (pool) => pool.exec((/** @type {number} */ a, /** @type {number} */ b) => a + b, [3, 4]),
  7,
);

likeWorkerpool(
  'a function that fails rejects with its error',
  (pool) =>
    pool
      .exec(() => {
        throw new RangeError('too far');
      })
      .catch((/** @type {Error} */ { message }) => message),
  'too far',
);

likeWorkerpool(
  'a task that is cancelled rejects, and the pool goes on',
  async (pool) => {
    const task = pool.exec(() => {
      for (;;);
    });
    const ended = task.catch((/** @type {Error} */ error) => error);
    task.cancel();
    const { name, message } = await ended;
    const next = await pool.exec(() => 'next');
    return [name, message, next];
  },
  ['CancellationError', 'promise cancelled', 'next'],
);

likeWorkerpool(
  'a task that takes too long rejects with a TimeoutError',
  async (pool) => {
    const task = pool.exec(() => {
      for (;;);
    });
    const { name } = await task.timeout(50).catch((/** @type {Error} */ error) => error);
    return [name, await pool.exec(() => 'next')];
  },
  ['TimeoutError', 'next'],
);

likeWorkerpool(
  'stats tell how many workers there are, and what they do',
  async (pool) => {
    await pool.exec(() => 1);
    const { totalWorkers, busyWorkers, idleWorkers, pendingTasks, activeTasks } = pool.stats();
    return { totalWorkers, busyWorkers, idleWorkers, pendingTasks, activeTasks };
  },
  { totalWorkers: 1, busyWorkers: 0, idleWorkers: 1, pendingTasks: 0, activeTasks: 0 },
);

test('workerpool: a proxy has what a worker registers, events come with it', WATCHDOG, async (t) => {
  const pool = new Pool({ filename: fixture('inside.js'), minWorkers: 1, maxWorkers: 1 });
  t.after(() => pool.terminate(true));
  const proxy = await pool.proxy();
  assert.equal(await proxy.add(2, 3), 5);
  /** @type {any[]} */
  const events = [];
  assert.equal(await pool.exec('count', [2], { on: (event) => events.push(event) }), 2);
  assert.deepEqual(events, [{ done: 1 }, { done: 2 }]);
});

/**
 * Runs a script with tinypool and with ours.
 * @param {string} name
 * @param {(Class: any, t: import('node:test').TestContext) => Promise<any>} script
 * @param {any} expected
 */
function likeTinypool(name, script, expected) {
  test(`tinypool: ${name}`, WATCHDOG, async (t) => {
    const { Tinypool } = await import('tinypool');
    for (const Class of [Tinypool, Pool]) assert.deepEqual(await script(Class, t), expected);
  });
}

/**
 * @param {any} Class
 * @param {import('node:test').TestContext} t
 * @param {any} [options]
 */
function tinypool(Class, t, options) {
  const pool = new Class({
    filename: fixture('exported.js'),
    runtime: 'worker_threads',
    minThreads: 1,
    maxThreads: 1,
    ...options,
  });
  t.after(() => pool.destroy());
  return pool;
}

likeTinypool('tasks run by name', (Class, t) => tinypool(Class, t).run('x', { name: 'echo' }), 'x');

likeTinypool(
  'isolated workers run one task each',
  async (Class, t) => {
    const pool = tinypool(Class, t, { isolateWorkers: true });
    const ids = [];
    for (let i = 0; i < 3; i++) ids.push(await pool.run(null, { name: 'who' }));
    return new Set(ids).size;
  },
  3,
);

likeTinypool(
  'recycled workers are others',
  async (Class, t) => {
    const pool = tinypool(Class, t);
    const before = await pool.run(null, { name: 'who' });
    await pool.recycleWorkers();
    return before === (await pool.run(null, { name: 'who' }));
  },
  false,
);

likeTinypool(
  'pending tasks are cancelled, those under way are not',
  async (Class, t) => {
    const pool = tinypool(Class, t);
    const words = shared();
    const running = pool.run(words, { name: 'block' });
    await raised(words, 1);
    const pending = pool.run('x', { name: 'echo' });
    const ended = pending.catch((/** @type {Error} */ { message }) => message);
    pool.cancelPendingTasks();
    const message = await ended;
    Atomics.store(words, 0, 1);
    Atomics.notify(words, 0);
    return [message, await running];
  },
  ['The task has been cancelled', 'released'],
);
