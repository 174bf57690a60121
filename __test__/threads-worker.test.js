'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const fs = require('node:fs');
const test = require('node:test');
const workerThreads = require('node:worker_threads');

const threads = require('../lib/threads');
const { WATCHDOG, start, messages, untilExit } = require('./support/worker');

// Lanes from the first message on: see threads-switch.test.js for the time before.
require('../lib/threads/launch').state.lanesAfter = 0;

/* Sources for workers, in which `parentPort` is the built-in one. */
const ECHO =
  "const { parentPort } = require('worker_threads'); parentPort.on('message', (m) => parentPort.postMessage(m));";

test('a worker says hello', WATCHDOG, async (t) => {
  const source = "require('worker_threads').parentPort.postMessage('Hello from Worker')";
  assert.deepEqual(await messages(start(t, source), 1), ['Hello from Worker']);
});

test('messages go through the lane', WATCHDOG, async (t) => {
  const worker = start(t, ECHO);
  worker.postMessage('warm');
  await messages(worker, 1);
  const port = worker[Object.getOwnPropertySymbols(worker).find((s) => s.description === 'kPublicPort')];
  let onPort = 0;
  const { postMessage } = workerThreads.MessagePort.prototype;
  Object.defineProperty(port, 'postMessage', {
    value(...args) {
      onPort++;
      return postMessage.apply(this, args);
    },
  });
  const echoed = messages(worker, 3);
  worker.postMessage({ a: 1 });
  worker.postMessage([new Map([[1, 2]])]);
  worker.postMessage(new Uint8Array(3));
  assert.deepEqual(await echoed, [{ a: 1 }, [new Map([[1, 2]])], new Uint8Array(3)]);
  assert.equal(onPort, 0);
  const shared = messages(worker, 1);
  worker.postMessage(new SharedArrayBuffer(8));
  assert.ok((await shared)[0] instanceof SharedArrayBuffer);
  assert.equal(onPort, 1);
});

test('order is kept across values that only Node can carry', WATCHDOG, async (t) => {
  const worker = start(t, ECHO);
  const count = 2000;
  const echoed = messages(worker, count);
  for (let i = 0; i < count; i++) {
    const shared = new SharedArrayBuffer(4);
    new Int32Array(shared)[0] = i;
    if (i % 7 === 0) worker.postMessage(shared);
    else if (i % 11 === 0) worker.postMessage(new Int32Array([i]).buffer, [new ArrayBuffer(1)]);
    else worker.postMessage(i);
  }
  const numbers = (await echoed).map((m) => (typeof m === 'number' ? m : new Int32Array(m)[0]));
  assert.deepEqual(
    numbers,
    Array.from({ length: count }, (_, i) => i),
  );
});

test('a flood of messages in both directions arrives intact and in order', WATCHDOG, async (t) => {
  const worker = start(t, ECHO);
  const count = 60_000;
  worker.postMessage(-1);
  await messages(worker, 1);
  const echoed = messages(worker, count);
  for (let i = 0; i < count; i++) worker.postMessage({ i, text: 'x'.repeat(i % 200) });
  (await echoed).forEach((m, i) => {
    if (m.i !== i || m.text.length !== i % 200) assert.fail(`message ${i} is ${JSON.stringify(m)}`);
  });
});

test('messages larger than the ring buffer arrive', WATCHDOG, async (t) => {
  const worker = start(t, ECHO);
  worker.postMessage(0);
  await messages(worker, 1);
  const large = { text: 'ä'.repeat(1_000_000), bytes: new Uint8Array(3_000_000).fill(7), after: 1 };
  const echoed = messages(worker, 3);
  worker.postMessage(1);
  worker.postMessage(large);
  worker.postMessage(2);
  assert.deepEqual(await echoed, [1, large, 2]);
});

test('messages posted before the worker runs arrive first', WATCHDOG, async (t) => {
  const worker = start(t, ECHO);
  for (let i = 0; i < 100; i++) worker.postMessage(i);
  const first = messages(worker, 200);
  await once(worker, 'online');
  for (let i = 100; i < 200; i++) worker.postMessage(i);
  assert.deepEqual(
    await first,
    Array.from({ length: 200 }, (_, i) => i),
  );
});

test("messages posted before the worker exits arrive before 'exit'", WATCHDOG, async (t) => {
  const exits = {
    'process.exit': ['process.exit(3)', 3],
    'an uncaught error': ['throw new Error("on purpose")', 1],
    'nothing left to do': ['', 0],
  };
  for (const [name, [end, expected]] of Object.entries(exits)) {
    const worker = start(
      t,
      `const { parentPort } = require('worker_threads');
       for (let i = 0; i < 20_000; i++) parentPort.postMessage({ i, text: 'some text' });
       parentPort.postMessage(new SharedArrayBuffer(2));
       ${end}`,
    );
    worker.on('error', (error) => assert.equal(error.message, 'on purpose'));
    const { received, code } = await untilExit(worker);
    assert.equal(code, expected, name);
    assert.equal(received.length, 20_001, name);
    assert.equal(received[19_999].i, 19_999, name);
    assert.equal(received[20_000].byteLength, 2, name);
  }
});

test('a worker can be terminated at any time', WATCHDOG, async (t) => {
  for (let round = 0; round < 20; round++) {
    const worker = start(
      t,
      "const { parentPort } = require('worker_threads'); for (let i = 0; ; i++) parentPort.postMessage({ i });",
    );
    if (round % 2 === 0) await once(worker, 'message');
    let last = -1;
    worker.on('message', (m) => {
      assert.ok(m.i > last);
      last = m.i;
    });
    // 0 if it had not started to run.
    assert.ok((await worker.terminate()) <= 1);
    worker.postMessage('nobody there');
    assert.equal(worker.threadId, -1);
  }
});

test('an uncloneable value throws as in Node, and disturbs nothing', WATCHDOG, async (t) => {
  const worker = start(t, ECHO);
  const { port1 } = new workerThreads.MessageChannel();
  t.after(() => port1.close());
  worker.postMessage('first');
  await messages(worker, 1);
  const echoed = messages(worker, 1);
  const values = [
    () => 1,
    Symbol('s'),
    { deep: [{ f() {} }] },
    new WeakMap(),
    Promise.resolve(),
    new Proxy({}, {}),
  ];
  for (const value of values) {
    let expected;
    try {
      port1.postMessage(value);
    } catch (error) {
      expected = error;
    }
    assert.throws(() => worker.postMessage(value), { name: 'DataCloneError', message: expected.message });
  }
  assert.throws(() => worker.postMessage(), { code: 'ERR_MISSING_ARGS' });
  const thrown = new Error('from a getter');
  assert.throws(
    () =>
      worker.postMessage({
        a: 1,
        get b() {
          throw thrown;
        },
      }),
    (error) => error === thrown,
  );
  worker.postMessage('last');
  assert.deepEqual(await echoed, ['last']);
});

test('a worker has its own options', WATCHDOG, async (t) => {
  const source =
    "require('worker_threads').parentPort.postMessage([process.execArgv, process.argv.slice(2)])";
  const own = start(t, source, { execArgv: ['--no-warnings'], argv: ['x'] });
  assert.deepEqual(await messages(own, 1), [[['--no-warnings'], ['x']]]);
  const inherited = start(t, source);
  assert.deepEqual(await messages(inherited, 1), [[process.execArgv, []]]);
  assert.throws(() => new threads.Worker('', { eval: true, execArgv: ['--no-such-option'] }), {
    code: 'ERR_WORKER_INVALID_EXEC_ARGV',
    message: /: --no-such-option$/,
  });
  assert.throws(() => new threads.Worker('', { eval: true, execArgv: 'x' }), {
    code: 'ERR_INVALID_ARG_TYPE',
  });
  assert.throws(() => new threads.Worker('relative.js'), { code: 'ERR_WORKER_PATH' });
  assert.throws(() => new threads.Worker('', { eval: true, workerData: () => {} }), {
    name: 'DataCloneError',
  });
});

test('the link is not visible in the worker', WATCHDOG, async (t) => {
  workerThreads.setEnvironmentData('mine', 'kept');
  t.after(() => workerThreads.setEnvironmentData('mine', undefined));
  const worker = start(
    t,
    `const { parentPort, getEnvironmentData } = require('worker_threads');
     parentPort.postMessage({
       data: getEnvironmentData('mine'),
       link: getEnvironmentData('manycore.link'),
       env: Object.keys(process.env).filter((name) => /manycore/i.test(name) && name !== 'npm_package_name'),
       keys: Object.keys(parentPort),
     })`,
    { env: { PATH: process.env.PATH } },
  );
  const plain = new workerThreads.Worker(
    "const { parentPort } = require('worker_threads'); parentPort.postMessage(Object.keys(parentPort))",
    { eval: true },
  );
  const [[seen], [keys]] = await Promise.all([messages(worker, 1), messages(plain, 1)]);
  assert.deepEqual(seen, { data: 'kept', link: undefined, env: [], keys });
});

test('nested workers have their own links', WATCHDOG, async (t) => {
  const library = JSON.stringify(require.resolve('../lib/threads'));
  const worker = start(
    t,
    `const { Worker, parentPort } = require(${library});
     const inner = new Worker(${JSON.stringify(ECHO)}, { eval: true });
     inner.on('message', (m) => parentPort.postMessage(m));
     parentPort.on('message', (m) => inner.postMessage(m));`,
  );
  const echoed = messages(worker, 3);
  for (const message of [1, { a: [2] }, 'three']) worker.postMessage(message);
  assert.deepEqual(await echoed, [1, { a: [2] }, 'three']);
});

test('once() leaves later messages for the next listener', WATCHDOG, async (t) => {
  const worker = start(
    t,
    "const { parentPort } = require('worker_threads'); for (let i = 0; i < 5; i++) parentPort.postMessage(i); setInterval(() => {}, 1e6);",
  );
  for (let i = 0; i < 5; i++) assert.deepEqual(await once(worker, 'message'), [i]);
});

test(
  'an exception thrown by a listener is uncaught, and the next message is still delivered',
  WATCHDOG,
  async (t) => {
    const worker = start(
      t,
      `const { parentPort } = require('worker_threads');
     const seen = [];
     process.on('uncaughtException', (error) => seen.push(error.message));
     parentPort.on('message', (m) => {
       if (m === 'report') return parentPort.postMessage(seen);
       process.nextTick(() => seen.push('tick ' + m));
       Promise.resolve().then(() => seen.push('microtask ' + m));
       throw new Error('thrown ' + m);
     });`,
    );
    for (const message of ['a', 'b', 'report']) worker.postMessage(message);
    const [seen] = await messages(worker, 1);
    assert.deepEqual([...seen].sort(), [
      'microtask a',
      'microtask b',
      'thrown a',
      'thrown b',
      'tick a',
      'tick b',
    ]);
    assert.ok(seen.indexOf('thrown a') < seen.indexOf('thrown b'));
  },
);

test('ticks and microtasks run between two messages', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `const { parentPort } = require('worker_threads');
     const seen = [];
     parentPort.on('message', (m) => {
       if (m === 'report') return parentPort.postMessage(seen);
       seen.push(m);
       Promise.resolve().then(() => seen.push('microtask'));
       process.nextTick(() => seen.push('tick'));
     });`,
  );
  const reported = messages(worker, 1);
  for (const message of [1, 2, 'report']) worker.postMessage(message);
  assert.deepEqual(await reported, [[1, 'tick', 'microtask', 2, 'tick', 'microtask']]);
});

test(
  'objects marked as uncloneable are rejected',
  { ...WATCHDOG, skip: !workerThreads.markAsUncloneable },
  async (t) => {
    const worker = start(
      t,
      `const { parentPort, markAsUncloneable } = require('worker_threads');
     const marked = { a: 1 };
     markAsUncloneable(marked);
     try { parentPort.postMessage([marked]); } catch (error) { parentPort.postMessage(error.name); }
     parentPort.on('message', () => parentPort.postMessage('came through'));`,
    );
    assert.deepEqual(await messages(worker, 1), ['DataCloneError']);
    const marked = { deep: 1 };
    threads.markAsUncloneable(marked);
    assert.throws(() => worker.postMessage({ marked }), { name: 'DataCloneError' });
  },
);

test('a getter that precedes a large value runs once', WATCHDOG, async (t) => {
  const worker = start(t, ECHO);
  worker.postMessage(0);
  await messages(worker, 1);
  for (const large of ['x'.repeat(300_000), new Uint8Array(300_000)]) {
    let calls = 0;
    const echoed = messages(worker, 2);
    worker.postMessage({
      get first() {
        return ++calls;
      },
      large,
    });
    worker.postMessage({ large });
    assert.deepEqual(await echoed, [{ first: 1, large }, { large }]);
    assert.equal(calls, 1);
  }
});

test('exited workers leak no file descriptors', WATCHDOG, async (t) => {
  const open = () => fs.readdirSync('/proc/self/fd').length;
  const run = () => untilExit(start(t, `${ECHO} parentPort.postMessage(1); parentPort.close();`));
  await run();
  const before = open();
  for (let i = 0; i < 20; i++) await run();
  // Handles are closed in a later turn of the event loop.
  while (open() > before) await new Promise(setImmediate);
});
