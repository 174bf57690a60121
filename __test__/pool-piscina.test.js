'use strict';

/* A pool is a drop-in for piscina: the same scripts run on both, with the same results. */

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test } = require('node:test');
const { pathToFileURL } = require('node:url');
const { Pool, Piscina } = require('..');
const {
  Peer,
  TASKS,
  WATCHDOG,
  conform,
  fixture,
  makePool,
  outcome,
  raised,
  shared,
} = require('./support/pool');

test('has the exports of piscina', () => {
  const peer = /** @type {any} */ (require('piscina'));
  const ours = /** @type {any} */ (Pool);
  assert.equal(Piscina, Pool);
  const names = Object.getOwnPropertyNames(peer).filter(
    (name) => !['length', 'name', 'prototype'].includes(name),
  );
  assert.ok(names.length > 5);
  for (const name of names) assert.equal(typeof ours[name], typeof peer[name], name);
  for (const name of ['transferableSymbol', 'valueSymbol', 'queueOptionsSymbol']) {
    assert.equal(ours[name], peer[name]);
  }
  for (const name of Object.getOwnPropertyNames(peer.prototype)) assert.ok(name in ours.prototype, name);
});

conform('options have piscina’s defaults', async (t, make, Class) => {
  const pool = new Class({ filename: TASKS });
  t.after(() => pool.destroy());
  const { minThreads, maxThreads, idleTimeout, maxQueue, concurrentTasksPerWorker, atomics } = pool.options;
  const { closeTimeout, recordTiming, stricterFIFO, niceIncrement, trackUnmanagedFds, name } = pool.options;
  return {
    ...{ minThreads, maxThreads, idleTimeout, maxQueue, concurrentTasksPerWorker, atomics, closeTimeout },
    ...{ recordTiming, stricterFIFO, niceIncrement, trackUnmanagedFds, name },
    threads: pool.threads.length,
    queue: pool.options.taskQueue.constructor.name,
    bounds: [pool.minThreads, pool.maxThreads],
  };
});

conform('bounds of threads make room for each other, and maxQueue auto is their square', async (t, make) => {
  const few = make({ minThreads: undefined, maxThreads: 1 });
  const many = make({ minThreads: 8, maxThreads: undefined, maxQueue: 'auto' });
  return [few, many].map((pool) => [pool.minThreads, pool.maxThreads, pool.options.maxQueue]);
});

/**
 * Removes the name of the missing function, which only ours tells.
 * @param {Promise<any[]>} result
 */
const withoutName = async (result) =>
  (await result).map((each) => `${each}`.replace(/: it has no function '\w+'$/, ''));

const INVALID = [
  { filename: 1 },
  { name: 1 },
  { minThreads: -1 },
  { minThreads: 'x' },
  { maxThreads: 0 },
  { minThreads: 5, maxThreads: 2 },
  { idleTimeout: -1 },
  { maxQueue: 'manual' },
  { concurrentTasksPerWorker: 0 },
  { atomics: 'never' },
  { resourceLimits: 0 },
  { taskQueue: { push() {} } },
  { niceIncrement: -1 },
  { trackUnmanagedFds: 1 },
  { closeTimeout: -1 },
  { loadBalancer: () => {} },
  { workerHistogram: 1 },
  { stricterFIFO: 1 },
];
for (const options of INVALID) {
  conform(`invalid options are refused: ${JSON.stringify(Object.keys(options))}`, async (t, make, Class) => {
    try {
      new Class(options);
      return 'accepted';
    } catch (/** @type {any} */ error) {
      return [error.constructor.name, error.message];
    }
  });
}

const INVALID_RUNS = [
  [{}, null],
  [{}, 7],
  [{}, { transferList: 1 }],
  [{}, { filename: 1 }],
  [{}, { name: 1 }],
  [{}, { signal: 1 }],
];
for (const [task, options] of INVALID_RUNS) {
  conform(`invalid options of run() are refused: ${JSON.stringify(options)}`, (t, make) =>
    outcome(make().run(task, options)),
  );
}

conform('a file name is needed', (t, make) => outcome(make({ filename: null }).run(1)), [
  'error',
  'Error',
  'filename must be provided to run() or in options object',
  undefined,
]);

conform(
  'handlers are found in CommonJS and ES modules, by path and URL, by name and as promises',
  async (t, make) => {
    const pool = make();
    const esm = fixture('named.mjs');
    return Promise.all([
      pool.run({ a: 4, b: 6 }),
      pool.run('x', { name: 'echo' }),
      pool.run(5, { filename: esm }),
      pool.run(5, { filename: esm, name: 'triple' }),
      pool.run(5, { filename: pathToFileURL(esm).href, name: 'later' }),
      make({ filename: pathToFileURL(TASKS).href, name: 'echo' }).run('y'),
      withoutName(outcome(pool.run(1, { name: 'nowhere' }))),
    ]);
  },
);

conform('values arrive as structured clone makes them', (t, make) =>
  make({ name: 'echo' }).run({
    when: new Date(5),
    big: 12345678901234567890n,
    map: new Map([[{ a: 1 }, new Set([1, 'x'])]]),
    bytes: new Uint8Array([1, 2, 3]),
    nested: { list: Object.assign(new Array(3), { 0: 1, 2: 3 }), text: 'ä€😀', long: 'x'.repeat(100_000) },
    pattern: /a+/gi,
    nothing: [null, undefined, NaN, -0],
  }),
);

conform('errors of tasks reject with what was thrown', (t, make) =>
  Promise.all([
    outcome(make({ name: 'throwError' }).run('bad')),
    outcome(make({ name: 'rejectWithCode' }).run()),
    withoutName(outcome(make().run(1, { name: 'nowhere' }))),
  ]),
);

conform('a task that cannot be cloned is rejected', async (t, make) => {
  const pool = make({ name: 'echo' });
  const result = await outcome(pool.run(() => {}));
  return [result[1], (await pool.run(1)) === 1];
});

conform('workers get data, environment and arguments', async (t, make) => {
  const pool = make({
    workerData: { colour: 'blue' },
    env: { COLOUR: 'red' },
    argv: ['one', 'two'],
    execArgv: ['--no-warnings'],
  });
  return [
    await pool.run(null, { name: 'data' }),
    await pool.run('COLOUR', { name: 'env' }),
    await pool.run(null, { name: 'argv' }),
    await pool.run(null, { name: 'execArgv' }),
  ];
});

conform(
  'buffers of the transfer list are transferred',
  async (t, make) => {
    const pool = make({ name: 'lengthOf' });
    await pool.run(new ArrayBuffer(1));
    const buffer = new ArrayBuffer(64);
    const length = pool.run(buffer, { transferList: [buffer] });
    return [buffer.byteLength, await length];
  },
  [0, 64],
);

conform('move() transfers tasks and results', async (t, make, Class) => {
  const pool = make({
    filename: fixture('moving.js'),
    env: Class === Peer ? { MOVE_FROM: 'piscina' } : {},
  });
  const bytes = new Uint8Array(16).fill(1);
  const result = await pool.run(32);
  const back = await pool.run(Class.move(bytes), { name: 'given' });
  return [result, back, bytes.byteLength];
});

conform(
  'move() leaves primitives alone and respects what says how to transfer it',
  async (t, make, Class) => {
    const own = {
      get [Class.transferableSymbol]() {
        return 1;
      },
      get [Class.valueSymbol]() {
        return 2;
      },
    };
    return [
      Class.move(5),
      Class.move(null),
      Class.move('x'),
      Class.move(own) === own,
      Class.move(new ArrayBuffer(3))[Class.valueSymbol].byteLength,
      Class.move(new Uint8Array(3))[Class.transferableSymbol].constructor.name,
    ];
  },
);

conform('shared memory and ports get through', async (t, make) => {
  const pool = make({ name: 'echo' });
  const words = shared();
  const back = await pool.run(words);
  Atomics.store(words, 0, 7);
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  const port = await pool
    .run({ port: port2 }, { transferList: [port2] })
    .catch((/** @type {any} */ e) => e.name);
  return [back[0], typeof port];
});

conform('messages of the worker are events', async (t, make) => {
  const pool = make({ name: 'post' });
  const seen = once(pool, 'message');
  await pool.run({ hello: 1 });
  return seen;
});

conform('tasks that wait are counted, and refused beyond the limit', async (t, make) => {
  const words = shared();
  const pool = make({ maxQueue: 2 });
  const running = pool.run(words, { name: 'block' });
  await raised(words, 1);
  const waiting = [pool.run({ a: 1, b: 1 }), pool.run({ a: 2, b: 2 })];
  const refused = await outcome(pool.run({ a: 3, b: 3 }));
  const { queueSize } = pool;
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
  return [refused, queueSize, await running, await Promise.all(waiting), pool.queueSize, pool.completed];
});

conform('without a queue a task needs a free worker', async (t, make) => {
  const words = shared();
  const pool = make({ maxQueue: 0 });
  const running = pool.run(words, { name: 'block' });
  await raised(words, 1);
  const refused = await outcome(pool.run({ a: 3, b: 3 }));
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
  return [refused, await running];
});

conform(
  'tasks start in order',
  async (t, make) => {
    const pool = make({ name: 'echo', stricterFIFO: true });
    /** @type {number[]} */
    const order = [];
    await Promise.all(
      Array.from({ length: 50 }, (_, i) => pool.run(i).then((/** @type {number} */ v) => order.push(v))),
    );
    return order;
  },
  Array.from({ length: 50 }, (_, i) => i),
);

conform('a worker runs as many tasks at once as it may', async (t, make) => {
  const pool = make({ concurrentTasksPerWorker: 3, name: 'later' });
  await pool.run(1);
  const tasks = [pool.run(50), pool.run(50), pool.run(50), pool.run(50)];
  const waiting = pool.queueSize;
  return [await Promise.all(tasks), waiting];
});

conform('an aborted task rejects, whether it waits or runs', async (t, make) => {
  const pool = make();
  const words = shared();
  const running = new AbortController();
  const waiting = new AbortController();
  const first = outcome(pool.run(words, { name: 'block', signal: running.signal }));
  await raised(words, 1);
  const second = outcome(pool.run({ a: 1, b: 1 }, { signal: waiting.signal }));
  const third = pool.run({ a: 2, b: 2 });
  waiting.abort();
  running.abort('enough');
  const early = await outcome(pool.run({ a: 1, b: 1 }, { signal: AbortSignal.abort('too late') }));
  const [a, b] = await Promise.all([first, second]);
  return [a, b.slice(0, 3), b[3].name, early, await third];
});

conform('signals may be emitters', async (t, make) => {
  const pool = make({ name: 'forever' });
  const emitter = new (require('node:events').EventEmitter)();
  const running = outcome(pool.run(1, { signal: emitter }));
  emitter.emit('abort');
  const [, name, message] = await running;
  return [name, message, emitter.listenerCount('abort'), await pool.run(3, { name: 'echo' })];
});

conform('destroy() rejects what is under way, and the pool can go on', async (t, make) => {
  const pool = make();
  const words = shared();
  const running = outcome(pool.run(words, { name: 'block' }));
  await raised(words, 1);
  const waiting = outcome(pool.run({ a: 1, b: 1 }));
  await pool.destroy();
  return [await running, await waiting, pool.threads.length, await pool.run({ a: 1, b: 2 })];
});

conform('close() waits for tasks and refuses new ones', async (t, make) => {
  const pool = make({ name: 'later' });
  const events = /** @type {string[]} */ ([]);
  pool.on('close', () => events.push('close'));
  const tasks = [pool.run(20), pool.run(10)];
  const closed = pool.close();
  const refused = await outcome(pool.run(1));
  const results = await Promise.all(tasks);
  await closed;
  return [refused, results, events, pool.threads.length];
});

conform('close({ force }) rejects what has not begun', async (t, make) => {
  const words = shared();
  const pool = make({ concurrentTasksPerWorker: 1 });
  const running = pool.run(words, { name: 'block' });
  await raised(words, 1);
  const waiting = outcome(pool.run({ a: 1, b: 1 }));
  const closed = pool.close({ force: true });
  const result = await waiting;
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
  await closed;
  return [result, await running];
});

conform(
  'close() gives up after closeTimeout',
  async (t, make) => {
    const pool = make({ name: 'never', closeTimeout: 20 });
    const running = outcome(pool.run(1));
    const [[error]] = await Promise.all([once(pool, 'error'), pool.close()]);
    return [error.message, await running];
  },
  ['Close operation timed out', ['error', 'Error', 'Terminating worker thread', undefined]],
);

for (const options of [null, { force: 1 }]) {
  conform(`invalid options of close() are refused: ${JSON.stringify(options)}`, (t, make) =>
    outcome(make().close(options)),
  );
}

conform(
  'workers come and go with the tasks',
  async (t, make) => {
    const pool = make({ minThreads: 1, maxThreads: 3, name: 'block', idleTimeout: 10 });
    let created = 0;
    let destroyed = 0;
    pool.on(
      'workerCreate',
      (/** @type {any} */ worker) => (created += typeof worker.id === 'number' ? 1 : 0),
    );
    pool.on('workerDestroy', () => destroyed++);
    const words = [shared(), shared(), shared()];
    const tasks = words.map((each) => pool.run(each));
    for (const each of words) await raised(each, 1);
    const most = pool.threads.length;
    const busy = pool.idleThreads;
    for (const each of words) {
      Atomics.store(each, 0, 1);
      Atomics.notify(each, 0);
    }
    await Promise.all(tasks);
    while (pool.threads.length > 1) await new Promise((resolve) => setTimeout(resolve, 5));
    return [most, busy, created, destroyed, pool.idleThreads];
  },
  [3, 0, 3, 2, 1],
);

conform(
  'needsDrain and drain tell about the load',
  async (t, make) => {
    const pool = make({ maxThreads: 1, name: 'later' });
    await pool.run(1);
    const full = once(pool, 'needsDrain');
    const drained = once(pool, 'drain');
    const task = pool.run(20);
    await full;
    const during = pool.needsDrain;
    await task;
    await drained;
    return [during, pool.needsDrain];
  },
  [true, false],
);

conform('histograms have the summary of piscina', async (t, make) => {
  const pool = make({ name: 'later' });
  for (let i = 0; i < 3; i++) await pool.run(5);
  const { runTime, waitTime } = pool.histogram;
  pool.histogram.resetRunTime();
  pool.histogram.resetWaitTime();
  const off = make({ recordTiming: false });
  return [
    Object.keys(runTime),
    Object.keys(waitTime),
    runTime.mean >= 4 && runTime.mean < 5000 && runTime.min <= runTime.p50 && runTime.p50 <= runTime.max,
    pool.histogram.runTime.max,
    off.histogram.runTime,
    off.utilization,
  ];
});

conform('a worker’s own histogram is there on demand', async (t, make) => {
  /** @type {any} */
  let seen;
  const pool = make({ workerHistogram: true, name: 'later' });
  pool.on('workerDestroy', (/** @type {any} */ worker) => (seen = worker.histogram));
  await pool.run(5);
  await pool.destroy();
  return [Object.keys(seen).length > 10, seen.max >= 4];
});

test('utilization is a fraction of the elapsed time', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'later' });
  assert.equal(pool.utilization, 0);
  await pool.run(50);
  assert.ok(pool.utilization > 0 && pool.utilization <= 1, String(pool.utilization));
  assert.ok(pool.duration >= 45);
});

conform(
  'a queue of the program’s own decides the order',
  async (t, make) => {
    class Last {
      /** @type {any[]} */
      tasks = [];
      get size() {
        return this.tasks.length;
      }
      shift() {
        return this.tasks.pop() ?? null;
      }
      push(/** @type {any} */ task) {
        this.tasks.push(task);
      }
      unshift(/** @type {any} */ task) {
        this.tasks.push(task);
      }
      remove(/** @type {any} */ task) {
        this.tasks = this.tasks.filter((each) => each !== task);
      }
    }
    const words = shared();
    const pool = make({ taskQueue: new Last() });
    const running = pool.run(words, { name: 'block' });
    await raised(words, 1);
    /** @type {number[]} */
    const order = [];
    const tasks = [1, 2, 3].map((i) =>
      pool.run(i, { name: 'echo' }).then((/** @type {number} */ v) => order.push(v)),
    );
    const { queueSize } = pool;
    Atomics.store(words, 0, 1);
    Atomics.notify(words, 0);
    await Promise.all([running, ...tasks]);
    return [queueSize, order];
  },
  [3, [3, 2, 1]],
);

conform('queues see the options that tasks carry', async (t, make, Class) => {
  const words = shared();
  /** @type {any[]} */
  const seen = [];
  const queue = new Class.ArrayTaskQueue();
  const { push } = queue;
  queue.push = function (/** @type {any} */ task) {
    seen.push([task[Class.queueOptionsSymbol], typeof task.taskId, typeof task.created, task.name]);
    return push.call(this, task);
  };
  const pool = make({ taskQueue: queue });
  const running = pool.run(words, { name: 'block' });
  await raised(words, 1);
  const task = pool.run({ a: 1, b: 1, [Class.queueOptionsSymbol]: { rank: 3 } });
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
  await Promise.all([running, task]);
  return seen.filter(([options]) => options !== null);
});

conform('a balancer of the program’s own chooses the worker', async (t, make) => {
  /** @type {any[]} */
  const asked = [];
  const pool = make({
    minThreads: 2,
    maxThreads: 2,
    name: 'who',
    loadBalancer(/** @type {any} */ task, /** @type {any[]} */ workers) {
      asked.push([
        task.isAbortable,
        task.name,
        workers.length,
        workers.every((w) => typeof w.currentUsage === 'number'),
      ]);
      return workers.reduce((a, b) => (a.id > b.id ? a : b));
    },
  });
  const ids = new Set(await Promise.all([pool.run(), pool.run(), pool.run()]));
  const highest = Math.max(...pool.threads.map((/** @type {any} */ w) => w.threadId));
  return [ids.size, ids.has(highest), asked.slice(0, 3)];
});

conform('queues of piscina behave', async (t, make, Class) =>
  [Class.FixedQueue, Class.ArrayTaskQueue].map((Queue) => {
    const queue = new Queue();
    const out = [];
    for (let i = 0; i < 40; i++) queue.push({ i });
    for (let i = 0; i < 30; i++) out.push(queue.shift().i);
    const odd = { i: 'odd' };
    queue.push(odd);
    for (let i = 0; i < 30; i++) queue.push({ i });
    queue.remove(odd);
    out.push(queue.size);
    while (queue.size > 0) out.push(queue.shift().i);
    return [out, queue.shift()];
  }),
);

conform('using closes the pool', async (t, make) => {
  const pool = make({ name: 'later' });
  const task = pool.run(5);
  await pool[Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]();
  return [await task, pool.threads.length];
});

conform('tasks of a worker that exits reject with its code', async (t, make) => {
  const pool = make({ name: 'exit' });
  const result = await outcome(pool.run(3));
  return [result, await pool.run('on', { name: 'echo' })];
});

conform('a rejection nobody handles ends the worker, and its task rejects with it', async (t, make) => {
  const pool = make({ name: 'unhandled' });
  const result = await outcome(pool.run(3));
  return [result, await pool.run('on', { name: 'echo' })];
});

conform('memory that runs out rejects the task', async (t, make) => {
  const pool = make({ name: 'grow', resourceLimits: { maxOldGenerationSizeMb: 24 } });
  const result = await outcome(pool.run(1));
  return [result.slice(0, 3), await pool.run('on', { name: 'echo' })];
});

conform(
  'a file that cannot be loaded is an error of the pool',
  async (t, make) => {
    const pool = make({ filename: fixture('broken.js') });
    // Idle workers do not keep the process alive.
    const alive = setInterval(() => {}, 1000);
    t.after(() => clearInterval(alive));
    // piscina sometimes reports it twice.
    pool.on('error', () => {});
    const [error] = await once(pool, 'error');
    return error.message;
  },
  'cannot be loaded',
);
