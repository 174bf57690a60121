'use strict';

/* A pool with worker processes: the same API as with threads, and features specific to processes. */

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { once } = require('node:events');
const { readFileSync, readdirSync } = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { promisify } = require('node:util');
const { SHARE_ENV, Worker } = require('node:worker_threads');
const { Pool } = require('..');
const { begun, makeGate } = require('./support/gate');
const { WATCHDOG, fixture, makePool: makeAnyPool } = require('./support/pool');

/**
 * @param {import('node:test').TestContext} t
 * @param {any} [options]
 */
const makePool = (t, options) =>
  makeAnyPool(t, { filename: fixture('processes.js'), runtime: 'processes', ...options });

/**
 * A pool whose only worker is busy until the gate opens.
 * @param {import('node:test').TestContext} t
 * @param {any} [options]
 */
async function busyPool(t, options) {
  const pool = makePool(t, options);
  const gate = makeGate(t);
  const { promise, onProgress } = begun();
  const running = pool.run(gate.file, { name: 'block', onProgress });
  await promise;
  return { pool, gate, running };
}

/**
 * For waits on events of a pool, which does not keep this process alive. @param {import('node:test').TestContext} t
 */
function stayAlive(t) {
  const alive = setInterval(() => {}, 1000);
  t.after(() => clearInterval(alive));
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('tasks run in separate processes', WATCHDOG, async (t) => {
  const pool = makePool(t, { minThreads: 2, maxThreads: 2 });
  const pids = await pool.broadcast(null, { name: 'pid' });
  assert.equal(new Set([...pids, process.pid]).size, 3);
  const { threads } = pool;
  assert.deepEqual(threads.map((/** @type {any} */ child) => child.pid).sort(), pids.sort());
  const stats = pool.stats();
  assert.deepEqual(stats.workers.map((/** @type {any} */ each) => each.threadId).sort(), pids.sort());
  assert.equal(stats.completedTasks, 2);
});

test('every alias of the processes runtime is accepted', WATCHDOG, () => {
  for (const options of [{ runtime: 'child_process' }, { workerType: 'process' }]) {
    const pool = new Pool(/** @type {any} */ ({ ...options, minThreads: 0 }));
    assert.equal(pool.options.runtime, 'processes');
  }
});

test('exec(), proxy(), map(), stream() and runSync() behave as with threads', WATCHDOG, async (t) => {
  const pool = makePool(t, { minThreads: 2, maxThreads: 2 });
  assert.equal(await pool.exec('add', [3, 4]), 7);
  assert.equal(await pool.exec((/** @type {number} */ a, /** @type {number} */ b) => a * b, [6, 7]), 42);
  assert.equal(await (await pool.proxy()).add(1, 2), 3);
  const items = Array.from({ length: 1000 }, (_, i) => ({ i, text: `item ${i}` }));
  assert.deepEqual(await pool.map(items), items);
  const seen = [];
  for await (const item of pool.stream(items.slice(0, 50), { ordered: true })) seen.push(item);
  assert.deepEqual(seen, items.slice(0, 50));
  const waiting = pool.run('beside');
  assert.deepEqual(pool.runSync({ a: [1, 2] }), { a: [1, 2] });
  assert.equal(await waiting, 'beside');
  assert.throws(() => pool.runSync('message', { name: 'fail' }), { name: 'RangeError', code: 'EFAIL' });
});

test('a task reports its progress', WATCHDOG, async (t) => {
  const pool = makePool(t);
  /** @type {number[]} */
  const seen = [];
  assert.equal(await pool.run(3, { name: 'count', onProgress: (/** @type {any} */ i) => seen.push(i) }), 3);
  assert.deepEqual(seen, [1, 2, 3]);
});

test('values are cloned as between processes', WATCHDOG, async (t) => {
  const pool = makePool(t);
  const cyclic = { self: /** @type {any} */ (null) };
  cyclic.self = cyclic;
  const values = [
    undefined,
    [1, , 3], // eslint-disable-line no-sparse-arrays
    new Map([[{ a: 1 }, new Set([1n, -0])]]),
    new Date(5),
    /x/gi,
    Buffer.from('text'),
    new Float64Array([1.5, NaN]),
    new DataView(new ArrayBuffer(4)),
    Object(true),
    new Error('an error', { cause: 5 }),
    'é'.repeat(200_000),
    new Uint8Array(3_000_000).fill(9),
    cyclic,
  ];
  for (const value of values) assert.deepEqual(await pool.run(value), value);
  const half = new Uint8Array(new ArrayBuffer(1000), 10, 5);
  assert.equal((await pool.run(half)).buffer.byteLength, 5);
});

test('unsendable values are rejected by name and do no further harm', WATCHDOG, async (t) => {
  const pool = makePool(t);
  const [pid] = await pool.broadcast(null, { name: 'pid' });
  const { port1, port2 } = new MessageChannel();
  const refused = { name: 'DataCloneError', code: 25 };
  await assert.rejects(pool.run(port1), {
    ...refused,
    message: 'MessagePort cannot be sent to another process',
  });
  await assert.rejects(pool.run({ deep: [new SharedArrayBuffer(8)] }), refused);
  await assert.rejects(
    pool.run(() => {}),
    refused,
  );
  await assert.rejects(pool.run(1, { transferList: [port1] }), refused);
  for (const what of ['function', 'port', 'shared']) {
    await assert.rejects(pool.run(what, { name: 'returned' }), { name: 'DataCloneError' });
  }
  assert.throws(() => makePool(t, { workerData: () => {} }), { name: 'DataCloneError' });
  assert.equal(await pool.run(null, { name: 'pid' }), pid);
  assert.equal(pool.stats().pendingTasks, 0);
  port1.close();
  port2.close();
});

test('transferred buffers are sent as copies and detached', WATCHDOG, async (t) => {
  const pool = makePool(t);
  const bytes = new Uint8Array([1, 2, 3]);
  assert.deepEqual(await pool.run(bytes, { transferList: [bytes.buffer] }), new Uint8Array([1, 2, 3]));
  assert.equal(bytes.length, 0);
  const moved = new Uint8Array([4]);
  await pool.run(/** @type {any} */ (Pool).move(moved));
  assert.equal(moved.length, 0);
  assert.deepEqual(await pool.run(null, { name: 'moved' }), new Uint8Array(1000).fill(5));
});

test('process options set environment, arguments, working directory and data', WATCHDOG, async (t) => {
  const { folder } = makeGate(t);
  const pool = makePool(t, {
    env: { ...process.env, POOL_TEST: 'here' },
    argv: ['one', 2],
    execArgv: ['--no-deprecation'],
    cwd: folder,
    workerData: { since: new Date(7) },
    resourceLimits: { maxOldGenerationSizeMb: 100 },
  });
  const about = await pool.run(null, { name: 'about' });
  assert.ok(about.workerId > 0);
  assert.deepEqual(about, {
    isWorkerThread: true,
    workerData: { since: new Date(7) },
    workerId: about.workerId,
    env: 'here',
    argv: ['one', '2'],
    execArgv: ['--no-deprecation', '--max-old-space-size=100'],
    cwd: folder,
  });
});

test('workerpool’s hooks and fork() options are accepted', WATCHDOG, async (t) => {
  /** @type {any[]} */
  const ended = [];
  const pool = makePool(t, {
    forkArgs: ['given'],
    forkOpts: { env: { ...process.env, POOL_TEST: 'opts' } },
    onCreateWorker: () => ({ forkOpts: { env: { ...process.env, POOL_TEST: 'hook' } } }),
    onTerminateWorker: (/** @type {any} */ { argv }) => ended.push(argv),
  });
  const { argv, env } = await pool.run(null, { name: 'about' });
  assert.deepEqual([argv, env], [['given'], 'hook']);
  await pool.destroy();
  assert.deepEqual(ended, [['given']]);
});

test('invalid options are rejected', () => {
  const make = (/** @type {any} */ options) => new Pool({ minThreads: 0, ...options });
  assert.throws(() => make({ runtime: 'fibers' }), {
    name: 'TypeError',
    message: "options.runtime must be 'threads' or 'processes'",
  });
  assert.throws(() => make({ runtime: 'processes', env: SHARE_ENV }), TypeError);
  assert.throws(() => make({ cwd: '/' }), { message: "options.cwd is only for runtime 'processes'" });
  assert.throws(() => make({ stdio: ['pipe'] }), TypeError);
});

test('output of workers can be received as events, or through stdio', WATCHDOG, async (t) => {
  const pool = makePool(t, { emitStdStreams: true });
  const printed = Promise.all([once(pool, 'stdout'), once(pool, 'stderr')]);
  await pool.run(null, { name: 'print' });
  assert.deepEqual(
    (await printed).map(([text]) => text),
    ['to stdout\n', 'to stderr\n'],
  );
  stayAlive(t);
  const piped = makePool(t, { stdio: ['ignore', 'pipe', 'ignore'] });
  const [child] = piped.threads;
  const data = once(child.stdout, 'data');
  await piped.run(null, { name: 'print' });
  assert.equal(String((await data)[0]), 'to stdout\n');
});

test('messages of a worker are emitted as events of the pool', WATCHDOG, async (t) => {
  const pool = makePool(t);
  stayAlive(t);
  const message = once(pool, 'message');
  await pool.run({ hello: new Set([1]) }, { name: 'send' });
  assert.deepEqual(await message, [{ hello: new Set([1]) }]);
});

test('a task rejects with the reason its process exited', WATCHDOG, async (t) => {
  const pool = makePool(t);
  await assert.rejects(pool.run(7, { name: 'exit' }), { message: 'worker exited with code: 7' });
  await assert.rejects(pool.run('SIGKILL', { name: 'kill' }), {
    message: 'worker killed by signal: SIGKILL',
    signal: 'SIGKILL',
  });
  await assert.rejects(pool.run(null, { name: 'unhandled' }), {
    name: 'TypeError',
    message: 'left alone',
    code: 'ELEFT',
  });
  await assert.rejects(pool.run('whole', { name: 'fail' }), {
    name: 'RangeError',
    message: 'whole',
    code: 'EFAIL',
    detail: { at: 7 },
  });
  assert.equal(await pool.run(5), 5);
});

test('a process that runs out of memory fails only its own task', WATCHDOG, async (t) => {
  const pool = makePool(t, {
    maxThreads: 2,
    resourceLimits: { maxOldGenerationSizeMb: 32 },
    stdio: 'ignore',
  });
  const grown = assert.rejects(
    pool.run(null, { name: 'grow' }),
    /worker (killed by signal|exited with code)/,
  );
  assert.deepEqual(await pool.map([1, 2, 3]), [1, 2, 3]);
  await grown;
  assert.equal(await pool.run(4), 4);
});

test(
  'a file that cannot be loaded and a program that cannot be started are reported',
  WATCHDOG,
  async (t) => {
    const broken = makePool(t, { filename: fixture('broken.js'), minThreads: 0 });
    await assert.rejects(broken.run(1), (/** @type {any} */ error) => !/exited/.test(error.message));
    const missing = makePool(t, { minThreads: 0, forkOpts: { execPath: '/nowhere/node' } });
    await assert.rejects(missing.run(1), { code: 'ENOENT' });
    assert.equal(missing.threads.length, 0);
  },
);

test('tasks reject if the system forbids to watch processes', WATCHDOG, async (t) => {
  const { PoolQueue } = require('../lib/core/addon').loadAddon();
  t.mock.method(PoolQueue.prototype, 'spawned', () => {
    throw new Error('1 Operation not permitted (os error 1)');
  });
  const pool = makePool(t, { maxThreads: 1 });
  pool.on('error', () => {});
  await assert.rejects(
    pool.exec(() => 1),
    {
      code: 'EPERM',
      syscall: 'pidfd_open',
      message: 'EPERM: operation not permitted, pidfd_open',
    },
  );
});

test('processes of a program given with -e do not run it again', WATCHDOG, async () => {
  const program = `
    if (process.env.IS_WORKER) process.exit(7);
    process.env.IS_WORKER = '1';
    const { Pool } = require('manycore');
    const resourceLimits = { maxOldGenerationSizeMb: 64 };
    const pool = new Pool({ runtime: 'processes', maxThreads: 1, resourceLimits });
    pool.exec((text) => [text, process.execArgv], ['done']).then(([text, options]) => {
      console.log(text, options.join());
      return pool.close();
    });`;
  const args = ['--no-warnings', '-e', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: path.join(__dirname, '..') });
  assert.equal(stdout, 'done --no-warnings,--max-old-space-size=64\n');
});

test('a task is retried when its process is killed', WATCHDOG, async (t) => {
  const pool = makePool(t);
  const { folder } = makeGate(t);
  const run = (/** @type {string} */ name, /** @type {number} */ retries) =>
    pool.run(path.join(folder, name), { name: 'killOnce', retries });
  assert.equal(await run('a', 1), 'second try');
  await assert.rejects(run('b', 0), /SIGKILL/);
  const bytes = new Uint8Array(10);
  const again = pool.run(path.join(folder, 'c'), {
    name: 'killOnce',
    retries: 1,
    transferList: [bytes.buffer],
  });
  assert.equal(await again, 'second try');
});

test('tasks that a dead process had not started run on others', WATCHDOG, async (t) => {
  const { pool, running } = await busyPool(t);
  const lost = assert.rejects(running, /SIGKILL/);
  const others = Promise.all(Array.from({ length: 200 }, (_, i) => pool.run(i)));
  pool.threads[0].kill('SIGKILL');
  await lost;
  assert.deepEqual(
    await others,
    Array.from({ length: 200 }, (_, i) => i),
  );
});

test('runSync() throws when its process exits', WATCHDOG, async (t) => {
  const pool = makePool(t);
  assert.throws(() => pool.runSync(3, { name: 'exit' }), /worker exited/);
  assert.equal(pool.runSync('next'), 'next');
});

test('an abort reaches a task even in a loop that never yields', WATCHDOG, async (t) => {
  const pool = makePool(t, { abortGraceMs: 60_000 });
  const [pid] = await pool.broadcast(null, { name: 'pid' });
  const controller = new AbortController();
  const { promise, onProgress } = begun();
  const task = pool.run(null, { name: 'untilAborted', signal: controller.signal, onProgress });
  await promise;
  controller.abort();
  await assert.rejects(task, { name: 'AbortError' });
  assert.equal(await pool.run(null, { name: 'pid' }), pid);
});

test(
  'a task that does not stop is ended with its process, without affecting other processes',
  WATCHDOG,
  async (t) => {
    const pool = makePool(t, { minThreads: 2, maxThreads: 2, abortGraceMs: 10 });
    const { promise, onProgress } = begun();
    const forever = pool.exec('forever', [], { on: onProgress });
    await promise;
    const others = pool.map(Array.from({ length: 500 }, (_, i) => i));
    forever.cancel();
    await assert.rejects(forever, { name: 'CancellationError' });
    assert.equal((await others).length, 500);
    const error = { name: 'TimeoutError', code: 'ERR_MANYCORE_TASK_TIMED_OUT' };
    await assert.rejects(pool.run(null, { name: 'forever', timeoutMs: 20 }), error);
    assert.equal(await pool.run('still there'), 'still there');
  },
);

test('pending tasks are cancelled, running ones are not', WATCHDOG, async (t) => {
  const { pool, gate, running } = await busyPool(t);
  const waiting = [1, 2, 3].map((i) => assert.rejects(pool.run(i), /has been cancelled/));
  pool.cancelPendingTasks();
  await Promise.all(waiting);
  gate.open();
  assert.equal(await running, 'released');
  assert.equal(await pool.run(4), 4);
});

test('tasks run by priority, those of equal priority in order', WATCHDOG, async (t) => {
  const { pool, gate, running } = await busyPool(t);
  /** @type {number[]} */
  const order = [];
  const run = (/** @type {number} */ id, /** @type {number} */ priority) =>
    pool.run(id, { priority }).then((/** @type {number} */ done) => order.push(done));
  const all = [run(1, 0), run(2, -1), run(3, 5), run(4, 0), run(5, 5)];
  gate.open();
  await Promise.all([running, ...all]);
  assert.deepEqual(order, [3, 5, 1, 4, 2]);
});

test('tasks with the same key run on the same process', WATCHDOG, async (t) => {
  const pool = makePool(t, { minThreads: 3, maxThreads: 3 });
  const pidOf = (/** @type {string} */ key) => pool.run(null, { name: 'pid', key });
  const first = await Promise.all(['a', 'b', 'c', 'd'].map(pidOf));
  assert.deepEqual(await Promise.all(['a', 'b', 'c', 'd'].map(pidOf)), first);
});

test('concurrent tasks per worker and a custom queue are supported', WATCHDOG, async (t) => {
  const pool = makePool(t, { concurrentTasksPerWorker: 4 });
  const times = await Promise.all([5, 4, 3, 2, 1].map((ms) => pool.run(ms, { name: 'later' })));
  assert.deepEqual(times, [5, 4, 3, 2, 1]);
  const lifo = makePool(t, { queueStrategy: 'lifo', maxThreads: 2 });
  assert.deepEqual(await Promise.all([1, 2, 3].map((i) => lifo.run(i))), [1, 2, 3]);
});

test('processes are recycled by task count, memory and age', WATCHDOG, async (t) => {
  stayAlive(t);
  const byTasks = makePool(t, { maxTasksPerWorker: 2 });
  const pids = [];
  for (let i = 0; i < 4; i++) pids.push(await byTasks.run(null, { name: 'pid' }));
  assert.ok(pids[0] === pids[1] && pids[1] !== pids[2] && pids[2] === pids[3]);

  const byMemory = makePool(t, { maxMemoryLimitBeforeRecycle: 200 * 1024 * 1024 });
  const recycled = once(byMemory, 'workerRecycle');
  const fat = await byMemory.run(300 * 1024 * 1024, { name: 'keep' });
  await recycled;
  assert.notEqual(await byMemory.run(null, { name: 'pid' }), fat);

  const byAge = makePool(t, { maxWorkerAgeMs: 50 });
  const old = await byAge.run(null, { name: 'pid' });
  await once(byAge, 'workerRecycle');
  assert.notEqual(await byAge.run(null, { name: 'pid' }), old);
});

test('resize(), warm spares and recycleWorkers() work with processes', WATCHDOG, async (t) => {
  stayAlive(t);
  const pool = makePool(t, { minThreads: 1, maxThreads: 3, warmSpares: 1 });
  assert.equal(pool.threads.length, 2);
  pool.resize({ min: 3, max: 3 });
  assert.equal(pool.threads.length, 3);
  const before = await pool.broadcast(null, { name: 'pid' });
  await pool.recycleWorkers();
  const after = await pool.broadcast(null, { name: 'pid' });
  assert.equal(new Set([...before, ...after]).size, 6);
  pool.resize({ min: 1, max: 1 });
  while (pool.threads.length > 1) await once(pool, 'workerDestroy');
  assert.equal(await pool.run(1), 1);
});

test('teardown runs in workers before they exit', WATCHDOG, async (t) => {
  const { file } = makeGate(t);
  const pool = makePool(t, { teardown: 'teardown', env: { ...process.env, POOL_TEST: file } });
  await pool.run(1);
  await pool.close();
  assert.equal(readFileSync(file, 'utf8'), 't');
});

test('a process that writes corrupt records is terminated and replaced', WATCHDOG, async (t) => {
  const pool = makePool(t);
  stayAlive(t);
  pool.on('error', () => {});
  await assert.rejects(pool.run(null, { name: 'scribble' }), { code: 'ERR_MANYCORE_LINK_CORRUPT' });
  // Its replacement works.
  while (pool.threads.length === 0) await once(pool, 'ready');
  assert.deepEqual(await pool.run({ any: 'thing' }), { any: 'thing' });
});

test('pools of processes work inside threads and inside processes of pools', WATCHDOG, async (t) => {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { Pool } = require(workerData.index);
    const pool = new Pool({ filename: workerData.filename, runtime: 'processes', minThreads: 1, maxThreads: 1 });
    pool.run('from a thread').then((value) => pool.close().then(() => parentPort.postMessage(value)));`;
  const thread = new Worker(source, {
    eval: true,
    workerData: { index: require.resolve('..'), filename: fixture('processes.js') },
  });
  // Both may occur in one turn of the event loop.
  const exited = once(thread, 'exit');
  assert.deepEqual(await once(thread, 'message'), ['from a thread']);
  await exited;
  const outer = makePool(t);
  const inner = await outer.exec(
    async (/** @type {string} */ index, /** @type {string} */ filename) => {
      const { Pool: Inner } = process.getBuiltinModule
        ? process.getBuiltinModule('node:module').createRequire(index)(index)
        : require('node:module').createRequire(index)(index);
      const pool = new Inner({ filename, runtime: 'processes', minThreads: 1, maxThreads: 1 });
      const pid = await pool.run(null, { name: 'pid' });
      await pool.close();
      return [process.pid, pid];
    },
    [require.resolve('..'), fixture('processes.js')],
  );
  assert.equal(new Set([...inner, process.pid]).size, 3);
});

test(
  'nothing remains of a pool that was closed or destroyed, or whose processes died',
  WATCHDOG,
  async (t) => {
    const descriptors = () => readdirSync('/proc/self/fd').length;
    const round = async () => {
      const pool = makePool(t, { minThreads: 2, maxThreads: 2 });
      const pids = await pool.broadcast(null, { name: 'pid' });
      await pool.run('SIGKILL', { name: 'kill' }).catch(() => {});
      await pool.run(1);
      await (pids[0] % 2 === 0 ? pool.close() : pool.destroy());
      return pids;
    };
    await round();
    const before = descriptors();
    for (let i = 0; i < 4; i++) for (const pid of await round()) assert.equal(isAlive(pid), false);
    // Not by garbage collection, but as soon as the event loop has closed them.
    while (descriptors() > before) await new Promise((resolve) => setImmediate(resolve));
  },
);

test('a single executable application, which would start itself as a worker, has no pools of processes', async (t) => {
  t.mock.method(require('node:sea'), 'isSea', () => true);
  const refused = {
    code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM',
    message: /starts itself instead of a worker/,
  };
  assert.throws(() => new Pool({ runtime: 'processes' }), refused);
  const threads = new Pool({ maxThreads: 1 });
  t.after(() => threads.destroy());
  await assert.rejects(threads.recycleWorkers({ runtime: 'processes' }), refused);
  assert.equal(await threads.exec((a) => a + 1, [1]), 2);
  const processes = new Pool({
    runtime: 'processes',
    maxThreads: 1,
    forkOpts: { execPath: process.execPath },
  });
  t.after(() => processes.destroy());
  assert.equal(await processes.exec((a) => a + 1, [1]), 2);
});
