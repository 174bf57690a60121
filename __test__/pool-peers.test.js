'use strict';

/* Typical uses of tinypool and workerpool, with those and with ours. */

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test } = require('node:test');
const { pathToFileURL } = require('node:url');
const { MessageChannel } = require('node:worker_threads');
const workerpool = require('workerpool');
const { Pool } = require('..');
const { WATCHDOG, fixture, makePool, raised, shared } = require('./support/pool');

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

/**
 * Runs a script with pools whose worker registers the functions of workerpool's documentation.
 * @param {string} name
 * @param {(pool: any) => Promise<any>} script
 * @param {any} expected
 */
function documentedByWorkerpool(name, script, expected) {
  test(`workerpool: ${name}`, WATCHDOG, async (t) => {
    for (const library of [workerpool, /** @type {any} */ (Pool)]) {
      const workerData = library === workerpool ? 'workerpool' : 'manycore';
      const settings = { workerType: 'thread', maxWorkers: 1, workerThreadOpts: { workerData } };
      const pool = library.pool(fixture('registered.js'), { ...settings, abortListenerTimeout: 60_000 });
      t.after(() => pool.terminate(true));
      assert.deepEqual(await script(pool), expected, workerData);
    }
  });
}

documentedByWorkerpool(
  'functions that a file registers',
  async (pool) => {
    const proxy = await pool.proxy();
    const numbers = new Uint8Array([1, 2]);
    const sum = await pool.exec('sum', [numbers], { transfer: [numbers.buffer] });
    return [
      await pool.exec('fibonacci', [10]),
      await proxy.fibonacci(10),
      await pool.exec('later', ['x']),
      sum,
      numbers.length,
      [...(await pool.exec('array', [3]))],
    ];
  },
  [55, 55, 'x', 3, 0, [0, 1, 2]],
);

documentedByWorkerpool(
  'a task that ends when its abort listener is called leaves its worker',
  async (pool) => {
    const before = await pool.exec('who');
    const words = shared();
    const task = pool.exec('untilAborted', [words]);
    await raised(words, 1);
    const { name } = await task.cancel().catch((/** @type {Error} */ error) => error);
    return [name, (await pool.exec('who')) === before];
  },
  ['CancellationError', true],
);

// Documented, but `emit` is not a function there.
test('workerpool: `this` is the worker in registered and in sent functions', WATCHDOG, async (t) => {
  const pool = new Pool(fixture('registered.js'), { maxThreads: 1 });
  t.after(() => pool.terminate(true));
  /** @type {any[]} */
  const events = [];
  const on = (/** @type {any} */ payload) => events.push(payload.status);
  assert.equal(await pool.exec('events', [], { on }), true);
  const sent = function (/** @type {string} */ status) {
    // @ts-ignore
    this.worker.emit({ status });
  };
  await pool.exec(sent, ['sent'], { on });
  assert.deepEqual(events, ['in_progress', 'complete', 'sent']);
});

test('workerpool: terminating a pool rejects pending tasks', WATCHDOG, async () => {
  for (const library of [workerpool, /** @type {any} */ (Pool)]) {
    const pool = library.pool({ workerType: 'thread', minWorkers: 1, maxWorkers: 1 });
    const words = shared();
    const running = pool.exec(
      (/** @type {Int32Array} */ all) => {
        Atomics.store(all, 1, 1);
        Atomics.notify(all, 1);
        Atomics.wait(all, 0, 0);
        return 'released';
      },
      [words],
    );
    await raised(words, 1);
    const waiting = pool.exec(() => 1).catch((/** @type {Error} */ { message }) => message);
    const end = pool.terminate();
    assert.equal(await waiting, 'Pool terminated');
    Atomics.store(words, 0, 1);
    Atomics.notify(words, 0);
    assert.equal(await running, 'released');
    await end;
  }
});

test('workerpool: Pool has the same static properties as the module', () => {
  const ours = /** @type {any} */ (Pool);
  assert.deepEqual(
    [ours.platform, ours.isMainThread, typeof ours.cpus],
    [workerpool.platform, workerpool.isMainThread, typeof workerpool.cpus],
  );
  for (const name of ['CancellationError', 'TimeoutError']) {
    assert.ok(new ours.Promise[name]('x') instanceof Error);
  }
});

test('workerpool: a cancelled task rejects with the same error class', WATCHDOG, async (t) => {
  const pool = new Pool({ maxThreads: 1 });
  t.after(() => pool.terminate(true));
  const forever = () => {
    for (;;);
  };
  const { CancellationError, TimeoutError } = /** @type {any} */ (Pool).Promise;
  await assert.rejects(pool.exec(forever).cancel(), CancellationError);
  await assert.rejects(pool.exec(forever).timeout(20), TimeoutError);
});

test('workerpool: a proxy exposes registered methods, and events are delivered', WATCHDOG, async (t) => {
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

likeTinypool(
  'files are told by URL, as strings and as objects, once and for a task',
  async (Class, t) => {
    const url = pathToFileURL(fixture('exported.js'));
    const results = [];
    for (const filename of [url, url.href]) {
      results.push(await tinypool(Class, t, { filename }).run('x', { name: 'echo' }));
    }
    results.push(await tinypool(Class, t, { filename: null }).run('y', { filename: url, name: 'echo' }));
    return results;
  },
  ['x', 'x', 'y'],
);

likeTinypool(
  'a port is given to a task',
  async (Class, t) => {
    const { port1, port2 } = new MessageChannel();
    const task = tinypool(Class, t).run({ port: port1 }, { transferList: [port1], name: 'answerOnce' });
    port2.postMessage('hello');
    const [answer] = await once(port2, 'message');
    await task;
    port2.close();
    return answer;
  },
  'hello back',
);

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

for (const peer of ['piscina', 'tinypool']) {
  test(`values that ${peer}'s own move() marks are transferred`, WATCHDOG, async (t) => {
    const { move } = (await import(peer)).default;
    const pool = new Pool({ filename: fixture('moving.js'), env: { MOVE_FROM: peer }, maxThreads: 1 });
    t.after(() => pool.destroy());
    assert.deepEqual(await pool.run(4), new Uint8Array(4).fill(7));
    const bytes = new Uint8Array(16).fill(1);
    assert.deepEqual(await pool.run(move(bytes), { name: 'given' }), new Uint8Array(16).fill(1));
    assert.equal(bytes.length, 0);
  });

  test(`a value of both protocols is transferred if only ${peer}'s move() marks it`, WATCHDOG, async (t) => {
    const { move } = (await import(peer)).default;
    const pool = makePool(t, { filename: fixture('moving.js'), maxThreads: 1 });
    const bytes = new Uint8Array(16).fill(1);
    const both = {};
    for (const library of ['Piscina', 'Tinypool']) {
      Object.defineProperty(both, Symbol.for(`${library}.transferable`), { value: bytes.buffer });
      Object.defineProperty(both, Symbol.for(`${library}.valueOf`), { value: bytes });
    }
    assert.deepEqual(await pool.run(move(both), { name: 'given' }), new Uint8Array(16).fill(1));
    assert.equal(bytes.length, 0);
  });
}
