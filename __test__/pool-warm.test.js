'use strict';

/* `Pool.warm`: threads that are ready before the pool is created; and what workers of pools load. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const { SHARE_ENV, Worker, setEnvironmentData } = require('node:worker_threads');
const { Pool } = require('..');
const { MODULES } = require('../lib/pool/worker-code');
const { WATCHDOG, fixture, makePool } = require('./support/pool');
const { runOk } = require('./package-helpers');

const ROOT = path.join(__dirname, '..');
const ONE = { filename: fixture('ahead.js'), minThreads: 1, maxThreads: 1 };

test.afterEach(() => Pool.warm(0));

/**
 * Creates a pool of one worker, and tells whether its thread existed before.
 * @param {import('node:test').TestContext} t
 * @param {any} [options]
 */
function make(t, options) {
  // Thread ids increase in the order of starts.
  const { threadId } = new Worker('', { eval: true });
  const pool = makePool(t, { ...ONE, ...options });
  return { pool, isTaken: pool.threads[0].threadId < threadId };
}

test('a pool takes over a warm thread that has loaded its task file', WATCHDOG, async (t) => {
  await Pool.warm(1, ONE);
  const { pool, isTaken } = make(t);
  assert.ok(isTaken);
  const messages = [];
  pool.on('message', (message) => messages.push(message));
  const { task, loaded, workerId } = await pool.run({ a: 1 });
  assert.deepEqual(task, { a: 1 });
  assert.deepEqual(messages, ['loaded'], 'messages sent before the pool existed were lost');
  assert.ok(workerId > 0);
  assert.deepEqual(
    { ...loaded },
    {
      workerId,
      isWorkerThread: true,
      workerData: loaded.workerData,
      given: undefined,
      data: undefined,
      argv: [],
    },
  );
  assert.equal(await pool.run(null, { name: 'other' }), 'other');
});

test('a rehearsal has no effects visible to the program', WATCHDOG, async (t) => {
  const emitted = t.mock.method(process, 'emit');
  await Pool.warm(1, ONE);
  assert.deepEqual(
    emitted.mock.calls.map(({ arguments: [name] }) => name).filter((name) => name === 'worker'),
    [],
  );
  const { pool, isTaken } = make(t);
  assert.ok(isTaken);
  assert.deepEqual(Object.keys(await pool.proxy()).sort(), ['exit', 'other']);
  assert.deepEqual([pool.completed, pool.stats().totalWorkers, pool.histogram.runTime.max > 0], [1, 1, true]);
});

test('threads discarded during their rehearsal are terminated', WATCHDOG, async () => {
  for (let i = 0; i < 10; i++) {
    const kept = Pool.warm(1, ONE);
    // At a different point of their start each time.
    for (let turns = 0; turns < i * 40; turns++) await new Promise(setImmediate);
    await Pool.warm(0);
    await kept;
  }
});

test('each warm thread serves one pool and is then replaced', WATCHDOG, async (t) => {
  await Pool.warm(2, ONE);
  const ids = new Set();
  for (let round = 0; round < 6; round++) {
    const { pool, isTaken } = make(t);
    assert.ok(isTaken || round >= 2);
    ids.add((await pool.run(0)).threadId);
    await pool.close();
    await Pool.warm(2, ONE);
  }
  assert.equal(ids.size, 6);
});

test('a pool takes warm threads as it grows and to replace exited workers', WATCHDOG, async (t) => {
  await Pool.warm(2, ONE);
  const { pool, isTaken } = make(t);
  assert.ok(isTaken);
  const { threadId } = new Worker('', { eval: true });
  await assert.rejects(pool.run(0, { name: 'exit' }), /exited with code: 3/);
  const next = await pool.run(0);
  assert.ok(next.threadId < threadId);
});

test('only pools with identical thread options take warm threads', WATCHDOG, async (t) => {
  const workerData = { of: 'warm' };
  const env = { MANYCORE_TEST_AHEAD: 'given' };
  const options = { ...ONE, workerData, env, argv: ['x'], resourceLimits: { maxOldGenerationSizeMb: 64 } };
  await Pool.warm(1, options);
  /** @type {any[]} */
  const others = [
    { workerData: { of: 'warm' } },
    { env: { MANYCORE_TEST_AHEAD: 'another' } },
    { env: SHARE_ENV },
    { argv: [] },
    { resourceLimits: { maxOldGenerationSizeMb: 65 } },
    { execArgv: ['--no-warnings'] },
    { trackUnmanagedFds: false },
    { name: 'other' },
    { filename: fixture('tasks.js') },
    { stdio: 'pipe' },
    { workerThreadOpts: { name: 'named' } },
    { onCreateWorker: () => {} },
  ];
  for (const other of others) {
    const { pool, isTaken } = make(t, { ...options, ...other });
    assert.ok(!isTaken, `a pool with other ${Object.keys(other)} took the thread`);
    await pool.destroy();
  }
  const { pool, isTaken } = make(t, {
    ...options,
    env: { ...env },
    argv: ['x'],
    maxQueue: 9,
    taskTimeoutMs: 9e4,
  });
  assert.ok(isTaken);
  const { loaded } = await pool.run(0);
  assert.deepEqual([loaded.given, loaded.argv, loaded.workerData], ['given', ['x'], workerData]);
});

test('a warm thread is not used if an option object has changed since', WATCHDOG, async (t) => {
  const env = { MANYCORE_TEST_AHEAD: 'before' };
  await Pool.warm(1, { ...ONE, env });
  env.MANYCORE_TEST_AHEAD = 'after';
  const { pool, isTaken } = make(t, { env });
  assert.ok(!isTaken);
  assert.equal((await pool.run(0)).loaded.given, 'after');
});

test('changes to the environment reach pools', WATCHDOG, async (t) => {
  t.after(() => {
    delete process.env.MANYCORE_TEST_AHEAD;
    setEnvironmentData('ahead', undefined);
  });
  await Pool.warm(1, ONE);
  process.env.MANYCORE_TEST_AHEAD = 'changed';
  const first = make(t);
  assert.ok(!first.isTaken);
  assert.equal((await first.pool.run(0)).loaded.given, 'changed');
  await Pool.warm(1, ONE);
  setEnvironmentData('ahead', 5);
  const second = make(t);
  assert.ok(!second.isTaken);
  assert.equal((await second.pool.run(0)).loaded.data, 5);
  await Pool.warm(1, ONE);
  const third = make(t);
  assert.ok(third.isTaken);
  const { loaded } = await third.pool.run(0);
  assert.deepEqual([loaded.given, loaded.data], ['changed', 5]);
});

test("the 'worker' event is emitted when a pool takes a thread", WATCHDOG, async (t) => {
  const heard = [];
  const hear = (/** @type {any} */ worker) => heard.push(worker.threadId);
  process.on('worker', hear);
  t.after(() => process.off('worker', hear));
  await Pool.warm(1, ONE);
  assert.deepEqual(heard, []);
  const pool = makePool(t, ONE);
  const { threadId } = await pool.run(0);
  assert.ok(heard.includes(threadId));
});

test('setup() runs when a pool takes the thread', WATCHDOG, async (t) => {
  const options = { filename: fixture('setup.js'), minThreads: 1, maxThreads: 1 };
  await Pool.warm(1, options);
  const { pool, isTaken } = make(t, { ...options, setupArgs: ['a', 'b'] });
  assert.ok(isTaken);
  assert.equal(await pool.run(0), 'a b');
});

test('a file that cannot be loaded is reported to the caller', WATCHDOG, async (t) => {
  await assert.rejects(Pool.warm(1, { filename: fixture('broken.js') }), /cannot be loaded/);
  await assert.rejects(Pool.warm(1, { filename: fixture('missing.js') }), { code: 'ERR_MODULE_NOT_FOUND' });
  const { pool, isTaken } = make(t);
  assert.ok(!isTaken);
  await pool.run(0);
});

test('arguments are validated', WATCHDOG, async () => {
  await assert.rejects(Pool.warm(/** @type {any} */ ('1')), { code: 'ERR_INVALID_ARG_TYPE' });
  await assert.rejects(Pool.warm(-1), { code: 'ERR_OUT_OF_RANGE' });
  await assert.rejects(Pool.warm(1.5), { code: 'ERR_OUT_OF_RANGE' });
  await assert.rejects(Pool.warm(1, { runtime: 'processes' }), TypeError);
  await assert.rejects(Pool.warm(1, { onCreateWorker: () => {} }), TypeError);
  await assert.rejects(Pool.warm(1, /** @type {any} */ ({ maxThreads: 'x' })), TypeError);
  await Pool.warm(0, ONE);
});

test('lowering the number removes warm threads, and none keeps the process alive', WATCHDOG, async () => {
  const program = `
    const { Pool } = require(${JSON.stringify(ROOT)});
    const options = ${JSON.stringify(ONE)};
    (async () => {
      await Pool.warm(2, options);
      await Pool.warm(1, options);
      await Pool.warm(1, options.filename);
      console.log('ready');
    })();`;
  const stdout = await runOk(process.execPath, ['-e', program], { cwd: ROOT });
  assert.equal(stdout.trim(), 'ready');
});

test('the code compiled ahead for workers is exactly what they load', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: null });
  await pool.exec('methods');
  const files = /** @type {string[]} */ (
    await pool.exec(() => Object.keys(process.mainModule?.constructor._cache))
  );
  const own = files.filter((file) => file.startsWith(path.join(ROOT, 'lib')) && file.endsWith('.js'));
  const names = own.map((file) => path.relative(path.join(ROOT, 'lib'), file).slice(0, -3));
  const unshared = ['core/own-code', 'pool/foreign', 'pool/worker'];
  assert.deepEqual(names.filter((name) => !unshared.includes(name)).sort(), [...MODULES].sort());
});
