'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const test = require('node:test');

const { WATCHDOG, start, messages, untilExit } = require('./support/worker');

/* Requests and blocking calls between a worker and its parent. */

const PORT = "const { parentPort } = require('worker_threads');";
const ECHO = `${PORT} parentPort.onRequest((value) => value);`;

test('requests are answered by the handler on the other side, in both directions', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT} parentPort.onRequest(async (n) => n + (await parentPort.request(n * 10)));`,
  );
  worker.onRequest((n) => n + 1);
  assert.equal(await worker.request(1), 12);
  assert.equal(worker.call === undefined, false);
});

test('a call blocks until the answer arrives', WATCHDOG, (t) => {
  const worker = start(t, ECHO);
  const value = { id: 1, op: 'get', v: [1, 2, 3], nested: new Map([[1, new Date(5)]]) };
  assert.deepEqual(worker.call(value), value);
  assert.equal(worker.call(undefined), undefined);
  assert.equal(worker.call('x'.repeat(3_000_000)).length, 3_000_000);
});

test('a handler may return a promise', WATCHDOG, (t) => {
  const worker = start(
    t,
    `${PORT} parentPort.onRequest((ms) => new Promise((resolve) => setTimeout(resolve, ms, ms)));`,
  );
  assert.equal(worker.call(3), 3);
});

test('a request waits until a handler is registered', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT} parentPort.on('message', () => parentPort.onRequest((value) => ['late', value]));`,
  );
  const answers = Promise.all([worker.request(1), worker.request(2)]);
  worker.postMessage('now');
  assert.deepEqual(await answers, [
    ['late', 1],
    ['late', 2],
  ]);
});

test('requests are answered in the order they were made', WATCHDOG, async (t) => {
  const worker = start(t, `${PORT} let n = 0; parentPort.onRequest((value) => [value, n++]);`);
  const answers = await Promise.all(Array.from({ length: 20_000 }, (_, i) => worker.request(i)));
  answers.forEach(([value, n], i) => assert.ok(value === i && n === i));
});

test('a blocking call neither delivers nor loses messages', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT} let n = 0;
     parentPort.onRequest(() => { for (let i = 0; i < 10; i++) parentPort.postMessage(n++); return n; });`,
  );
  const received = [];
  worker.on('message', (message) => received.push(message));
  for (let i = 0; i < 100; i++) worker.call(i);
  assert.deepEqual(received, []);
  while (received.length < 1000) await once(worker, 'message');
  assert.deepEqual(
    received,
    received.map((_, i) => i),
  );
});

test("two sides that call each other serve each other's calls while blocked", WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT}
     parentPort.onRequest((n) => (n === 0 ? 'bottom' : parentPort.call(n - 1)));
     parentPort.on('message', () => { for (let i = 0; i < 500; i++) parentPort.call(3); parentPort.postMessage('done'); });`,
  );
  worker.onRequest((n) => (n === 0 ? 'top' : worker.call(n - 1)));
  assert.equal(worker.call(5), 'top');
  assert.equal(worker.call(4), 'bottom');
  worker.postMessage('go');
  const done = once(worker, 'message');
  for (let i = 0; i < 500; i++) assert.equal(worker.call(4), 'bottom');
  assert.deepEqual(await done, ['done']);
});

test('a call made inside a request handler is served by the requester', WATCHDOG, async (t) => {
  const worker = start(t, `${PORT} parentPort.onRequest((n) => parentPort.call(n) + 1);`);
  worker.onRequest((n) => n * 2);
  assert.equal(await worker.request(21), 43);
});

test(
  'a call back to a blocked side whose handler returns a promise fails, as it would wait for ever',
  WATCHDOG,
  async (t) => {
    const worker = start(
      t,
      `${PORT}
     parentPort.onRequest((depth) => depth === 0 ? 'bottom' : parentPort.call(depth - 1, { timeoutMs: 30_000 }));
     parentPort.on('message', () => parentPort.postMessage(parentPort.call('message', { timeoutMs: 30_000 })));`,
    );
    const aborted = new Promise((resolve) => {
      worker.onRequest(async (value, { signal }) => {
        signal.addEventListener('abort', () => resolve(value));
        return value;
      });
    });
    assert.throws(() => worker.call(1), { name: 'Error', code: 'ERR_MANYCORE_DEADLOCK' });
    assert.equal(await aborted, 0);
    // Between the two calls, the promise settles: not blocked, this side has its turns.
    assert.equal(await worker.request(5), 4);
    // This call was not made by a handler, so the other side can answer while it waits.
    worker.postMessage('call back');
    for (let i = 0; i < 100; i++) assert.equal(worker.call(0), 'bottom');
    assert.deepEqual(await messages(worker, 1), ['message']);
    // A synchronous handler between the two.
    worker.onRequest((depth) => (depth === 4 ? worker.call(depth - 1) : Promise.resolve(depth)));
    assert.throws(() => worker.call(5), { code: 'ERR_MANYCORE_DEADLOCK' });
    assert.equal(worker.call(0), 'bottom');
  },
);

test('requests carry values that only the platform can clone', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT}
     parentPort.onRequest((value, context) => {
       if (value === 'shared') return new SharedArrayBuffer(3);
       if (value === 'transferred') {
         const buffer = new ArrayBuffer(5);
         context.transferList = [buffer];
         setImmediate(() => parentPort.postMessage(buffer.byteLength));
         return buffer;
       }
       return value;
     });`,
  );
  assert.equal(worker.call('shared').byteLength, 3);
  const left = messages(worker, 1);
  assert.equal((await worker.request('transferred')).byteLength, 5);
  assert.deepEqual(await left, [0]);
  const buffer = new ArrayBuffer(8);
  assert.equal(worker.call(buffer, { transferList: [buffer] }).byteLength, 8);
  assert.equal(buffer.byteLength, 0);
  const shared = new SharedArrayBuffer(4);
  const answer = await worker.request({ shared, plain: [1] });
  new Uint8Array(shared)[0] = 7;
  assert.equal(new Uint8Array(answer.shared)[0], 7);
});

test('message order is kept around a value that cannot go through the lane', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT}
     let n = 0;
     parentPort.onRequest(() => {
       const { port1, port2 } = new MessageChannel();
       parentPort.postMessage(n++);
       parentPort.postMessage({ n: n++, port: port1 }, [port1]);
       parentPort.postMessage(n++);
       return new SharedArrayBuffer(1);
     });`,
  );
  const received = [];
  worker.on('message', (message) => {
    message?.port?.close();
    received.push(message.n ?? message);
  });
  for (let i = 0; i < 50; i++) assert.equal(worker.call(i).byteLength, 1);
  while (received.length < 150) await once(worker, 'message');
  assert.deepEqual(
    received,
    received.map((_, i) => i),
  );
});

test('message order is kept in the worker as well, even before it listens', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT}
     const seen = [];
     const size = parentPort.call('shared').byteLength;
     parentPort.addEventListener('message', (e) => {
       seen.push(e.data.n ?? e.data, e.ports.length);
       if (seen.length === 6) parentPort.postMessage([size, ...seen]);
     });`,
  );
  worker.onRequest(() => {
    const { port1, port2 } = new MessageChannel();
    port2.close();
    worker.postMessage(1);
    worker.postMessage({ n: 2, port: port1 }, [port1]);
    setImmediate(() => worker.postMessage(3));
    return new SharedArrayBuffer(6);
  });
  assert.deepEqual(await messages(worker, 1), [[6, 1, 0, 2, 1, 3, 0]]);
});

test('an uncloneable value is rejected on the side that sends it', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT} parentPort.onRequest((value) => value === 'function' ? () => {} : value);`,
  );
  const refused = { name: 'DataCloneError', code: 25 };
  assert.throws(() => worker.call(() => {}), refused);
  await assert.rejects(
    worker.request(() => {}),
    refused,
  );
  assert.throws(() => worker.call('function'), refused);
  assert.equal(worker.call('still there'), 'still there');
});

test('timeouts and abort signals end the wait and notify the handler', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT}
     parentPort.onRequest((value, { signal }) => value === 'never'
       ? new Promise(() => signal.addEventListener('abort', () => parentPort.postMessage('aborted')))
       : value);`,
  );
  const aborted = messages(worker, 3);
  assert.throws(() => worker.call('never', { timeoutMs: 20 }), { code: 'ERR_MANYCORE_TIMEOUT' });
  await assert.rejects(worker.request('never', { timeoutMs: 20 }), { code: 'ERR_MANYCORE_TIMEOUT' });
  const controller = new AbortController();
  const waiting = worker.request('never', { signal: controller.signal });
  setImmediate(() => controller.abort(new Error('enough')));
  await assert.rejects(waiting, { message: 'enough' });
  assert.deepEqual(await aborted, ['aborted', 'aborted', 'aborted']);
  await assert.rejects(worker.request(1, { signal: AbortSignal.abort('before') }), (e) => e === 'before');
  assert.equal(
    await worker.request(1, { timeoutMs: 100_000, signal: controller.signal }).catch((e) => e.message),
    'enough',
  );
  assert.equal(worker.call(2, { timeoutMs: Infinity }), 2);
});

test('arguments are validated', WATCHDOG, async (t) => {
  const worker = start(t, ECHO);
  const { signal } = new AbortController();
  assert.throws(() => worker.onRequest('x'), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => worker.call(1, { timeoutMs: -1 }), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => worker.call(1, { timeoutMs: '1' }), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => worker.call(1, { signal }), { code: 'ERR_INVALID_ARG_VALUE' });
  await assert.rejects(worker.request(1, null), { code: 'ERR_INVALID_ARG_TYPE' });
  await assert.rejects(worker.request(1, { signal: {} }), { code: 'ERR_INVALID_ARG_TYPE' });
  await assert.rejects(worker.request(1, { transferList: 1 }), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => worker.call.call({}, 1), { code: 'ERR_INVALID_THIS' });
});

test('removing a handler leaves later requests waiting', WATCHDOG, async (t) => {
  const worker = start(t, ECHO);
  worker.onRequest(() => 'first').onRequest(null);
  assert.throws(() => worker.call('x', { timeoutMs: -0.5 }), { code: 'ERR_OUT_OF_RANGE' });
  assert.equal(worker.call('up'), 'up');
  const other = start(
    t,
    `${PORT} parentPort.request('hello').then((answer) => parentPort.postMessage(answer));`,
  );
  setImmediate(() => setImmediate(() => other.onRequest((value) => `${value} back`)));
  assert.deepEqual(await messages(other, 1), ['hello back']);
});

test('a worker stays alive for its handler and for pending answers', WATCHDOG, async (t) => {
  const answering = start(t, ECHO);
  await once(answering, 'online');
  assert.equal(await answering.request('still there'), 'still there');
  const unrefed = start(t, `${ECHO} parentPort.unref();`);
  assert.equal((await untilExit(unrefed)).code, 0);
  const closing = start(
    t,
    `${PORT} parentPort.onRequest(() => { setImmediate(() => parentPort.close()); return 'last'; });`,
  );
  const end = untilExit(closing);
  assert.equal(await closing.request(), 'last');
  assert.equal((await end).code, 0);
  const asking = start(t, `${PORT} parentPort.request(1).then((answer) => parentPort.postMessage(answer));`);
  const received = untilExit(asking);
  asking.onRequest(async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return 'after a while';
  });
  assert.deepEqual(await received, { received: ['after a while'], code: 0 });
});

test('the exit of a worker settles all pending requests and calls', WATCHDOG, async (t) => {
  const gone = { code: 'ERR_MANYCORE_PEER_GONE' };
  const exits = start(
    t,
    `${PORT} parentPort.onRequest((v) => { if (v) process.exit(); return new Promise(() => {}); });`,
  );
  const waiting = assert.rejects(exits.request(0), gone);
  assert.throws(() => exits.call(1), gone);
  await waiting;
  await assert.rejects(exits.request(1), gone);
  const silent = start(t, '');
  assert.throws(() => silent.call(1), gone);
  const fails = start(t, 'throw new Error("on purpose")');
  fails.on('error', () => {});
  assert.throws(() => fails.call(1), gone);
  const terminated = start(t, ECHO);
  await terminated.request(1);
  const pending = assert.rejects(
    terminated.request(() => {}),
    { name: 'DataCloneError' },
  );
  await terminated.terminate();
  assert.throws(() => terminated.call(1), gone);
  await pending;
});

test('answers sent before the worker exits arrive', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `${PORT} let n = 0; parentPort.onRequest((v) => { if (++n === 100) setImmediate(() => process.exit()); return v; });`,
  );
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => worker.request(i)));
  assert.deepEqual(
    answers,
    answers.map((_, i) => i),
  );
});

test('a blocked worker can be terminated', WATCHDOG, async (t) => {
  const worker = start(t, `${PORT} parentPort.postMessage('up'); parentPort.call('never answered');`);
  worker.onRequest(() => new Promise(() => {}));
  await once(worker, 'message');
  assert.equal(await worker.terminate(), 1);
});

test('workers can exit at any time, blocked or not', WATCHDOG, async () => {
  const { Worker } = require('../lib/threads');
  const source = `${PORT}
    parentPort.onRequest((n) => n);
    const ask = () => { parentPort.call(1); parentPort.request(2); setImmediate(ask); };
    ask();`;
  for (let i = 0; i < 30; i++) {
    const worker = new Worker(source, { eval: true });
    worker.onRequest((n) => n);
    const asked = [];
    for (let k = 0; k < i * 3; k++) asked.push(worker.request(k).catch((error) => error.code));
    const end = worker.terminate();
    for (const answer of await Promise.all(asked)) {
      assert.ok(typeof answer === 'number' || answer === 'ERR_MANYCORE_PEER_GONE');
    }
    await end;
  }
});
