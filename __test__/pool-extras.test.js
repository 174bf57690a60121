'use strict';

/* Features of a pool beyond piscina's: tinypool's, workerpool's and its own. */

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { readFileSync, rmSync, mkdtempSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { Pool } = require('..');
const { WATCHDOG, fixture, makePool, raised, shared } = require('./support/pool');

const INSIDE = fixture('inside.js');
const TIMED_OUT = { name: 'TimeoutError', code: 'ERR_MANYCORE_TASK_TIMED_OUT' };

/** @param {Int32Array} words words of a task that blocks */
function release(words) {
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
}

/**
 * A pool whose only worker is busy until `release(words)`.
 * @param {import('node:test').TestContext} t
 * @param {any} [options]
 */
async function busyPool(t, options) {
  const pool = makePool(t, options);
  const words = shared();
  const running = pool.run(words, { name: 'block' });
  await raised(words, 1);
  return { pool, words, running };
}

test('exec() calls exported and registered methods with arguments', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: INSIDE });
  assert.equal(await pool.exec('add', [3, 4]), 7);
  assert.equal((await pool.exec('about')).isWorkerThread, true);
  await assert.rejects(pool.exec('nowhere'), /Unknown method "nowhere"/);
  assert.throws(() => pool.exec(5), TypeError);
  assert.throws(() => pool.exec('add', 5), TypeError);
});

test('exec() runs functions without a worker file', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: null });
  assert.equal(await pool.exec((/** @type {number} */ a, /** @type {number} */ b) => a * b, [6, 7]), 42);
  assert.equal(
    await pool.exec(
      async function twice(/** @type {string} */ x) {
        return x + x;
      },
      ['ab'],
    ),
    'abab',
  );
  const object = {
    method: (/** @type {number} */ x) => x + 1,
    short(/** @type {number} */ x) {
      return x + 2;
    },
  };
  assert.equal(await pool.exec(object.method, [1]), 2);
  assert.equal(await pool.exec(object.short, [1]), 3);
});

test('proxy() exposes the methods of the worker', WATCHDOG, async (t) => {
  const proxy = await makePool(t, { filename: INSIDE }).proxy();
  assert.equal(await proxy.add(1, 2), 3);
  assert.equal((await proxy.about()).isWorkerThread, true);
});

test('a task reports its progress', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: INSIDE });
  /** @type {any[]} */
  const seen = [];
  assert.equal(await pool.exec('count', [3], { on: (/** @type {any} */ event) => seen.push(event) }), 3);
  assert.deepEqual(seen, [{ done: 1 }, { done: 2 }, { done: 3 }]);
});

test('Transfer transfers results and arguments', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: INSIDE });
  assert.deepEqual(await pool.exec('transferred'), new Uint8Array(8).fill(3));
  const bytes = new Uint8Array([1, 2]);
  assert.deepEqual(
    await pool.run(new /** @type {any} */ (Pool).Transfer(bytes, [bytes.buffer])),
    new Uint8Array([1, 2]),
  );
  assert.equal(bytes.length, 0);
});

test('cancel(), timeout() and always() work on the promise of exec()', WATCHDOG, async (t) => {
  const pool = makePool(t);
  const cancelled = pool.exec('never').cancel();
  await assert.rejects(cancelled, { name: 'CancellationError', message: 'promise cancelled' });
  await assert.rejects(pool.exec('forever').timeout(20), TIMED_OUT);
  assert.equal(
    await pool
      .exec('echo', [5])
      .timeout(60_000)
      .then((/** @type {number} */ x) => x + 1),
    6,
  );
  assert.equal(await pool.exec('throwError', ['x']).always(() => 'always'), 'always');
});

test('isWorkerThread, workerId and workerData identify a worker', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: INSIDE, workerData: { x: 1 } });
  const about = await pool.run(null, { name: 'about' });
  assert.deepEqual([about.isWorkerThread, about.workerData], [true, { x: 1 }]);
  assert.ok(about.workerId > 0);
  assert.deepEqual([Pool.isWorkerThread, Pool.workerId], [false, 0]);
});

test('functions that belong to a task throw outside one', () => {
  const { taskSignal, workerEmit } = require('..');
  assert.throws(taskSignal, { code: 'ERR_MANYCORE_NOT_IN_TASK' });
  assert.throws(() => workerEmit(1), { code: 'ERR_MANYCORE_NOT_IN_TASK' });
});

test('map() keeps the order of the items, or yields results as they complete', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'echo' });
  const items = Array.from({ length: 1000 }, (_, i) => i);
  let last = 0;
  assert.deepEqual(
    await pool.map(items, { onResult: (/** @type {number} */ count) => (last = count) }),
    items,
  );
  assert.equal(last, 1000);
  const some = await pool.map(new Set([3, 1, 2]), { ordered: false, concurrency: 2 });
  assert.deepEqual(some.sort(), [1, 2, 3]);
  assert.deepEqual(await pool.map([]), []);
});

test('map() respects its concurrency limit, and stops at the first error', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'later' });
  let read = 0;
  let returned = false;
  let most = 0;
  const items = {
    [Symbol.iterator]: () => ({
      next: () => ({ done: read === 20, value: ++read && 1 }),
      return: () => ({ done: (returned = true), value: undefined }),
    }),
  };
  await pool.map(items, {
    concurrency: 3,
    onResult: (/** @type {number} */ done) => (most = Math.max(most, read - done)),
  });
  assert.ok(most <= 3, String(most));
  read = 0;
  await assert.rejects(pool.map(items, { name: 'throwError', concurrency: 1 }), TypeError);
  assert.ok(returned);
  assert.ok(read < 20);
  assert.throws(() => pool.map([], { concurrency: 0 }), { code: 'ERR_OUT_OF_RANGE' });
});

test('stream() reads its source only as fast as results are consumed', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'echo' });
  let read = 0;
  async function* source() {
    for (let i = 0; i < 100; i++) {
      read++;
      yield i;
    }
  }
  const seen = [];
  for await (const value of pool.stream(source(), { concurrency: 4 })) {
    seen.push(value);
    assert.ok(read <= value + 5, `${read} items read, ${value} consumed`);
    if (value === 49) break;
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 50 }, (_, i) => i),
  );
  assert.ok(read < 60);
});

test('map() and stream() stop when their signal is aborted', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'never' });
  const controller = new AbortController();
  const mapped = pool.map([1, 2, 3], { signal: controller.signal });
  controller.abort();
  await assert.rejects(mapped, { name: 'AbortError' });
});

test('runSync() blocks until the task completes', WATCHDOG, async (t) => {
  const pool = makePool(t);
  assert.equal(pool.runSync({ a: 2, b: 3 }), 5);
  assert.throws(() => pool.runSync('x', { name: 'throwError' }), TypeError);
  assert.equal(pool.runSync(5, { name: 'later' }), 5);
  const other = pool.run('other', { name: 'echo' });
  assert.equal(pool.runSync('sync', { name: 'echo' }), 'sync');
  assert.equal(await other, 'other');
  assert.throws(() => pool.runSync(1, { name: 'never', timeoutMs: 20 }), {
    code: 'ERR_MANYCORE_TASK_TIMED_OUT',
  });
  assert.equal(pool.runSync('again', { name: 'echo' }), 'again');
});

test('runSync() throws when its worker exits', WATCHDOG, async (t) => {
  const pool = makePool(t);
  pool.runSync({ a: 2, b: 3 });
  assert.throws(() => pool.runSync(7, { name: 'exit' }), /exited/);
  assert.equal(await pool.run({ a: 1, b: 1 }), 2);
});

test('broadcast() runs once on every worker', WATCHDOG, async (t) => {
  const pool = makePool(t, { minThreads: 3, maxThreads: 3, name: 'who' });
  const ids = await pool.broadcast();
  assert.deepEqual(new Set(ids), new Set(pool.threads.map((/** @type {any} */ worker) => worker.threadId)));
});

for (const runtime of ['threads', 'processes']) {
  test(
    `broadcast() during recycleWorkers() reaches each worker that stays, ${runtime}`,
    WATCHDOG,
    async (t) => {
      const [file, name] = runtime === 'threads' ? ['tasks.js', 'who'] : ['processes.js', 'pid'];
      const pool = makePool(t, { filename: fixture(file), minThreads: 3, maxThreads: 3, runtime });
      const before = new Set(await pool.broadcast(null, { name }));
      const busy = pool.run(20, { name: 'later' });
      const recycled = pool.recycleWorkers();
      const during = await pool.broadcast(null, { name });
      await Promise.all([busy, recycled]);
      const after = await pool.broadcast(null, { name });
      assert.equal(before.size, 3);
      assert.deepEqual(new Set(during), new Set(after));
      assert.ok(during.every((id) => !before.has(id)));
    },
  );
}

test('broadcast() rejects when the pool ends while workers are replaced', WATCHDOG, async (t) => {
  const pool = makePool(t);
  const busy = pool.run(null, { name: 'never' }).catch(({ message }) => message);
  const recycled = pool.recycleWorkers();
  const broadcast = pool.broadcast(1, { name: 'echo' });
  const destroyed = pool.destroy();
  await assert.rejects(broadcast, { message: 'Terminating worker thread' });
  await Promise.all([destroyed, recycled]);
  assert.equal(await busy, 'Terminating worker thread');
  assert.deepEqual(pool.threads, []);
});

test('tasks run by priority, those of equal priority in order', WATCHDOG, async (t) => {
  const { pool, words, running } = await busyPool(t, { name: 'echo' });
  /** @type {number[]} */
  const order = [];
  const tasks = [0, 5, -1, 5, 0].map((priority, i) =>
    pool.run(i, { priority }).then((/** @type {number} */ value) => order.push(value)),
  );
  release(words);
  await Promise.all([running, ...tasks]);
  assert.deepEqual(order, [1, 3, 0, 4, 2]);
});

test('tasks with the same key run on the same worker', WATCHDOG, async (t) => {
  const pool = makePool(t, { minThreads: 2, maxThreads: 2, name: 'who' });
  /** @type {Map<string, Set<number>>} */
  const seen = new Map();
  await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      const key = `key ${i % 10}`;
      const id = await pool.run(null, { key });
      seen.set(key, (seen.get(key) ?? new Set()).add(id));
    }),
  );
  assert.ok([...seen.values()].every((ids) => ids.size === 1));
  assert.equal(new Set([...seen.values()].map((ids) => [...ids][0])).size, 2);
});

test('computeWorkerKey computes the key', WATCHDOG, async (t) => {
  const pool = makePool(t, {
    minThreads: 2,
    maxThreads: 2,
    name: 'who',
    computeWorkerKey: (/** @type {string} */ method, /** @type {any} */ task) => task.user,
  });
  const ids = await Promise.all(Array.from({ length: 20 }, () => pool.run({ user: 'anna' })));
  assert.equal(new Set(ids).size, 1);
});

test('a task timeout counts running time, not time in the queue', WATCHDOG, async (t) => {
  const { pool, words, running } = await busyPool(t);
  const waiting = pool.run('x', { name: 'echo', timeoutMs: 5 });
  await new Promise((resolve) => setTimeout(resolve, 30));
  release(words);
  assert.equal(await waiting, 'x');
  await running;
  await assert.rejects(pool.run(1, { name: 'forever', timeoutMs: 20 }), TIMED_OUT);
  const limited = makePool(t, { name: 'never', taskTimeoutMs: 20 });
  await assert.rejects(limited.run(), TIMED_OUT);
});

for (const name of ['untilAborted', 'untilEvent']) {
  test(`an abort is delivered to the task first: ${name}`, WATCHDOG, async (t) => {
    const pool = makePool(t, { filename: INSIDE, abortGraceMs: 60_000 });
    const words = shared();
    const controller = new AbortController();
    const task = pool.run(words, { name, signal: controller.signal });
    await raised(words, 0);
    const [worker] = pool.threads;
    controller.abort('enough');
    await assert.rejects(task, { name: 'AbortError', message: 'The task has been aborted', cause: 'enough' });
    assert.equal(await pool.run('next'), 'next');
    assert.equal(words[1], 1);
    assert.equal(pool.threads[0], worker);
  });
}

test('a worker that does not stop is replaced after abortGraceMs', WATCHDOG, async (t) => {
  const pool = makePool(t, { abortGraceMs: 1 });
  const words = shared();
  const controller = new AbortController();
  const task = pool.run(words, { name: 'block', signal: controller.signal });
  await raised(words, 1);
  const [worker] = pool.threads;
  const destroyed = once(pool, 'workerDestroy');
  controller.abort();
  await assert.rejects(task, { name: 'AbortError' });
  await destroyed;
  assert.equal(await pool.run('next', { name: 'echo' }), 'next');
  assert.notEqual(pool.threads[0], worker);
});

test('an abortable task has its worker to itself', WATCHDOG, async (t) => {
  const pool = makePool(t, { concurrentTasksPerWorker: 4, abortGraceMs: 1, name: 'later' });
  await pool.run(1);
  const neighbours = [pool.run(30), pool.run(30)];
  const controller = new AbortController();
  const task = pool.run(1, { name: 'forever', signal: controller.signal });
  const after = [pool.run(5), pool.run(5)];
  setTimeout(() => controller.abort(), 100);
  await assert.rejects(task, { name: 'AbortError' });
  assert.deepEqual(await Promise.all([...neighbours, ...after]), [30, 30, 5, 5]);
});

test('each of several concurrent tasks on a worker has its own signal', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: INSIDE, concurrentTasksPerWorker: 3, name: 'signalOf' });
  assert.deepEqual(await Promise.all([pool.run(20), pool.run(10), pool.run(1)]), [false, false, false]);
});

test('a task is retried when its worker exits', WATCHDOG, async (t) => {
  const pool = makePool(t);
  await assert.rejects(pool.run(9, { name: 'exit', retries: 2 }), /worker exited with code: 9/);
  const folder = mkdtempSync(path.join(tmpdir(), 'pool-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'tried');
  assert.equal(await pool.run({ file }, { name: 'exitOnce', retries: 1 }), 'second try');
  // Through the worker's port, for shared memory.
  const other = path.join(folder, 'tried too');
  assert.equal(
    await pool.run({ file: other, words: shared() }, { name: 'exitOnce', retries: 1 }),
    'second try',
  );
});

test('workers are recycled by task count, memory and age', WATCHDOG, async (t) => {
  for (const options of [
    { maxTasksPerWorker: 2 },
    { isolateWorkers: true },
    { maxMemoryLimitBeforeRecycle: 1 },
  ]) {
    const pool = makePool(t, { name: 'who', ...options });
    const ids = new Set();
    for (let i = 0; i < 6; i++) ids.add(await pool.run());
    assert.equal(ids.size, options.maxTasksPerWorker === 2 ? 3 : 6, JSON.stringify(options));
  }
  const aging = makePool(t, { name: 'who', maxWorkerAgeMs: 20 });
  const first = await aging.run();
  await once(aging, 'workerRecycle');
  assert.notEqual(await aging.run(), first);
});

test('destroy() resolves when workers have ended, also when called a second time', WATCHDOG, async (t) => {
  const pool = makePool(t);
  assert.equal(await pool.run({ a: 1, b: 2 }), 3);
  const [thread] = pool.threads;
  const events = /** @type {string[]} */ ([]);
  thread.once('exit', () => events.push('exit'));
  await Promise.all([pool.destroy(), pool.destroy().then(() => events.push('second'))]);
  assert.deepEqual(events, ['exit', 'second']);
});

test('recycleWorkers() replaces all workers after their tasks complete', WATCHDOG, async (t) => {
  const pool = makePool(t, { minThreads: 2, maxThreads: 2, name: 'later' });
  const before = [...pool.threads];
  const task = pool.run(50);
  await pool.recycleWorkers();
  assert.equal(await task, 50);
  assert.ok(pool.threads.every((/** @type {any} */ worker) => !before.includes(worker)));
  assert.equal(await pool.run(1), 1);
});

test('teardown runs in workers before they exit', WATCHDOG, async (t) => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'pool-')), 'ended');
  t.after(() => rmSync(path.dirname(file), { recursive: true }));
  const pool = makePool(t, {
    filename: INSIDE,
    teardown: 'teardown',
    terminateTimeout: 60_000,
    env: { ON_TERMINATE: file },
  });
  await pool.run(1);
  await pool.close();
  assert.equal(readFileSync(file, 'utf8'), 'xt');
});

test('cancelPendingTasks() leaves running tasks alone', WATCHDOG, async (t) => {
  const { pool, words, running } = await busyPool(t);
  const waiting = pool.run({ a: 1, b: 1 });
  pool.cancelPendingTasks();
  await assert.rejects(waiting, /cancelled/);
  assert.equal(pool.queueSize, 0);
  release(words);
  assert.equal(await running, 'released');
  assert.equal(await pool.run({ a: 1, b: 1 }), 2);
});

test('warm spares are ready before they are needed', WATCHDOG, async (t) => {
  const pool = makePool(t, { minThreads: 1, maxThreads: 3, warmSpares: 1 });
  assert.equal(pool.threads.length, 2);
});

test('stats() reports workers and tasks', WATCHDOG, async (t) => {
  const { pool, words, running } = await busyPool(t);
  const waiting = pool.run({ a: 1, b: 1 });
  const { workers, ...during } = pool.stats();
  assert.deepEqual(during, {
    totalWorkers: 1,
    busyWorkers: 1,
    idleWorkers: 0,
    pendingTasks: 1,
    activeTasks: 1,
    completedTasks: 0,
  });
  assert.equal(workers[0].inHand, 1);
  release(words);
  await Promise.all([running, waiting]);
  assert.deepEqual(
    [pool.stats().completedTasks, pool.stats().workers[0].completed, pool.stats().activeTasks],
    [2, 2, 0],
  );
});

test('options of workerpool are accepted', WATCHDOG, async () => {
  /** @type {any[]} */
  const events = [];
  const pool = new Pool({
    filename: INSIDE,
    minWorkers: 1,
    maxWorkers: 1,
    maxQueueSize: 7,
    workerType: 'thread',
    onCreateWorker: () => void events.push('create'),
    onTerminateWorker: () => void events.push('terminate'),
  });
  assert.deepEqual([pool.minThreads, pool.maxThreads, pool.options.maxQueue], [1, 1, 7]);
  assert.equal(await pool.exec('add', [1, 2]), 3);
  await pool.terminate();
  assert.deepEqual(events, ['create', 'terminate']);
});

test('a LIFO queue runs the newest task first', WATCHDOG, async (t) => {
  const { pool, words, running } = await busyPool(t, { queueStrategy: 'lifo', name: 'echo' });
  /** @type {number[]} */
  const order = [];
  const tasks = [1, 2, 3].map((i) => pool.run(i).then((/** @type {number} */ value) => order.push(value)));
  release(words);
  await Promise.all([running, ...tasks]);
  assert.deepEqual(order, [3, 2, 1]);
});

test('output of workers can be received as events', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: null, emitStdStreams: true });
  const printed = once(pool, 'stdout');
  await pool.exec(() => console.log('hello'));
  assert.equal((await printed)[0], 'hello\n');
});

test('errors keep their properties and class names', WATCHDOG, async (t) => {
  const pool = makePool(t);
  await assert.rejects(pool.run(null, { name: 'rejectWithCode' }), {
    message: 'no such thing',
    code: 'ENOTHING',
    detail: { at: 7 },
  });
  const named = pool.exec(() => {
    class SpecialError extends Error {
      name = 'SpecialError';
    }
    throw new SpecialError('special');
  });
  await assert.rejects(named, { name: 'SpecialError', message: 'special' });
});

test('the event loop of a worker keeps running between tasks', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: null });
  await pool.exec(() => {
    const state = /** @type {any} */ (globalThis);
    state.ticks = 0;
    setInterval(() => state.ticks++, 1);
  });
  for (let ticks = 0; ticks < 5;) ticks = await pool.exec(() => /** @type {any} */ (globalThis).ticks);
});

test('objects of thousands of shapes reach all workers', WATCHDOG, async (t) => {
  const pool = makePool(t, { minThreads: 2, maxThreads: 3, name: 'echo' });
  const items = Array.from({ length: 3000 }, (_, i) => ({
    [`key ${i % 700}`]: i,
    [`other${i % 3}`]: [{ deep: i }],
  }));
  assert.deepEqual(await Promise.all(items.map((item) => pool.run(item))), items);
});

test('tasks and results of any size get through', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'echo' });
  for (const size of [0, 31, 1000, 65_000, 65_536, 70_000, 300_000, 5_000_000]) {
    const bytes = new Uint8Array(size).fill(5);
    const [back] = await pool.run([bytes]);
    assert.equal(Buffer.compare(back, bytes), 0, String(size));
  }
  const text = await Promise.all(Array.from({ length: 20 }, (_, i) => pool.run('ä'.repeat(100_000 + i))));
  assert.ok(text.every((each, i) => each.length === 100_000 + i));
});

test('a getter of a task may run another task', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'echo' });
  /** @type {Promise<any> | undefined} */
  let inner;
  const outer = pool.run({
    before: { x: 1 },
    get middle() {
      inner = pool.run({ inner: true });
      return 2;
    },
    after: { y: 3 },
  });
  assert.deepEqual(await outer, { before: { x: 1 }, middle: 2, after: { y: 3 } });
  assert.deepEqual(await inner, { inner: true });
});

test('pools work inside workers of pools', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: null });
  const file = fixture('tasks.js');
  const inner = async (/** @type {string} */ index, /** @type {string} */ filename) => {
    const { Pool: Inner } = (await import(index)).default ?? (await import(index));
    const own = new Inner({ filename, minThreads: 1, maxThreads: 1 });
    const result = await own.run({ a: 20, b: 22 });
    await own.destroy();
    return result;
  };
  assert.equal(await pool.exec(inner, [require.resolve('..'), file]), 42);
});
