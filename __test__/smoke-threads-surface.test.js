'use strict';

/* All exports of the running Node's worker_threads exist, and those of later versions are emulated. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { once } = require('node:events');
const test = require('node:test');
const nodeThreads = require('node:worker_threads');

const threads = require('manycore/worker_threads');
const { runOk } = require('./package-helpers');
const { WATCHDOG, start, messages } = require('./support/worker');

const ROOT = path.join(__dirname, '..');
const LIBRARY = JSON.stringify(path.join(ROOT, 'worker_threads.js'));
/** Exports of ours; all others are Node's own objects. */
const OURS = ['Worker', 'markAsUncloneable', 'receiveMessageOnPort', 'locks', 'BroadcastChannel'];
const SINCE = ['isInternalThread', 'isMarkedAsUntransferable', 'locks', 'markAsUncloneable', 'threadName'];

test("every export exists and is of the same type as Node's", () => {
  for (const name of Object.keys(nodeThreads)) {
    assert.equal(typeof threads[name], typeof nodeThreads[name], name);
    if (typeof threads[name] === 'function') {
      assert.equal(threads[name].name, nodeThreads[name].name);
      assert.equal(threads[name].length, nodeThreads[name].length, name);
    }
    const replaced =
      OURS.includes(name) || (name === 'markAsUntransferable' && !nodeThreads.isMarkedAsUntransferable);
    if (!replaced) assert.equal(threads[name], nodeThreads[name], name);
  }
  for (const name of SINCE) assert.notEqual(threads[name], undefined, name);
});

test("Worker has all members of Node's Worker, and its instances are Node Workers", async (t) => {
  const { Worker } = threads;
  assert.ok(Worker.prototype instanceof nodeThreads.Worker);
  assert.equal(Worker.name, 'Worker');
  const names = Reflect.ownKeys(nodeThreads.Worker.prototype).filter((name) => name !== 'constructor');
  for (const name of names) assert.ok(name in Worker.prototype, String(name));
  const theirs = new nodeThreads.Worker('', { eval: true });
  const ours = start(t, '');
  assert.ok(ours instanceof nodeThreads.Worker);
  assert.deepEqual(Object.keys(ours), Object.keys(theirs));
  assert.equal(Object.prototype.toString.call(ours), Object.prototype.toString.call(theirs));
  await Promise.all([once(theirs, 'exit'), once(ours, 'exit')]);
  for (const worker of [theirs, ours]) {
    assert.equal(worker.threadId, -1);
    assert.equal(await worker.terminate(), undefined);
    assert.doesNotThrow(() => [worker.ref(), worker.unref(), worker.postMessage(1)]);
  }
});

test('methods of a running worker work', WATCHDOG, async (t) => {
  const worker = start(t, "require('node:worker_threads').parentPort.on('message', () => {})");
  await once(worker, 'online');
  assert.equal(typeof worker.performance.eventLoopUtilization().utilization, 'number');
  let snapshot = '';
  for await (const chunk of await worker.getHeapSnapshot()) snapshot += chunk;
  assert.ok(JSON.parse(snapshot).nodes.length > 0);
  assert.ok(worker.stdout.readable && worker.stderr.readable);
  assert.equal(worker.stdin, null);
  if ('getHeapStatistics' in nodeThreads.Worker.prototype) {
    assert.ok((await worker.getHeapStatistics()).total_heap_size > 0);
  }
  if ('cpuUsage' in nodeThreads.Worker.prototype) assert.ok((await worker.cpuUsage()).user >= 0);
});

test('a worker supports Symbol.asyncDispose', WATCHDOG, async (t) => {
  const worker = start(t, 'setInterval(() => {}, 1e6)');
  const exit = once(worker, 'exit');
  await worker[Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]();
  await exit;
  assert.equal(worker.threadId, -1);
});

test('a worker has a name', WATCHDOG, async (t) => {
  const source = `const { parentPort } = require('node:worker_threads');
    parentPort.postMessage(require(${LIBRARY}).threadName);`;
  const named = start(t, source, { name: ' its name ' });
  const unnamed = start(t, source);
  assert.equal(named.threadName, 'its name');
  const expected = [['its name'], [unnamed.threadName]];
  assert.deepEqual(await Promise.all([messages(named, 1), messages(unnamed, 1)]), expected);
  await named.terminate();
  assert.equal(named.threadName, null);
  assert.equal(threads.threadName, '');
  assert.equal(threads.isInternalThread, false);
});

test('locks exclude other threads of the process', WATCHDOG, async (t) => {
  const { locks } = threads;
  const worker = start(
    t,
    `const { locks, parentPort } = require(${LIBRARY});
    locks.request('of threads', (lock) => {
      parentPort.postMessage([lock.name, lock.mode]);
      return new Promise((resolve) => parentPort.once('message', resolve));
    });`,
  );
  assert.deepEqual(await messages(worker, 1), [['of threads', 'exclusive']]);
  assert.equal(await locks.request('of threads', { ifAvailable: true }, (lock) => lock), null);
  const granted = locks.request('of threads', { mode: 'shared' }, async (lock) => [
    lock.mode,
    (await locks.query()).held.map(({ name }) => name),
  ]);
  worker.postMessage('let go');
  assert.deepEqual(await granted, ['shared', ['of threads']]);
  // The manager of locks across processes is a different one.
  assert.notEqual(locks, require('manycore').locks);
});

test('objects marked as untransferable are recognized', () => {
  const { markAsUntransferable, isMarkedAsUntransferable } = threads;
  const { port1 } = new MessageChannel();
  const objects = [new ArrayBuffer(8), {}, port1];
  for (const object of objects) {
    assert.equal(isMarkedAsUntransferable(object), false);
    markAsUntransferable(object);
    assert.equal(isMarkedAsUntransferable(object), true);
  }
  port1.close();
  const kept = new ArrayBuffer(8);
  assert.equal(isMarkedAsUntransferable(kept), false);
  assert.equal(kept.byteLength, 8);
  assert.equal(isMarkedAsUntransferable(Buffer.from('pooled').buffer), true);
  for (const primitive of [null, undefined, 5, 'x']) assert.equal(isMarkedAsUntransferable(primitive), false);
});

test('objects marked as uncloneable cannot be cloned in any way', WATCHDOG, async (t) => {
  const worker = start(t, "require('node:worker_threads').parentPort.on('message', () => {})");
  const marked = { a: 1 };
  threads.markAsUncloneable(marked);
  for (const primitive of [null, undefined, 5]) {
    assert.doesNotThrow(() => threads.markAsUncloneable(primitive));
  }
  const { port1, port2 } = new MessageChannel();
  const ways = [
    (value) => worker.postMessage(value),
    (value) => port1.postMessage(value),
    (value) => structuredClone(value),
    (value) => new threads.Worker('', { eval: true, workerData: value }),
  ];
  for (const way of ways) {
    for (const value of [marked, [marked], { deep: { marked } }, new Map([[1, marked]]), new Set([marked])]) {
      assert.throws(() => way(value), { name: 'DataCloneError', message: /clone/ });
    }
  }
  const loop = { again: null, fine: [1, new Date(0), new Uint8Array(2)] };
  loop.again = loop;
  assert.equal(structuredClone(loop).fine.length, 3);
  port1.close();
  port2.close();
});

test('as in Node, the mark has no effect on what V8 clones itself', WATCHDOG, async (t) => {
  const make = () => [
    [1],
    new Map([[1, 2]]),
    new Set([1]),
    new Date(5),
    /x/g,
    Object('boxed'),
    new ArrayBuffer(4),
    new Uint8Array(4),
    new DataView(new ArrayBuffer(4)),
  ];
  const worker = start(
    t,
    `const threads = require(${JSON.stringify(require.resolve('../worker_threads'))});
     const { parentPort } = threads;
     // Messages use lanes from now on.
     require(${JSON.stringify(require.resolve('..'))}).linkStatus(parentPort);
     for (const value of (${make})()) {
       threads.markAsUncloneable(value);
       parentPort.postMessage(value);
       if (value instanceof ArrayBuffer) parentPort.postMessage(value, [value]);
     }
     const object = {};
     threads.markAsUncloneable(object);
     for (const value of [object, [object]]) {
       try {
         parentPort.postMessage(value);
       } catch ({ name }) {
         parentPort.postMessage(name);
       }
     }`,
  );
  const values = make();
  const received = await messages(worker, values.length + 3);
  assert.deepEqual(received.splice(6, 1), [new ArrayBuffer(4)]);
  assert.deepEqual(received, [...values, 'DataCloneError', 'DataCloneError']);
  for (const value of values) {
    threads.markAsUncloneable(value);
    assert.deepEqual(structuredClone(value), value);
  }
});

test(
  'threads that are not parent and child can exchange messages',
  { ...WATCHDOG, skip: !nodeThreads.postMessageToThread },
  async (t) => {
    const { postMessageToThread } = threads;
    const library = `const { Worker, parentPort, postMessageToThread, threadId } = require(${LIBRARY});`;
    const grandchild = `${library}
    process.on('workerMessage', (value, source) => {
      if (value === 'throw') throw new Error('on purpose');
      if (value === 'block') for (;;);
      if (value.port) return value.port.postMessage('by the port');
      postMessageToThread(source, ['from ' + threadId, value]);
    });
    setInterval(() => {}, 1e6);
    parentPort.postMessage(threadId);`;
    const child = start(
      t,
      `${library}
    const inner = new Worker(${JSON.stringify(grandchild)}, { eval: true });
    inner.on('message', (id) => parentPort.postMessage(id));`,
    );
    const [id] = await messages(child, 1);
    const answer = once(process, 'workerMessage');
    await postMessageToThread(id, { to: 'a grandchild' });
    assert.deepEqual(await answer, [[`from ${id}`, { to: 'a grandchild' }], id]);
    const { port1, port2 } = new MessageChannel();
    const arrived = once(port1, 'message');
    await postMessageToThread(id, { port: port2 }, [port2]);
    assert.deepEqual(await arrived, ['by the port']);
    port1.close();
    await assert.rejects(postMessageToThread(0, 'x'), { code: 'ERR_WORKER_MESSAGING_SAME_THREAD' });
    await assert.rejects(postMessageToThread(1e6, 'x'), { code: 'ERR_WORKER_MESSAGING_FAILED' });
    await assert.rejects(postMessageToThread(child.threadId, 'x'), { code: 'ERR_WORKER_MESSAGING_FAILED' });
    await assert.rejects(postMessageToThread(id, 'throw'), { code: 'ERR_WORKER_MESSAGING_ERRORED' });
    await assert.rejects(postMessageToThread(id, 'block', [], 100), { code: 'ERR_WORKER_MESSAGING_TIMEOUT' });
  },
);

test('with manycore/register, the built-in module has all exports, in workers too', async () => {
  const script = `
    const threads = require('node:worker_threads');
    const here = [typeof threads.Worker.warm, typeof threads.markAsUncloneable, threads.threadName, threads.isInternalThread];
    const worker = new threads.Worker(\`
      const threads = require('node:worker_threads');
      import('node:worker_threads').then((module) => threads.parentPort.postMessage(
        [typeof threads.Worker.warm, typeof threads.markAsUncloneable, threads.threadName, threads.isInternalThread,
          module.Worker === threads.Worker, module.parentPort === threads.parentPort]));\`, { eval: true, name: 'n' });
    worker.on('message', (there) => console.log(JSON.stringify({ here, there })));`;
  const printed = await runOk(process.execPath, [
    '--require',
    path.join(ROOT, 'register.js'),
    '--eval',
    script,
  ]);
  assert.deepEqual(JSON.parse(printed), {
    here: ['function', 'function', '', false],
    there: ['function', 'function', 'n', false, true, true],
  });
});
