'use strict';

/* Calls of a thread that blocks, which go directly to a worker that spins, or through the queue otherwise. */

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { once } = require('node:events');
const { test } = require('node:test');
const { setImmediate } = require('node:timers/promises');
const { promisify } = require('node:util');
const { requireAddon } = require('../lib/core/addon');
const { WATCHDOG, fixture, makePool } = require('./support/pool');

const DIRECT = fixture('direct.js');
/** So many calls in a row that most are direct ones. */
const MANY = 500;
/** Ends the worker of a pool, within a getter. */
const EXITS = "try { pool.runSync({ kind: 'exit', value: 3 }); } catch {}";

/**
 * Makes a pool with a ready worker.
 * @param {import('node:test').TestContext} t
 * @param {any} [options]
 */
async function readyPool(t, options) {
  const pool = makePool(t, { filename: DIRECT, ...options });
  await pool.run({ kind: 'echo' });
  return pool;
}

/**
 * Counts the calls that are offered to workers, and those of them that are answered, for pools made from now on.
 * @param {import('node:test').TestContext} t
 */
function countCalls(t) {
  const counts = { offered: 0, answered: 0 };
  const { prototype } = requireAddon('Pool').PoolQueue;
  const { callFunction } = prototype;
  t.mock.method(
    prototype,
    'callFunction',
    /** @this {any} */ function () {
      const call = callFunction.call(this);
      return () => {
        counts.offered++;
        const length = call();
        if (length > 0) counts.answered++;
        return length;
      };
    },
  );
  return counts;
}

/**
 * Calls a function after some direct calls, several times.
 * @param {any} pool
 * @param {(i: number) => void} call
 */
function amid(pool, call) {
  for (let i = 0; i < 20; i++) {
    for (let j = 0; j < 20; j++) assert.equal(pool.runSync({ kind: 'echo', value: j }), j);
    call(i);
  }
}

test('values of every kind and length arrive, in order', WATCHDOG, async (t) => {
  const pool = await readyPool(t);
  const kinds = [
    undefined,
    null,
    -0,
    10n ** 30n,
    'text',
    'x'.repeat(50_000),
    Object.assign(new Array(3), { 2: 'hole before' }),
    new Date(5),
    new Map([[1, new Set(['a'])]]),
    new Uint8Array(300).fill(7),
    { nested: { deeply: [{ here: true }] } },
  ];
  for (let i = 0; i < MANY; i++) {
    const value = i % 3 === 0 ? { [`key${i % 40}`]: i, same: i } : kinds[i % kinds.length];
    assert.deepEqual(pool.runSync({ kind: 'echo', value }), value);
  }
  for (let length = 0; length < 600; length += 7) {
    assert.equal(pool.runSync({ kind: 'echo', value: 'é'.repeat(length) }).length, length);
  }
  assert.equal(pool.runSync(), undefined);
});

test('each call runs once and is counted', WATCHDOG, async (t) => {
  const pool = await readyPool(t);
  const { completed } = pool;
  pool.histogram.resetRunTime();
  for (let i = 0; i < MANY; i++) assert.equal(pool.runSync({ kind: 'runs' }), i + 2);
  assert.equal(pool.completed, completed + MANY);
  assert.equal(pool.stats().workers[0].completed, completed + MANY);
  assert.ok(pool.histogram.runTime.max > 0);
  for (let i = 0; i < MANY; i++) pool.runSync({ kind: 'spin', value: 0.01 });
  assert.ok(pool.histogram.runTime.p50 >= 0.01 || pool.histogram.runTime.p75 >= 0.01);
});

test('results that are not there at once are waited for', WATCHDOG, async (t) => {
  const pool = await readyPool(t);
  amid(pool, (i) => {
    assert.equal(pool.runSync({ kind: 'later', value: i }), i);
    assert.equal(pool.runSync({ kind: 'microtask', value: i }), i);
    assert.equal(pool.runSync({ kind: 'spin', value: 0.2 }), 0.2);
  });
});

test('errors are thrown, and so is what cannot be cloned', WATCHDOG, async (t) => {
  const pool = await readyPool(t);
  /** @type {any[]} */
  const told = [];
  pool.on('taskError', (/** @type {any} */ error) => told.push(error.code));
  amid(pool, (i) => {
    assert.throws(() => pool.runSync({ kind: 'throw', value: `no ${i}` }), {
      name: 'RangeError',
      code: 'EVALUE',
      message: `no ${i}`,
    });
    assert.throws(() => pool.runSync({ kind: 'function' }), { name: 'DataCloneError' });
    assert.throws(() => pool.runSync({ kind: 'echo', value() {} }), { name: 'DataCloneError' });
  });
  assert.equal(told.filter((code) => code === 'EVALUE').length, 20);
});

test('events, moved values and large buffers keep their place', WATCHDOG, async (t) => {
  const pool = await readyPool(t);
  amid(pool, (i) => {
    assert.deepEqual(pool.runSync({ kind: 'emit', value: i }), { before: i, after: i });
    assert.deepEqual(pool.runSync({ kind: 'move', value: 200 }), new Uint8Array(200).fill(3));
    assert.deepEqual(pool.runSync({ kind: 'bytes', value: 200_000 }), new Uint8Array(200_000).fill(5));
    const value = new Uint8Array(200_000).fill(i);
    assert.deepEqual(pool.runSync({ kind: 'echo', value }), value);
  });
});

test('a getter of the argument may run tasks', WATCHDOG, async (t) => {
  const pool = await readyPool(t);
  /** @type {Promise<any>[]} */
  const running = [];
  amid(pool, (i) => {
    let reads = 0;
    const task = {
      kind: 'echo',
      get value() {
        reads++;
        running.push(pool.run({ kind: 'echo', value: `run ${i}` }));
        return pool.runSync({ kind: 'echo', value: i });
      },
    };
    assert.equal(pool.runSync(task), i);
    assert.equal(reads, 1);
  });
  const results = await Promise.all(running);
  assert.ok(results.every((result, i) => result === `run ${i}`));
});

test('calls are answered directly', WATCHDOG, async (t) => {
  const counts = countCalls(t);
  const pool = await readyPool(t);
  // On a busy machine many calls find no worker that spins.
  while (counts.answered < MANY) {
    for (let i = 0; i < 20; i++) pool.runSync({ kind: 'echo', value: i });
    await setImmediate();
  }
  assert.ok(counts.offered >= counts.answered);
});

test('a task that a getter of the argument has queued starts first', WATCHDOG, async (t) => {
  const counts = countCalls(t);
  const pool = await readyPool(t);
  /** @type {Promise<number>[]} */
  const queued = [];
  /** @type {number[]} */
  const called = [];
  amid(pool, () => {
    const task = {
      get kind() {
        queued.push(pool.run({ kind: 'runs' }));
        return 'runs';
      },
    };
    const { offered } = counts;
    called.push(pool.runSync(task));
    assert.equal(counts.offered, offered);
  });
  const first = await Promise.all(queued);
  assert.deepEqual(
    called,
    first.map((run) => run + 1),
  );
});

/** What a getter of the argument ends, by options of the pool, and the result or error of the call. */
const ENDS = [
  { options: {}, ends: 'pool.destroy().catch(() => {})', result: 'Terminating worker thread' },
  { options: { minThreads: 0 }, ends: EXITS, result: 1 },
  { options: { restartWorkerOnError: false }, ends: EXITS, result: 'worker exited' },
];

for (const { options, ends, result } of ENDS) {
  test(
    `a getter of the argument ends ${ends === EXITS ? 'the worker' : 'the pool'} with ${JSON.stringify(options)}`,
    WATCHDOG,
    async () => {
      // In a process of its own, which can be ended while it blocks.
      const program = `
      const { Pool } = require(${JSON.stringify(require.resolve('..'))});
      const options = { filename: ${JSON.stringify(DIRECT)}, minThreads: 1, maxThreads: 1, ...${JSON.stringify(options)} };
      const pool = new Pool(options);
      const call = () => {
        try {
          return pool.runSync({ kind: 'echo', get value() { ${ends}; return 1; } });
        } catch (error) {
          return error.message;
        }
      };
      pool.run({ kind: 'echo' }).then(() => {
        for (let i = 0; i < 20; i++) pool.runSync({ kind: 'echo' });
        console.log(JSON.stringify(call()));
        return pool.destroy();
      });`;
      const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], { timeout: 60_000 });
      assert.equal(JSON.parse(stdout), result);
    },
  );
}

test('a worker that exits during a call is replaced', WATCHDOG, async (t) => {
  const pool = await readyPool(t);
  for (let i = 0; i < 3; i++) {
    amid(pool, () => {});
    assert.throws(() => pool.runSync({ kind: 'exit', value: 4 }), /exited/);
  }
  assert.equal(pool.runSync({ kind: 'echo', value: 'next' }), 'next');
});

test('tasks run before and after calls', WATCHDOG, async (t) => {
  const pool = await readyPool(t, { minThreads: 2, maxThreads: 2 });
  for (let i = 0; i < 20; i++) {
    const before = [1, 2, 3].map((value) => pool.run({ kind: 'later', value }));
    amid(pool, () => {});
    const after = pool.run({ kind: 'echo', value: 4 });
    assert.deepEqual(await Promise.all([...before, after]), [1, 2, 3, 4]);
    assert.equal(pool.runSync({ kind: 'echo', value: i }), i);
  }
});

for (const options of [
  { maxTasksPerWorker: 3 },
  { concurrentTasksPerWorker: 4 },
  { workerHistogram: true },
  { maxQueue: 0 },
  { runtime: 'processes' },
]) {
  test(`calls of a pool with ${JSON.stringify(options)}`, WATCHDOG, async (t) => {
    const pool = await readyPool(t, options);
    amid(pool, (i) => assert.equal(pool.runSync({ kind: 'later', value: i }), i));
    if (!('maxTasksPerWorker' in options)) return;
    const destroyed = once(pool, 'workerDestroy');
    await Promise.all([1, 2, 3].map((value) => pool.run({ kind: 'echo', value })));
    await destroyed;
  });
}

test('no worker is called directly while a task is awaited that was asked to stop', WATCHDOG, async (t) => {
  const counts = countCalls(t);
  const pool = await readyPool(t, { minThreads: 2, maxThreads: 2, abortGraceMs: 60_000 });
  const controller = new AbortController();
  const { signal } = controller;
  const task = pool.run({ kind: 'hang' }, { signal, onProgress: () => controller.abort() });
  await assert.rejects(task, { name: 'AbortError' });
  assert.equal(pool.runSync({ kind: 'echo', value: 1 }), 1);
  assert.equal(counts.offered, 0);
});

test('a worker whose answer cannot be decoded is replaced', WATCHDOG, async (t) => {
  const { prototype } = requireAddon('Pool').PoolQueue;
  const { batch, callFunction } = prototype;
  /** @type {Uint8Array} */
  let bytes;
  let answered = 0;
  t.mock.method(
    prototype,
    'batch',
    /** @this {any} */ function () {
      const memory = batch.call(this);
      bytes = new Uint8Array(memory);
      return memory;
    },
  );
  t.mock.method(
    prototype,
    'callFunction',
    /** @this {any} */ function () {
      const call = callFunction.call(this);
      return () => {
        const length = call();
        // The result follows the header.
        if (length > 0 && answered++ === 0) bytes.fill(255, 32, length);
        return length;
      };
    },
  );
  const pool = await readyPool(t);
  const calls = async () => {
    while (answered === 0) {
      for (let i = 0; i < 20; i++) pool.runSync({ kind: 'echo', value: 1 });
      await setImmediate();
    }
  };
  const ended = once(pool, 'workerDestroy');
  await assert.rejects(calls(), { code: 'ERR_MANYCORE_LINK_CORRUPT' });
  await ended;
  assert.equal(pool.runSync({ kind: 'runs' }), 1);
});

test('a pool accepts calls while it is recycled, none once it closes', WATCHDOG, async (t) => {
  const pool = await readyPool(t);
  amid(pool, () => {});
  const recycled = pool.recycleWorkers();
  assert.equal(pool.runSync({ kind: 'echo', value: 1 }), 1);
  await recycled;
  amid(pool, () => {});
  const closed = pool.close();
  assert.throws(() => pool.runSync({ kind: 'echo', value: 1 }), { name: 'AbortError' });
  await closed;
});
