'use strict';

/* Options of a pool beyond piscina's, and their effects: none is accepted and ignored. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { execFile } = require('node:child_process');
const { once } = require('node:events');
const { test } = require('node:test');
const { setTimeout: delay } = require('node:timers/promises');
const { promisify } = require('node:util');
const { Pool } = require('..');
const { WATCHDOG, TASKS, fixture, makePool, raised, shared } = require('./support/pool');

/** @param {Int32Array} words words of a task that blocks */
function release(words) {
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
}

test('invalid option values are rejected', WATCHDOG, () => {
  for (const options of [
    { stdio: 'overlapped' },
    { batch: 0 },
    { batch: 1.5 },
    { taskStealing: 'yes' },
    { agingFactor: -1 },
    { agingFactor: '0.5' },
    { restartWorkerOnError: 1 },
    { setupArgs: 'x' },
    { workerChoiceStrategy: 'RANDOM' },
    { workerThreadOpts: 5 },
    { computeWorkerKey: 'key' },
    { queueStrategy: 'random' },
  ]) {
    const [name] = Object.keys(options);
    assert.throws(() => new Pool(options), { name: 'TypeError', message: new RegExp(`options\\.${name}`) });
  }
});

test('invalid task options are rejected at the call', WATCHDOG, async (t) => {
  const pool = makePool(t);
  const type = { code: 'ERR_INVALID_ARG_TYPE' };
  const range = { code: 'ERR_OUT_OF_RANGE' };
  for (const [options, expected] of [
    [{ timeoutMs: '10' }, type],
    [{ timeoutMs: -1 }, range],
    [{ timeoutMs: NaN }, range],
    [{ priority: '1' }, type],
    [{ priority: NaN }, range],
    [{ retries: 0.5 }, range],
    [{ retries: true }, type],
    [{ key: {} }, type],
    [{ onProgress: 'told' }, type],
  ]) {
    await assert.rejects(pool.run({ a: 1, b: 2 }, options), expected);
    assert.throws(() => pool.runSync({ a: 1, b: 2 }, options), expected);
    assert.throws(() => pool.exec((a) => a, [1], options), expected);
  }
  assert.throws(() => pool.exec((a) => a, [1], { on: 5 }), type);
  const options = { timeoutMs: Infinity, priority: -1, retries: 2, key: null };
  assert.equal(await pool.run({ a: 1, b: 2 }, options), 3);
});

test('exec() accepts every syntax of functions', WATCHDOG, async (t) => {
  const pool = makePool(t);
  // As written by minifiers.
  const sources = [
    'async()=>1',
    'async a=>1',
    'async=>1',
    'é=>1',
    '(a)=>1',
    'async(a,b)=>{return 1}',
    'function(){return 1}',
    'async function(){return 1}',
    '{async(){return 1}}.async',
    '{async*f(){yield 1}}.f',
    '{functional(){return 1}}.functional',
    '{classy(){return 1}}.classy',
    '{async async(){return 1}}.async',
  ];
  for (const source of sources) {
    const method = (0, eval)(`(${source})`);
    const result = pool.exec(method);
    if (source.includes('yield')) await assert.rejects(result, { name: 'DataCloneError' }, source);
    else assert.equal(await result, 1, source);
  }
});

test('exec() also accepts the options of run() under their own names', WATCHDOG, async (t) => {
  const pool = makePool(t);
  const bytes = new Uint8Array(8);
  /** @type {any[]} */
  const told = [];
  const length = await pool.exec(
    async (/** @type {Uint8Array} */ given, /** @type {string} */ manycore) => {
      const { workerEmit } = await import(manycore);
      workerEmit('begun');
      return given.length;
    },
    [bytes, path.join(__dirname, '..', 'index.js')],
    { transferList: [bytes.buffer], onProgress: (/** @type {any} */ what) => told.push(what) },
  );
  assert.deepEqual([length, bytes.length, told], [8, 0, ['begun']]);
});

test('batch and taskStealing change which worker runs a task, not its result', WATCHDOG, async (t) => {
  for (const options of [{ batch: 1 }, { batch: 1024 }, { taskStealing: false }]) {
    const pool = makePool(t, { minThreads: 2, maxThreads: 2, ...options });
    const sums = await Promise.all(Array.from({ length: 3000 }, (_, a) => pool.run({ a, b: 1 })));
    assert.deepEqual(
      sums,
      Array.from({ length: 3000 }, (_, a) => a + 1),
    );
  }
});

test("stdio: 'pipe' forwards output of workers to the streams of the thread", WATCHDOG, async (t) => {
  const pool = makePool(t, { stdio: 'pipe' });
  const [{ stdout, stderr }] = pool.threads;
  const printed = Promise.all([once(stdout, 'data'), once(stderr, 'data')]);
  await pool.exec(() => {
    process.stdout.write('out');
    process.stderr.write('err');
  });
  assert.deepEqual((await printed).map(String), ['out', 'err']);
});

test("stdio: 'ignore' discards output", WATCHDOG, async () => {
  const program = (/** @type {string} */ stdio) => `
    const { Pool } = require(${JSON.stringify(path.join(__dirname, '..'))});
    const pool = new Pool({ maxThreads: 1, minThreads: 1, stdio: '${stdio}' });
    pool.exec(() => console.log('printed')).then(() => pool.close());`;
  const outputs = ['ignore', 'inherit'].map((stdio) =>
    promisify(execFile)(process.execPath, ['-e', program(stdio)]),
  );
  const [ignored, inherited] = await Promise.all(outputs);
  assert.deepEqual([ignored.stdout, inherited.stdout], ['', 'printed\n']);
});

for (const strategy of ['ROUND_ROBIN', 'LEAST_USED']) {
  test(`workerChoiceStrategy: ${strategy} alternates between workers`, WATCHDOG, async (t) => {
    const pool = makePool(t, { minThreads: 2, maxThreads: 2, workerChoiceStrategy: strategy });
    const ids = [];
    for (let i = 0; i < 6; i++) ids.push(await pool.run(null, { name: 'who' }));
    const [a, b] = ids;
    assert.notEqual(a, b);
    assert.deepEqual(ids, [a, b, a, b, a, b]);
  });
}

for (const strategy of ['LEAST_BUSY', 'FAIR_SHARE']) {
  test(
    `workerChoiceStrategy: ${strategy} avoids the worker that has been busy longest`,
    WATCHDOG,
    async (t) => {
      const pool = makePool(t, { minThreads: 2, maxThreads: 2, workerChoiceStrategy: strategy });
      const busyMs = () => pool.stats().workers.map((worker) => worker.busyMs > 0);
      await pool.run(20, { name: 'later' });
      const [first, second] = busyMs();
      assert.equal(first !== second, true);
      await pool.run(20, { name: 'later' });
      assert.deepEqual(busyMs(), [true, true]);
    },
  );
}

test('workerChoiceStrategy: LEAST_ELU runs all tasks', WATCHDOG, async (t) => {
  const pool = makePool(t, { minThreads: 2, maxThreads: 2, workerChoiceStrategy: 'LEAST_ELU' });
  const sums = await Promise.all(Array.from({ length: 50 }, (_, a) => pool.run({ a, b: 1 })));
  assert.equal(sums.at(-1), 50);
});

test(
  'agingFactor: a task that has waited long enough overtakes one of higher priority',
  WATCHDOG,
  async (t) => {
    const order = async (/** @type {number} */ agingFactor) => {
      const pool = makePool(t, { agingFactor });
      const words = shared();
      const blocked = pool.run(words, { name: 'block' });
      await raised(words, 1);
      /** @type {string[]} */
      const done = [];
      const queue = (/** @type {string} */ name, /** @type {number} */ priority) =>
        pool.run({ a: 1, b: 1 }, { priority }).then(() => done.push(name));
      const tasks = [queue('first', 0)];
      await delay(30);
      tasks.push(queue('second', 5), queue('urgent', 1e6));
      release(words);
      await Promise.all([blocked, ...tasks]);
      return done;
    };
    assert.deepEqual(await order(0), ['urgent', 'second', 'first']);
    assert.deepEqual(await order(1), ['urgent', 'first', 'second']);
  },
);

test('restartWorkerOnError: false defers the replacement until the next task', WATCHDOG, async (t) => {
  const pool = makePool(t, { restartWorkerOnError: false });
  await assert.rejects(pool.run(7, { name: 'exit' }), /worker exited with code: 7/);
  assert.equal(pool.threads.length, 0);
  assert.equal(await pool.run({ a: 1, b: 2 }), 3);
  assert.equal(pool.threads.length, 1);
  const other = makePool(t);
  await assert.rejects(other.run(7, { name: 'exit' }), /worker exited with code: 7/);
  assert.equal(other.threads.length, 1);
});

test('restartWorkerOnError: false rejects tasks that no worker is left to run', WATCHDOG, async (t) => {
  const pool = makePool(t, { restartWorkerOnError: false });
  const tasks = [pool.run(7, { name: 'exit' }), pool.run({ a: 1, b: 1 }), pool.run({ a: 1, b: 1 })];
  for (const task of await Promise.allSettled(tasks)) assert.match(String(task.reason), /code: 7/);
});

test('setupArgs: the exported setup() is awaited before the first task', WATCHDOG, async (t) => {
  const filename = fixture('setup.js');
  assert.equal(await makePool(t, { filename, setupArgs: ['a', 2] }).run(), 'a 2');
  assert.equal(await makePool(t, { filename }).run(), 'not set up');
  await assert.rejects(makePool(t, { filename, setupArgs: ['fail'] }).run(), /the setup failed/);
  await assert.rejects(makePool(t, { setupArgs: [] }).run(), /Unknown method "setup"/);
});

test('busy and busyEnd are emitted once each', WATCHDOG, async (t) => {
  const pool = makePool(t);
  /** @type {string[]} */
  const told = [];
  for (const name of ['busy', 'busyEnd']) pool.on(name, () => told.push(name));
  const ended = once(pool, 'busyEnd');
  await Promise.all([1, 2, 3].map((a) => pool.run({ a, b: 1 })));
  await ended;
  assert.deepEqual(told, ['busy', 'busyEnd']);
});

test('task metadata reaches a custom queue', WATCHDOG, async (t) => {
  /** @type {any[]} */
  const tasks = [];
  const taskQueue = {
    get size() {
      return tasks.length;
    },
    shift: () => tasks.sort((a, b) => b.metadata.weight - a.metadata.weight).shift() ?? null,
    push: (/** @type {any} */ task) => void tasks.push(task),
    remove: (/** @type {any} */ task) => void tasks.splice(tasks.indexOf(task), 1),
  };
  const pool = makePool(t, { taskQueue });
  const words = shared();
  const blocked = pool.exec('block', [words], { metadata: { weight: 0 } });
  await raised(words, 1);
  /** @type {number[]} */
  const done = [];
  const queued = [1, 3, 2].map((weight) =>
    pool.exec('echo', [weight], { metadata: { weight } }).then((value) => done.push(value)),
  );
  release(words);
  await Promise.all([blocked, ...queued]);
  assert.deepEqual(done, [3, 2, 1]);
});

test('workerThreadOpts are passed to new Worker()', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: TASKS, workerThreadOpts: { workerData: { a: 5 } } });
  assert.deepEqual(await pool.run(null, { name: 'data' }), { a: 5 });
});
