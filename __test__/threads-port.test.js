'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const test = require('node:test');
const { MessageChannel } = require('node:worker_threads');

const { WATCHDOG, start, messages, untilExit } = require('./support/worker');

/* The worker's port; in each source, `parentPort` is the built-in one. */
const PORT = "const { parentPort, receiveMessageOnPort, MessagePort } = require('worker_threads');";

test('parentPort is the same object however it is imported', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT} import('node:worker_threads').then((module) =>
       parentPort.postMessage([module.parentPort === parentPort, module.default.parentPort === parentPort,
         module.receiveMessageOnPort === receiveMessageOnPort, parentPort instanceof MessagePort]));`,
  );
  assert.deepEqual(await messages(worker, 1), [[true, true, true, true]]);
});

test('a listener keeps the worker alive, unref() lets it exit', WATCHDOG, async (t) => {
  const unrefed = start(t, `${PORT} parentPort.on('message', () => {}); parentPort.unref();`);
  assert.equal((await untilExit(unrefed)).code, 0);
  const removed = start(
    t,
    `${PORT} const f = () => {}; parentPort.on('message', f); parentPort.off('message', f);
     parentPort.postMessage(parentPort.hasRef());`,
  );
  assert.deepEqual(await untilExit(removed), { received: [false], code: 0 });
  const kept = start(
    t,
    `${PORT} parentPort.on('message', (m) => { parentPort.postMessage(m); parentPort.close(); });`,
  );
  await once(kept, 'online');
  const end = untilExit(kept);
  kept.postMessage('still there');
  assert.deepEqual(await end, { received: ['still there'], code: 0 });
});

test('listeners of every kind receive the message', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT}
     const seen = [];
     parentPort.on('message', (m) => seen.push(['on', m]));
     parentPort.once('message', (m) => seen.push(['once', m]));
     parentPort.addEventListener('message', (e) => seen.push(['event', e.data, e.ports.length, e.constructor.name, e.target === parentPort]));
     parentPort.onmessage = (e) => { seen.push(['onmessage', e.data]); if (e.data === 2) parentPort.postMessage(seen); };`,
  );
  worker.postMessage(1);
  worker.postMessage(2);
  assert.deepEqual(await messages(worker, 1), [
    [
      ['on', 1],
      ['once', 1],
      ['event', 1, 0, 'MessageEvent', true],
      ['onmessage', 1],
      ['on', 2],
      ['event', 2, 0, 'MessageEvent', true],
      ['onmessage', 2],
    ],
  ]);
});

test('transferred ports are listed in the ports of the event', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT} parentPort.addEventListener('message', (e) => {
       if (e.data === 'ready?') return parentPort.postMessage('ready');
       e.ports[0].postMessage([e.data.name, e.ports.length, e.ports[0] === e.data.port]);
     });`,
  );
  worker.postMessage('ready?');
  await messages(worker, 1);
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  worker.postMessage('ready?');
  worker.postMessage({ name: 'a port', port: port2 }, [port2]);
  const [answer] = await once(port1, 'message');
  assert.deepEqual(answer, ['a port', 1, true]);
});

test('transferred buffers are detached in the sender', WATCHDOG, async (t) => {
  const worker = start(t, `${PORT} parentPort.on('message', (m) => parentPort.postMessage(m, [m.buffer]));`);
  worker.postMessage(new Uint8Array([0]));
  await messages(worker, 1);
  const bytes = new Uint8Array([1, 2, 3]);
  const echoed = messages(worker, 1);
  worker.postMessage(bytes, [bytes.buffer]);
  assert.equal(bytes.length, 0);
  assert.deepEqual(await echoed, [new Uint8Array([1, 2, 3])]);
});

test('receiveMessageOnPort receives messages without the event loop', WATCHDOG, async (t) => {
  const source = `${PORT}
    const { workerData } = require('worker_threads');
    const next = () => { for (;;) { const m = receiveMessageOnPort(parentPort); if (m) return m.message; } };
    const taken = [next(), next()];
    parentPort.once('message', (m) => {
      taken.push(m);
      Atomics.store(workerData, 0, 1);
      Atomics.notify(workerData, 0);
      taken.push(next(), next(), next());
      parentPort.postMessage([...taken, receiveMessageOnPort(parentPort) === undefined]);
    });`;
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const worker = start(t, source, { workerData: flag });
  worker.postMessage('first');
  worker.postMessage('second');
  worker.postMessage('third');
  const { value } = Atomics.waitAsync(flag, 0, 0);
  await value;
  worker.postMessage({ fourth: true });
  worker.postMessage(new SharedArrayBuffer(5));
  worker.postMessage('sixth');
  const [taken] = await messages(worker, 1);
  assert.deepEqual(taken.slice(0, 4), ['first', 'second', 'third', { fourth: true }]);
  assert.equal(taken[4].byteLength, 5);
  assert.deepEqual(taken.slice(5), ['sixth', true]);
});

test('a port without listeners can be transferred', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `const { Worker, parentPort } = require('worker_threads');
     new Worker("const { workerData } = require('worker_threads'); workerData.on('message', (m) => { workerData.postMessage(['inner', m]); workerData.close(); })",
       { eval: true, workerData: parentPort, transferList: [parentPort] });`,
  );
  worker.postMessage({ for: 'the inner one' });
  assert.deepEqual(await messages(worker, 1), [['inner', { for: 'the inner one' }]]);
});

test('a port that was used for sending can be transferred', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `const { Worker, parentPort } = require('worker_threads');
     parentPort.postMessage('outer');
     new Worker("const { workerData } = require('worker_threads'); workerData.postMessage('inner'); workerData.close()",
       { eval: true, workerData: parentPort, transferList: [parentPort] });`,
  );
  assert.deepEqual(await messages(worker, 2), ['outer', 'inner']);
});

test('emit() on the port still works', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT} const seen = []; parentPort.on('message', (m) => { seen.push(m); if (m === 'real') parentPort.postMessage(seen); });
     seen.push(parentPort.emit('message', 'made up'), parentPort.emit('other', 1));`,
  );
  worker.postMessage('real');
  assert.deepEqual(await messages(worker, 1), [['made up', true, false, 'real']]);
});

test('a closed port neither sends nor receives', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT} parentPort.on('message', () => parentPort.postMessage('not after close'));
     parentPort.postMessage('before');
     parentPort.close(() => setTimeout(() => process.exit(5), 50));
     parentPort.postMessage('after');`,
  );
  const end = untilExit(worker);
  worker.postMessage('too late');
  assert.deepEqual(await end, { received: ['before'], code: 5 });
});
