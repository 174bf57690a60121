'use strict';

/* Spares: workers that have booted and wait to be taken over. */

const assert = require('node:assert/strict');
const { AsyncLocalStorage } = require('node:async_hooks');
const diagnostics = require('node:diagnostics_channel');
const { EventEmitter, once } = require('node:events');
const path = require('node:path');
const test = require('node:test');
const nodeThreads = require('node:worker_threads');

const { Worker } = require('manycore/worker_threads');
const { Stock } = require('../lib/threads/stock');
const { run } = require('./package-helpers');
const { WATCHDOG } = require('./support/worker');

const ROOT = path.join(__dirname, '..');
const LIBRARY = JSON.stringify(ROOT);
const WHO = `const { parentPort, threadId } = require('node:worker_threads'); parentPort.postMessage(threadId);`;

/** Creates a worker, and tells whether it was booted before this call. */
function make(source, options, Class = Worker) {
  const before = new nodeThreads.Worker('', { eval: true }).threadId;
  const worker = new Class(source, { eval: true, warm: true, ...options });
  return { worker, isTaken: worker.threadId < before };
}

test.afterEach(() => Worker.warm(0));

test('the next worker created takes the spare', WATCHDOG, async () => {
  await Worker.warm(1);
  const { worker, isTaken } = make(WHO);
  assert.ok(isTaken);
  assert.ok(worker instanceof Worker);
  const order = [];
  for (const event of ['online', 'message', 'exit']) worker.on(event, (value) => order.push([event, value]));
  const { threadId } = worker;
  await once(worker, 'exit');
  assert.deepEqual(order, [
    ['online', undefined],
    ['message', threadId],
    ['exit', 0],
  ]);
});

test('without spares, or with warm: false, workers start cold', WATCHDOG, async () => {
  const cold = make(WHO);
  assert.ok(!cold.isTaken);
  await once(cold.worker, 'exit');
  await Worker.warm(1);
  const unasked = make(WHO, { warm: false });
  assert.ok(!unasked.isTaken);
  await once(unasked.worker, 'exit');
});

test('a used spare is replaced, never reused', WATCHDOG, async () => {
  await Worker.warm(1);
  const ids = new Set();
  for (let round = 0; round < 5; round++) {
    const { worker, isTaken } = make(`globalThis.used = (globalThis.used ?? 0) + 1;
      const { parentPort, threadId } = require('node:worker_threads');
      parentPort.postMessage([threadId, globalThis.used]);`);
    const exit = once(worker, 'exit');
    const [[id, used]] = await once(worker, 'message');
    assert.ok(isTaken);
    assert.equal(used, 1);
    ids.add(id);
    await exit;
    // Resolves once a spare is available again.
    await Worker.warm(1);
  }
  assert.equal(ids.size, 5);
});

test('options that cannot be applied after boot need separate spares', WATCHDOG, async () => {
  const limits = { resourceLimits: { maxOldGenerationSizeMb: 50 } };
  await Worker.warm(1);
  for (const options of [
    limits,
    { name: 'x' },
    { execArgv: ['--no-warnings'] },
    { stdin: true },
    { stdout: true },
    { env: nodeThreads.SHARE_ENV },
    { trackUnmanagedFds: false },
    { env: { NODE_DEBUG: 'x' } },
    { unheardOf: 1 },
  ]) {
    const { worker, isTaken } = make('', options);
    assert.ok(!isTaken, JSON.stringify(options));
    worker.stdin?.end();
    await once(worker, 'exit');
  }
  await Worker.warm(1, limits);
  const { worker, isTaken } = make(
    "require('node:worker_threads').parentPort.postMessage(require('node:worker_threads').resourceLimits)",
    limits,
  );
  assert.ok(isTaken);
  assert.equal(worker.resourceLimits.maxOldGenerationSizeMb, 50);
  const [seen] = await once(worker, 'message');
  assert.equal(seen.maxOldGenerationSizeMb, 50);
});

test('changes made since the spare booted take effect', WATCHDOG, async (t) => {
  t.after(() => {
    delete process.env.THREADS_CHANGED;
    nodeThreads.setEnvironmentData('changed', undefined);
  });
  process.env.THREADS_DROPPED = '1';
  nodeThreads.setEnvironmentData('dropped', 1);
  await Worker.warm(1);
  delete process.env.THREADS_DROPPED;
  process.env.THREADS_CHANGED = 'yes';
  nodeThreads.setEnvironmentData('dropped', undefined);
  nodeThreads.setEnvironmentData('changed', { deep: new Map([[1, 2]]) });
  const { worker, isTaken } = make(`const { parentPort, getEnvironmentData } = require('node:worker_threads');
    parentPort.postMessage([process.env.THREADS_CHANGED, process.env.THREADS_DROPPED,
      getEnvironmentData('changed'), getEnvironmentData('dropped')]);`);
  assert.ok(isTaken);
  assert.deepEqual((await once(worker, 'message'))[0], [
    'yes',
    undefined,
    { deep: new Map([[1, 2]]) },
    undefined,
  ]);
});

test('uncloneable workerData throws, and uses up no spare', WATCHDOG, async () => {
  await Worker.warm(1);
  assert.throws(() => make('', { workerData: () => {} }), { name: 'DataCloneError' });
  const { worker, isTaken } = make(WHO);
  assert.ok(isTaken);
  await once(worker, 'exit');
});

test(
  "the 'worker' event is emitted when a worker is created, not when a spare boots",
  WATCHDOG,
  async (t) => {
    const heard = [];
    const onWorker = (worker) => heard.push(['event', worker.threadId]);
    const onCreated = ({ worker }) => heard.push(['channel', worker.threadId]);
    const channel = diagnostics.channel('worker_threads');
    process.on('worker', onWorker);
    channel.subscribe(onCreated);
    t.after(() => {
      process.off('worker', onWorker);
      channel.unsubscribe(onCreated);
    });
    await Worker.warm(2);
    assert.deepEqual(heard, []);
    const worker = new Worker(WHO, { eval: true, warm: true });
    const { threadId } = worker;
    await once(worker, 'online');
    assert.deepEqual(heard, [
      ...('channel' in diagnostics &&
      diagnostics.hasSubscribers('worker_threads') &&
      heard.some(([from]) => from === 'channel')
        ? [['channel', threadId]]
        : []),
      ['event', threadId],
    ]);
    await once(worker, 'exit');
  },
);

test('events run in the async context in which the worker was created', WATCHDOG, async () => {
  const storage = new AsyncLocalStorage();
  await storage.run('where it was booted', () => Worker.warm(1));
  const seen = {};
  const { worker, isTaken } = storage.run('where it was made', () =>
    make(
      `const { parentPort } = require('node:worker_threads');
     for (let i = 0; i < 100; i++) parentPort.postMessage(i);
     parentPort.once('message', () => { throw new Error('on purpose'); });`,
    ),
  );
  assert.ok(isTaken);
  for (const event of ['online', 'message', 'error', 'exit']) {
    worker.on(event, () => (seen[event] = storage.getStore()));
  }
  worker.postMessage('go');
  await new Promise((resolve) => worker.on('exit', resolve));
  const expected = 'where it was made';
  assert.deepEqual(seen, { online: expected, message: expected, error: expected, exit: expected });
});

test('a subclass of Worker gets its own instance', WATCHDOG, async () => {
  class Derived extends Worker {
    field = 'its own';

    method() {
      return this.field;
    }
  }
  await Worker.warm(1);
  const { worker, isTaken } = make(WHO, {}, Derived);
  assert.ok(isTaken && worker instanceof Derived);
  assert.equal(worker.method(), 'its own');
  await once(worker, 'exit');
});

test('event loop utilization is counted from the creation of the worker', WATCHDOG, async (t) => {
  await Worker.warm(1);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const madeMs = performance.now();
  const { worker } = make(
    "const { parentPort } = require('node:worker_threads'); parentPort.on('message', () => {}); parentPort.postMessage(1)",
  );
  t.after(() => worker.terminate());
  await once(worker, 'message');
  const { idle, active } = worker.performance.eventLoopUtilization();
  const ageMs = performance.now() - madeMs;
  assert.ok(
    idle >= 0 && active >= 0 && idle + active <= ageMs + 10,
    `${idle} idle, ${active} active in ${ageMs} ms`,
  );
});

test('a spare can be terminated in any state, even after it was taken', WATCHDOG, async () => {
  await Worker.warm(3);
  const workers = ['for (;;);', 'setInterval(() => {}, 1e6)', ''].map((source) => make(source).worker);
  await Promise.all(workers.map((worker) => worker.terminate()));
  for (const worker of workers) assert.equal(worker.threadId, -1);
});

test('spares do not keep a program alive, and exit with it', WATCHDOG, async () => {
  const script = `const { Worker } = require(${LIBRARY});
    Worker.warm(3).then(() => console.log('ready'));
    process.on('exit', () => console.log('the end'));`;
  const { code, stdout } = await run(process.execPath, ['-e', script]);
  assert.deepEqual([code, stdout], [0, 'ready\nthe end\n']);
});

test('a spare that has booted while it is being terminated still keeps the program alive', async () => {
  const held = [];
  const worker = Object.assign(new EventEmitter(), {
    ref: () => held.push('ref'),
    unref: () => held.push('unref'),
    terminate: () => once(worker, 'exit'),
  });
  const item = { worker };
  const stock = new Stock(() => item);
  const kept = stock.keep(1);
  await new Promise(setImmediate);
  const gone = stock.letGo();
  stock.ready(item);
  assert.deepEqual(held, []);
  assert.equal(stock.first, undefined);
  worker.emit('exit', 1);
  await Promise.all([kept, gone]);
});

test('workers have their own spares', WATCHDOG, async () => {
  const worker = new Worker(
    `const { Worker } = require(${LIBRARY}); const { parentPort } = require('node:worker_threads');
     Worker.warm(1).then(() => new Worker("require('node:worker_threads').parentPort.postMessage('inner')", { eval: true, warm: true })
       .on('message', (message) => parentPort.postMessage(message)));`,
    { eval: true },
  );
  assert.deepEqual(await once(worker, 'message'), ['inner']);
  await worker.terminate();
});

test('a spare that cannot boot is reported once, and workers start cold', WATCHDOG, async () => {
  const options = { execArgv: ['--require', path.join(__dirname, 'no-such-file.js')] };
  await assert.rejects(Worker.warm(1, options), /no-such-file/);
  await assert.rejects(Worker.warm(1, { execArgv: ['--no-such-option'] }), {
    code: 'ERR_WORKER_INVALID_EXEC_ARGV',
  });
  const { isTaken, worker } = make('', options);
  assert.ok(!isTaken);
  await assert.rejects(once(worker, 'exit'), /no-such-file/);
});

test('arguments are validated', async () => {
  for (const count of ['1', null, undefined, {}]) {
    await assert.rejects(Worker.warm(count), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  for (const count of [-1, 1.5, NaN, Infinity, 1e6]) {
    await assert.rejects(Worker.warm(count), { code: 'ERR_OUT_OF_RANGE' });
  }
  for (const options of [null, 5, { env: 5 }, { unheardOf: 1 }]) {
    await assert.rejects(Worker.warm(1, options), { code: 'ERR_INVALID_ARG_VALUE' });
  }
});
