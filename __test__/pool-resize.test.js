'use strict';

/* resize(): what becomes of workers and tasks when the limits of a pool change. */

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test } = require('node:test');
const { setTimeout: delay } = require('node:timers/promises');
const { begun, makeGate } = require('./support/gate');
const { WATCHDOG, fixture, makePool: makeAnyPool } = require('./support/pool');

const RUNTIMES = ['threads', 'processes'];

/**
 * A pool of gated tasks: `start(options)` starts one, with `place`, a promise of the worker that has begun it, and
 * `end()`, which ends it and resolves to the worker it ran on.
 * @param {import('node:test').TestContext} t
 * @param {any} options
 */
function makePool(t, options) {
  const pool = makeAnyPool(t, { filename: fixture('gated.js'), ...options });
  const start = (/** @type {any} */ options = {}, /** @type {any} */ value = {}) => {
    const gate = makeGate(t);
    const { promise: place, onProgress } = begun();
    const task = pool.run({ file: gate.file, ...value }, { ...options, onProgress });
    return {
      place,
      end() {
        gate.open();
        return task;
      },
    };
  };
  return { pool, start };
}

/**
 * Waits until a pool has this many workers.
 * @param {any} pool
 * @param {number} count
 */
async function hasWorkers(pool, count) {
  while (pool.threads.length > count) await once(pool, 'workerDestroy');
  assert.equal(pool.threads.length, count);
}

/** @param {Iterable<{ place: Promise<any> }>} tasks */
const placesOf = (tasks) => Promise.all([...tasks].map(({ place }) => place));

/**
 * Ends each task as it begins, one after the other, and returns the order and the workers.
 * @param {{ place: Promise<any>, end: () => Promise<any> }[]} tasks
 */
async function endEach(tasks) {
  /** @type {number[]} */
  const order = [];
  const workers = await Promise.all(
    tasks.map(async (task, i) => {
      await task.place;
      order.push(i);
      return task.end();
    }),
  );
  return { order, workers: new Set(workers) };
}

for (const runtime of RUNTIMES) {
  test(`${runtime}: resize() adds and removes workers`, WATCHDOG, async (t) => {
    const { pool, start } = makePool(t, { runtime });
    await start().end();
    pool.resize({ min: 3, max: 4 });
    assert.equal(pool.threads.length, 3);
    assert.deepEqual([pool.minThreads, pool.maxThreads], [3, 4]);
    await once(pool, 'workerCreate');
    pool.resize({ min: 1 });
    await start().end();
    await hasWorkers(pool, 1);
    assert.throws(() => pool.resize({ min: 5, max: 4 }), { code: 'ERR_OUT_OF_RANGE' });
  });

  test(`${runtime}: busy workers over a new maximum end with their task`, WATCHDOG, async (t) => {
    const { pool, start } = makePool(t, { runtime, maxThreads: 3, idleTimeout: Infinity });
    const running = [start(), start(), start()];
    assert.equal(new Set(await placesOf(running)).size, 3);
    const waiting = [0, 5, 1].map((priority) => start({ priority }));
    pool.resize({ max: 1 });
    assert.equal(pool.stats().activeTasks, 3);
    assert.equal(pool.queueSize, 3);
    const places = await placesOf(running);
    assert.deepEqual(await Promise.all(running.map((task) => task.end())), places);
    const { order, workers } = await endEach(waiting);
    assert.equal(workers.size, 1);
    assert.ok(places.includes([...workers][0]));
    // Processes have been given some ahead, which come first.
    if (runtime === 'threads') assert.deepEqual(order, [1, 2, 0]);
    await hasWorkers(pool, 1);
    assert.equal(await start().end(), [...workers][0]);
  });

  test(`${runtime}: idle and starting workers over a new maximum end at once`, WATCHDOG, async (t) => {
    for (const options of [{ idleTimeout: Infinity }, { idleTimeout: 60_000 }, { warmSpares: 1 }]) {
      const { pool, start } = makePool(t, { runtime, minThreads: 3, maxThreads: 4, ...options });
      pool.resize({ max: 3 });
      assert.equal(pool.threads.length, 3);
      const tasks = [start(), start(), start()];
      await placesOf(tasks);
      const before = await Promise.all(tasks.map((task) => task.end()));
      pool.resize({ min: 1, max: 1 });
      assert.equal(pool.threads.length, 1);
      const { workers } = await endEach([start(), start(), start(), start()]);
      assert.equal(workers.size, 1);
      assert.ok(before.includes([...workers][0]));
      await pool.destroy();
    }
  });

  test(`${runtime}: warm spares do not exceed the maximum`, WATCHDOG, async (t) => {
    const options = { runtime, minThreads: 1, warmSpares: 1 };
    const fixed = makePool(t, { ...options, maxThreads: 1 });
    assert.equal(fixed.pool.threads.length, 1);
    const { pool, start } = makePool(t, { ...options, maxThreads: 3 });
    assert.equal(pool.threads.length, 2);
    pool.resize({ min: 1, max: 1 });
    assert.equal(pool.threads.length, 1);
    const { workers } = await endEach([start(), start(), start()]);
    assert.equal(workers.size, 1);
    pool.resize({ max: 2 });
    assert.equal(pool.threads.length, 2);
  });

  test(`${runtime}: a busy worker over the maximum takes no task beside its others`, WATCHDOG, async (t) => {
    const options = { minThreads: 2, maxThreads: 2, concurrentTasksPerWorker: 2, idleTimeout: 1 };
    const { pool, start } = makePool(t, { runtime, ...options });
    const running = [start(), start(), start(), start()];
    const places = await placesOf(running);
    const [first, second] = [...new Set(places)].map((id) => running.filter((_, i) => places[i] === id));
    assert.deepEqual([first.length, second.length], [2, 2]);
    const waiting = [start(), start()];
    pool.resize({ min: 1, max: 1 });
    // Both workers have room for one more now.
    await Promise.all([first[0].end(), second[0].end()]);
    const kept = await Promise.race(waiting.map((task) => task.place));
    const [staying, leaving] = kept === places[running.indexOf(first[1])] ? [first, second] : [second, first];
    await staying[1].end();
    assert.deepEqual(await placesOf(waiting), [kept, kept]);
    assert.deepEqual(await Promise.all(waiting.map((task) => task.end())), [kept, kept]);
    assert.equal(pool.threads.length, 2);
    // The idle one is not dismissed, since the other one takes no tasks.
    for (let i = 0; i < 5; i++) {
      await delay(2);
      assert.equal(await start().end(), kept);
    }
    assert.equal(pool.threads.length, 2);
    await leaving[1].end();
    await hasWorkers(pool, 1);
  });

  test(`${runtime}: tasks with a key survive the end of their worker`, WATCHDOG, async (t) => {
    const { pool, start } = makePool(t, { runtime, minThreads: 2, maxThreads: 2 });
    await placesOf([start(), start()].map((task) => (void task.end(), task)));
    /** A key for each worker. @type {Map<number, string>} */
    const keys = new Map();
    for (let i = 0; keys.size < 2; i++) keys.set(await start({ key: `${i}` }).end(), `${i}`);
    const running = [...keys].map(([, key]) => start({ key }));
    assert.deepEqual(await placesOf(running), [...keys.keys()]);
    // Assigned to their worker, together with values that only that worker's port carries.
    const assigned = [...keys].map(([, key]) => {
      const bytes = new Uint8Array(8);
      return start({ key, transferList: [bytes.buffer] }, { bytes });
    });
    pool.resize({ min: 1, max: 1 });
    await Promise.all(running.map((task) => task.end()));
    const workers = await Promise.all(assigned.map((task) => task.end()));
    if (runtime === 'threads') assert.deepEqual(workers, [...keys.keys()]);
    await hasWorkers(pool, 1);
    const later = await Promise.all([...keys.values()].map((key) => start({ key }).end()));
    assert.equal(later[0], later[1]);
    assert.ok(keys.has(later[0]));
  });

  test(`${runtime}: new tasks with the key of a leaving worker go to another one`, WATCHDOG, async (t) => {
    const { pool, start } = makePool(t, { runtime, minThreads: 2, maxThreads: 2 });
    const running = [start(), start()];
    const places = await placesOf(running);
    pool.resize({ min: 1, max: 1 });
    const keyed = Array.from({ length: 8 }, (_, i) => start({ key: `${i}` }));
    const bytes = new Uint8Array(8);
    const transferred = start({ transferList: [bytes.buffer] }, { bytes });
    const everywhere = pool.broadcast({ file: __filename });
    await Promise.all(running.map((task) => task.end()));
    const { workers } = await endEach([...keyed, transferred]);
    assert.equal(workers.size, 1);
    assert.ok(places.includes([...workers][0]));
    assert.deepEqual(await everywhere, [...workers]);
  });

  test(`${runtime}: balancers choose no worker over the maximum`, WATCHDOG, async (t) => {
    for (const workerChoiceStrategy of [undefined, 'ROUND_ROBIN', 'LEAST_USED']) {
      const options = { minThreads: 2, maxThreads: 2, concurrentTasksPerWorker: 2, workerChoiceStrategy };
      const queue = workerChoiceStrategy === undefined ? { queueStrategy: 'lifo' } : {};
      const { pool, start } = makePool(t, { runtime, ...options, ...queue });
      const running = [start(), start(), start(), start()];
      assert.equal(new Set(await placesOf(running)).size, 2);
      const waiting = [start(), start(), start()];
      pool.resize({ min: 1, max: 1 });
      await Promise.all(running.map((task) => task.end()));
      const { workers } = await endEach(waiting);
      assert.equal(workers.size, 1);
      await hasWorkers(pool, 1);
      await pool.destroy();
    }
  });

  test(`${runtime}: a maximum that is raised again brings workers back`, WATCHDOG, async (t) => {
    const { pool, start } = makePool(t, { runtime, minThreads: 3, maxThreads: 3 });
    const running = [start(), start(), start()];
    await placesOf(running);
    pool.resize({ min: 1, max: 1 });
    // Until their tasks are over, the leaving ones count.
    pool.resize({ min: 3, max: 3 });
    assert.equal(pool.threads.length, 3);
    const more = [start(), start(), start()];
    await Promise.all(running.map((task) => task.end()));
    assert.equal(new Set(await placesOf(more)).size, 3);
    await Promise.all(more.map((task) => task.end()));
    assert.equal(pool.threads.length, 3);
  });
}
