'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const test = require('node:test');
const { MessageChannel, MessagePort, receiveMessageOnPort } = require('../lib/threads');

const { WATCHDOG, start, messages } = require('./support/worker');

/* Requests and blocking calls between the ports of a MessageChannel. */

const THREADS =
  "const { parentPort, workerData, receiveMessageOnPort, MessageChannel } = require('worker_threads');";

/**
 * A channel of which a worker has one port, as `port`.
 * @param {import('node:test').TestContext} t
 * @param {string} body
 */
function withWorker(t, body) {
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  const worker = start(t, `${THREADS} const port = workerData; ${body}`, {
    workerData: port2,
    transferList: [port2],
  });
  return { port: port1, worker };
}

test('MessagePort.prototype has only the standard property names', () => {
  assert.deepEqual(Object.getOwnPropertyNames(MessagePort.prototype).sort(), [
    'close',
    'constructor',
    'hasRef',
    'onmessage',
    'onmessageerror',
    'postMessage',
    'ref',
    'start',
    'unref',
  ]);
});

test('requests and calls work between threads in both directions', WATCHDOG, async (t) => {
  const { port } = withWorker(
    t,
    'port.onRequest((n) => n < 0 ? port.call(n) : n > 100 ? port.request(n) : n + 1);',
  );
  port.onRequest((n) => ['from the other side', n]);
  assert.equal(port.call(1), 2);
  assert.equal(await port.request(2), 3);
  assert.deepEqual(port.call(-1), ['from the other side', -1]);
  assert.deepEqual(await port.request(101), ['from the other side', 101]);
});

test('within one thread, a call runs the handler synchronously', WATCHDOG, async (t) => {
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  port2.onRequest((n) => (n === 0 ? 0 : port2.call(n - 1)));
  port1.onRequest((n) => (n === 0 ? 0 : port1.call(n - 1)));
  assert.equal(port1.call(4), 0);
  assert.equal(await port1.request(3), 0);
});

test('both sides can start with a blocking call at the same time', WATCHDOG, async (t) => {
  const { port, worker } = withWorker(
    t,
    `port.onRequest((n) => n * 2);
     parentPort.postMessage('up');
     parentPort.once('message', () => parentPort.postMessage(port.call(5)));`,
  );
  port.onRequest((n) => n * 3);
  await once(worker, 'message');
  const answer = once(worker, 'message');
  worker.postMessage('go');
  assert.equal(port.call(7), 14);
  assert.deepEqual(await answer, [15]);
});

test('requests do not affect the order or listeners of messages on the same port', WATCHDOG, async (t) => {
  const { port, worker } = withWorker(
    t,
    `port.onRequest((n) => n);
     const seen = [];
     parentPort.once('message', () => {
       const first = receiveMessageOnPort(port);
       port.on('message', (m) => {
         seen.push(m);
         if (m === 9) parentPort.postMessage([first.message, ...seen]);
       });
     });`,
  );
  for (let i = 0; i < 5; i++) port.postMessage(i);
  assert.equal(port.call('answered without a listener'), 'answered without a listener');
  worker.postMessage('listen');
  for (let i = 5; i < 10; i++) port.postMessage(i);
  assert.deepEqual(await messages(worker, 1), [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]);
});

test('requests carry ports and shared memory', WATCHDOG, async (t) => {
  const { port } = withWorker(
    t,
    `port.onRequest(({ reply, shared }) => { reply.postMessage('direct'); reply.close(); return shared; });`,
  );
  const { port1, port2 } = new MessageChannel();
  const shared = new SharedArrayBuffer(2);
  assert.equal(port.call({ reply: port2, shared }, { transferList: [port2] }).byteLength, 2);
  assert.deepEqual(receiveMessageOnPort(port1), { message: 'direct' });
  port1.close();
});

test('a port that only makes requests can be transferred', WATCHDOG, async (t) => {
  const { port, worker } = withWorker(
    t,
    `port.onRequest((n) => n === 'never' ? new Promise(() => {}) : n + 1);
     parentPort.on('message', () => {});`,
  );
  assert.equal(port.call(1), 2);
  const waiting = assert.rejects(port.request('never'), { code: 'ERR_MANYCORE_PEER_GONE' });
  const heir = start(
    t,
    `${THREADS} workerData.request(5).then((n) => parentPort.postMessage([n, workerData.call(6)]));`,
    {
      workerData: port,
      transferList: [port],
    },
  );
  assert.deepEqual(await messages(heir, 1), [[6, 7]]);
  await waiting;
  await assert.rejects(port.request(1), { code: 'ERR_MANYCORE_PEER_GONE' });
  await worker.terminate();
});

test('a port with a request handler cannot be transferred', WATCHDOG, (t) => {
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  port1.onRequest((n) => n);
  const other = new MessageChannel();
  t.after(() => other.port1.close());
  assert.throws(() => other.port1.postMessage(port1, [port1]));
  assert.equal(port2.call('still here'), 'still here');
});

test('closing a port settles all pending requests', WATCHDOG, async (t) => {
  const gone = { code: 'ERR_MANYCORE_PEER_GONE' };
  const { port } = withWorker(
    t,
    `port.onRequest((n) => { if (n) port.close(); return new Promise(() => {}); });`,
  );
  const waiting = assert.rejects(port.request(0), gone);
  assert.throws(() => port.call(1), gone);
  await waiting;
  const { port1, port2 } = new MessageChannel();
  const closed = once(port1, 'close');
  port2.close();
  await closed;
  assert.throws(() => port1.call(1), gone);
  const ended = withWorker(t, `process.exit()`);
  assert.throws(() => ended.port.call(1), gone);
});

test('a request handler keeps the thread alive until the port is closed or unrefed', WATCHDOG, async (t) => {
  const { port, worker } = withWorker(
    t,
    `const listener = () => {};
     port.onRequest((n) => n);
     port.on('message', listener);
     port.off('message', listener);`,
  );
  assert.equal(port.call(1), 1);
  assert.equal(await port.request(2), 2);
  const end = once(worker, 'exit');
  port.close();
  assert.deepEqual(await end, [0]);
});

test('lanes are created and released with their ports', WATCHDOG, async (t) => {
  const fs = require('node:fs');
  const { worker } = withWorker(t, `parentPort.on('message', (port) => port.onRequest((n) => n));`);
  const round = async () => {
    const { port1, port2 } = new MessageChannel();
    worker.postMessage(port2, [port2]);
    assert.equal(port1.call(1), 1);
    const closed = once(port1, 'close');
    port1.close();
    await closed;
  };
  const descriptors = () => fs.readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 20; i++) await round();
  const before = descriptors();
  for (let i = 0; i < 200; i++) await round();
  // The worker closes its side a little later.
  while (descriptors() > before + 8) await new Promise((resolve) => setImmediate(resolve));
});
