'use strict';

/* Limits of time of a pool, and what it tells after it has ended. */

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { test } = require('node:test');
const { promisify } = require('node:util');
const { WATCHDOG, fixture, makePool, raised, shared } = require('./support/pool');

const TIMED_OUT = { name: 'TimeoutError', code: 'ERR_MANYCORE_TASK_TIMED_OUT' };

test('limits of time beyond those of timers do not pass at once', WATCHDOG, async () => {
  // In a process of its own: Node warns of timers that it cannot set, once per process.
  const script = `
    const { Pool } = require(${JSON.stringify(require.resolve('..'))});
    const far = { abortGraceMs: Infinity, taskTimeoutMs: Infinity, terminateTimeout: Infinity };
    const options = { filename: ${JSON.stringify(fixture('tasks.js'))}, minThreads: 0, maxThreads: 1 };
    (async () => {
      const pool = new Pool({ ...options, ...far, closeTimeout: Infinity, idleTimeout: 2 ** 31 });
      const first = await pool.run(null, { name: 'who' });
      const stop = new AbortController();
      const stopped = pool.run(20, { name: 'later', signal: stop.signal }).catch(({ name }) => name);
      setTimeout(() => stop.abort(), 1);
      const limits = [{ timeoutMs: Infinity }, { timeoutMs: 2 ** 31 }];
      const results = await Promise.all(limits.map((limit) => pool.run(5, { name: 'later', ...limit })));
      await pool.exec('echo', [1]).timeout(Infinity);
      const last = await pool.run(null, { name: 'who' });
      console.log(await stopped, results, first === last);
      await pool.close();
    })();`;
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['-e', script]);
  assert.equal(stderr, '');
  assert.equal(stdout, 'AbortError [ 5, 5 ] true\n');
});

test('runSync() keeps to the time limit of the pool', WATCHDOG, (t) => {
  const pool = makePool(t, { name: 'never', taskTimeoutMs: 20 });
  assert.throws(() => pool.runSync(), TIMED_OUT);
  assert.throws(() => pool.runSync(), TIMED_OUT);
  assert.equal(pool.runSync('next', { name: 'echo' }), 'next');
});

for (const options of [
  { queueStrategy: 'lifo' },
  { workerChoiceStrategy: 'ROUND_ROBIN' },
  { loadBalancer: (_task, workers) => workers.find(({ currentUsage }) => currentUsage === 0) ?? null },
]) {
  test(`runSync() waits for a worker with ${Object.keys(options)}`, WATCHDOG, async (t) => {
    const pool = makePool(t, options);
    const before = pool.run(10, { name: 'later' });
    assert.equal(pool.runSync('waited', { name: 'echo' }), 'waited');
    assert.throws(() => pool.runSync('no', { name: 'throwError' }), { message: 'no' });
    assert.equal(await before, 10);
    const running = pool.run(1000, { name: 'later' }).catch(({ message }) => message);
    const tooLate = { code: 'ERR_MANYCORE_TASK_TIMED_OUT' };
    assert.throws(() => pool.runSync(1, { name: 'echo', timeoutMs: 1 }), tooLate);
    await pool.destroy();
    assert.equal(await running, 'Terminating worker thread');
  });

  test(`timeout() of a task that waits with ${Object.keys(options)}`, WATCHDOG, async (t) => {
    const pool = makePool(t, options);
    const before = pool.run(10, { name: 'later' });
    await assert.rejects(pool.exec('never').timeout(20), TIMED_OUT);
    assert.equal(await before, 10);
  });
}

test('of two limits the lower one applies, and only to its own task', WATCHDOG, async (t) => {
  const pool = makePool(t);
  assert.equal(await pool.exec('echo', [1], { timeoutMs: 20 }).timeout(60_000), 1);
  // It has the place of the one before, whose limits are over.
  assert.equal(await pool.run(100, { name: 'later' }), 100);
  await assert.rejects(pool.exec('never', [], { timeoutMs: 20 }).timeout(60_000), TIMED_OUT);
  await assert.rejects(pool.exec('never', [], { timeoutMs: 60_000 }).timeout(20), TIMED_OUT);
});

test('times can be read after the pool has ended, without starting workers', WATCHDOG, async (t) => {
  const pool = makePool(t);
  for (let i = 0; i < 5; i++) await pool.run(2, { name: 'later' });
  const { runTime, waitTime } = pool.histogram;
  const { completed } = pool;
  await pool.close();
  assert.deepEqual(pool.histogram.runTime, runTime);
  assert.deepEqual(pool.histogram.waitTime, waitTime);
  assert.ok(pool.utilization > 0);
  assert.equal(pool.completed, completed);
  assert.deepEqual(pool.threads, []);
  pool.histogram.resetRunTime();
  pool.histogram.resetWaitTime();
  const { runTime: empty } = pool.histogram;
  assert.deepEqual([empty.max, pool.histogram.waitTime.max], [0, 0]);
  assert.deepEqual(pool.threads, []);
  const unused = makePool(t, { minThreads: 0 });
  assert.deepEqual(empty, unused.histogram.runTime);
});

test('a pool that does not record times has none after it has ended', WATCHDOG, async (t) => {
  const pool = makePool(t, { recordTiming: false });
  await pool.run({ a: 1, b: 2 });
  await pool.close();
  assert.equal(pool.histogram.runTime, undefined);
  pool.histogram.resetRunTime();
  assert.equal(pool.utilization, 0);
  assert.deepEqual(pool.threads, []);
});

test('the number of concurrent tasks may be infinite', WATCHDOG, async (t) => {
  const infinite = { minThreads: 0, maxThreads: 1, concurrentTasksPerWorker: Infinity, name: 'later' };
  const pool = makePool(t, { ...infinite, maxQueue: 0 });
  assert.deepEqual([pool.queueSize, pool.idleThreads], [0, 0]);
  const numbers = Array.from({ length: 50 }, () => 1);
  assert.deepEqual(await pool.map(numbers), numbers);
  assert.deepEqual([pool.queueSize, pool.threads.length], [0, 1]);
});

for (const maxQueue of [0, 1]) {
  test(`a pool is full when it refuses tasks, and only then, maxQueue: ${maxQueue}`, WATCHDOG, async (t) => {
    const pool = makePool(t, { minThreads: 0, maxQueue, name: 'block' });
    /** @type {string[]} */
    const events = [];
    for (const name of ['full', 'backPressure', 'backPressureEnd']) pool.on(name, () => events.push(name));
    const words = shared();
    const running = pool.run(words);
    await raised(words, 1);
    const waiting = [];
    if (maxQueue === 0) assert.deepEqual(events, ['full', 'backPressure']);
    else assert.deepEqual(events, []);
    for (let i = 0; i < maxQueue; i++) waiting.push(pool.run(i, { name: 'echo' }));
    assert.deepEqual(events, ['full', 'backPressure']);
    await assert.rejects(pool.run(1), /Task queue is at limit|No task queue available/);
    Atomics.store(words, 0, 1);
    Atomics.notify(words, 0);
    await Promise.all([running, ...waiting]);
    assert.deepEqual(events, ['full', 'backPressure', 'backPressureEnd']);
  });
}
