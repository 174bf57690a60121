'use strict';

/* Shared objects in messages: they arrive as instances of their classes, attached to the same memory. */

const assert = require('node:assert');
const { execFileSync } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const test = require('node:test');

const manycore = require('..');
const { WATCHDOG, nameFor } = require('./support/shared');

const { MessageChannel, SharedMap, Worker, cluster } = manycore;
const PROGRAM = path.join(__dirname, 'fixtures', 'shared-traveller.js');

/** Creates one object of each class. The source of this function also runs in another process. */
function oneOfEach() {
  return {
    SharedArray: new manycore.SharedArray({ capacity: 10 }),
    SharedBuffer: new manycore.SharedBuffer({ byteLength: 8 }),
    SharedCounter: new manycore.SharedCounter(),
    SharedHistogram: new manycore.SharedHistogram({ highest: 1000 }),
    SharedMap: new SharedMap(),
    RateLimiter: new manycore.RateLimiter({ limit: 10, windowMs: 2 ** 33 }),
    Channel: new manycore.Channel(),
    Topic: new manycore.Topic(),
    Barrier: new manycore.Barrier(1),
    Condition: new manycore.Condition(),
    Mutex: new manycore.Mutex(),
    Once: new manycore.Once(),
    RwLock: new manycore.RwLock(),
    Semaphore: new manycore.Semaphore(1),
  };
}

/** Checks that others have used them a number of times. */
function checkUse(each, times) {
  assert.deepStrictEqual(each.SharedArray.toArray(), Array(times).fill('there'));
  assert.strictEqual(new Int32Array(each.SharedBuffer.buffer)[0], times);
  assert.strictEqual(each.SharedCounter.value, times);
  assert.strictEqual(each.SharedHistogram.count, times);
  assert.strictEqual(each.SharedMap.get('there'), times);
  assert.strictEqual(each.RateLimiter.peek('there').remaining, 10 - times);
  assert.strictEqual(each.Channel.size, times);
  assert.strictEqual(each.Topic.stats().published, times);
  assert.strictEqual(each.Once.isDone, times > 0);
}

function startWorker(t, workerData) {
  const worker = new Worker(PROGRAM, { workerData: { role: 'traveller', ...workerData } });
  t.after(() => worker.terminate());
  return worker;
}

async function answerOf(emitter) {
  const ended = new AbortController();
  const end = () => ended.abort();
  emitter.once('exit', end);
  try {
    const [answer] = await once(emitter, 'message', { signal: ended.signal });
    return answer;
  } finally {
    emitter.off('exit', end);
  }
}

test('workerData carries shared objects to cold and warm threads', WATCHDOG, async (t) => {
  const each = oneOfEach();
  const worker = startWorker(t, { objects: Object.values(each) });
  assert.deepStrictEqual(await answerOf(worker), { used: Object.keys(each) });
  checkUse(each, 1);
  await Worker.warm(1);
  t.after(() => Worker.warm(0));
  const workerData = { role: 'traveller', objects: Object.values(each) };
  const warm = new Worker(PROGRAM, { workerData, warm: true });
  t.after(() => warm.terminate());
  assert.deepStrictEqual(await answerOf(warm), { used: Object.keys(each) });
  checkUse(each, 2);
});

test('postMessage carries shared objects, whatever transports the message', WATCHDOG, async (t) => {
  const each = oneOfEach();
  const worker = startWorker(t);
  const objects = Object.values(each);
  // First through Node's port alone; then through the lane; and through Node's port for values that only it can
  // carry.
  for (const beside of [{}, {}, { memory: new SharedArrayBuffer(8) }]) {
    worker.postMessage({ objects, ...beside });
    assert.deepStrictEqual(await answerOf(worker), { used: Object.keys(each) });
  }
  const { port1, port2 } = new MessageChannel();
  worker.postMessage({ objects, port2 }, [port2]);
  assert.deepStrictEqual(await answerOf(worker), { used: Object.keys(each) });
  port1.close();
  checkUse(each, 4);
});

test(
  'a shared object sent back arrives as one object, with the memory of the original',
  WATCHDOG,
  async (t) => {
    const worker = startWorker(t);
    const map = new SharedMap().set('a', 1);
    let received;
    let count = 1;
    const shapes = [{ map, again: map }, [map, map], new Map([[1, map]]), new Set([map]), map];
    for (const back of shapes) {
      for (const beside of [{}, { memory: new SharedArrayBuffer(8) }]) {
        worker.postMessage({ back, ...beside });
        const answer = await answerOf(worker);
        const [first, second = first] = back === map ? [answer.back] : members(answer.back);
        assert.ok(first instanceof SharedMap);
        assert.strictEqual(first, second);
        received ??= first;
        assert.strictEqual(first, received);
        assert.strictEqual(first.get('a'), count);
        first.set('a', ++count);
        assert.strictEqual(map.get('a'), count);
      }
    }
  },
);

/** Returns the maps in one of the shapes. */
function members(shape) {
  if (shape instanceof Map || shape instanceof Set) return [...shape.values()];
  return Object.values(shape);
}

test('requests, calls and pool tasks carry shared objects', WATCHDOG, async (t) => {
  const each = oneOfEach();
  const objects = Object.values(each);
  const worker = startWorker(t);
  assert.deepStrictEqual(await worker.request(objects), Object.keys(each));
  assert.deepStrictEqual(worker.call(objects), Object.keys(each));
  const pool = new manycore.Pool({ filename: PROGRAM, maxThreads: 1 });
  t.after(() => pool.destroy());
  assert.deepStrictEqual(await pool.run(objects, { name: 'use' }), Object.keys(each));
  const { port1, port2 } = new MessageChannel();
  await pool.run(objects.concat([]), { name: 'use', transferList: [port2] });
  port1.close();
  checkUse(each, 4);
  // Only the message references it until it arrives.
  const made = await pool.run(undefined, { name: 'make' });
  assert.strictEqual(made.get('made'), 'there');
});

for (const serialization of ['json', 'advanced']) {
  test(`cluster messages carry shared objects, ${serialization}`, WATCHDOG, async (t) => {
    const each = oneOfEach();
    const objects = Object.values(each);
    cluster.setupPrimary({ exec: PROGRAM, serialization });
    const worker = cluster.fork();
    t.after(async () => {
      const ended = once(worker, 'exit');
      worker.kill('SIGKILL');
      await ended;
    });
    // Before the worker has started, then through the lane.
    for (let round = 1; round <= 3; round++) {
      worker.send({ objects });
      assert.deepStrictEqual(await answerOf(worker), { used: Object.keys(each) });
      checkUse(each, round);
    }
    worker.send({ back: each.SharedMap });
    assert.strictEqual((await answerOf(worker)).back.get('there'), 3);
    // A message with a socket takes another path.
    const server = require('node:net').createServer().listen(0, '127.0.0.1');
    t.after(() => server.close());
    await once(server, 'listening');
    worker.send({ objects }, server);
    assert.deepStrictEqual(await answerOf(worker), { used: Object.keys(each) });
    checkUse(each, 4);
  });
}

test('objects of a class share one hidden class, so V8 can use monomorphic access', () => {
  const code = `
    const manycore = require(${JSON.stringify(require.resolve('..'))});
    const { SharedMap } = manycore;
    const others = (${oneOfEach})();
    for (const [name, one] of Object.entries((${oneOfEach})())) {
      const received = one.constructor.from(one.handle);
      console.log(name, %HaveSameMap(one, others[name]), %HaveSameMap(one, received));
    }`;
  const args = ['--allow-natives-syntax', '--eval', code];
  const lines = execFileSync(process.execPath, args, { encoding: 'utf8' }).trim().split('\n');
  assert.deepStrictEqual(
    lines,
    Object.keys(oneOfEach()).map((name) => `${name} true true`),
  );
});

test('maps, arrays, channels and topics can hold shared objects', () => {
  const inner = new SharedMap().set('a', 1);
  const map = new SharedMap().set('inner', { inner });
  assert.strictEqual(map.get('inner').inner.get('a'), 1);
  const array = new manycore.SharedArray({ capacity: 1 });
  array.push(inner);
  assert.strictEqual(array.get(0).get('a'), 1);
  const channel = new manycore.Channel();
  channel.trySend([inner, inner]);
  const [one, other] = channel.tryReceive().value;
  assert.strictEqual(one, other);
  one.set('a', 2);
  assert.strictEqual(inner.get('a'), 2);
});

test(
  'an instance of a user-defined subclass arrives as an instance of the base class',
  WATCHDOG,
  async (t) => {
    class Sessions extends SharedMap {}
    const worker = startWorker(t);
    worker.postMessage({ objects: [new Sessions()] });
    assert.deepStrictEqual(await answerOf(worker), { used: ['SharedMap'] });
  },
);

test('structuredClone and JSON carry a stand-in that from() accepts', async (t) => {
  const map = new SharedMap().set('a', 1);
  assert.strictEqual(SharedMap.from(structuredClone(map)).get('a'), 1);
  assert.strictEqual(SharedMap.from(JSON.parse(JSON.stringify({ map })).map).get('a'), 1);
  assert.throws(() => manycore.Mutex.from(structuredClone(map)), { code: 'ERR_MANYCORE_SEGMENT_KIND' });
  const named = SharedMap.open(nameFor(t));
  const standIn = structuredClone(named);
  assert.ok(SharedMap.from(standIn));
  // A different segment of the same name is not the one that was sent.
  manycore.shared.unlink(named.handle.split('/')[1]);
  const other = SharedMap.open(named.handle.split('/')[1]);
  assert.throws(() => SharedMap.from(standIn), { code: 'ERR_MANYCORE_SEGMENT_NOT_FOUND' });
  other.close();
});

test('a shared object whose memory is gone throws on use, and says why', WATCHDOG, async (t) => {
  const worker = startWorker(t);
  const name = nameFor(t);
  // From now on, the thread is listening, so what follows uses the lane.
  worker.postMessage({ objects: [] });
  await answerOf(worker);
  for (const beside of [{}, { memory: new SharedArrayBuffer(8) }]) {
    const map = SharedMap.open(name);
    manycore.shared.unlink(name);
    worker.postMessage({ lost: map, ...beside });
    const expected = { lost: { code: 'ERR_MANYCORE_SEGMENT_NOT_FOUND', isMap: true } };
    assert.deepStrictEqual(await answerOf(worker), expected);
  }
  const closed = new SharedMap();
  closed.close();
  for (const post of [(value) => worker.postMessage(value), (value) => structuredClone(value)]) {
    assert.throws(() => post({ objects: [closed] }), { code: 'ERR_MANYCORE_CLOSED' });
  }
});

test('data resembling a stand-in stays plain data unless its memory is known', WATCHDOG, async (t) => {
  const worker = startWorker(t);
  const [key] = Object.keys(structuredClone(new SharedMap()));
  const forged = `${'0'.repeat(32)}:map:fd/${process.pid}/1/${'0'.repeat(32)}`;
  const standIns = [
    { [key]: 'x' },
    { [key]: forged },
    { [key]: forged, more: 1 },
    { handle: 'manycore:map:x' },
  ];
  for (const beside of [{}, { memory: new SharedArrayBuffer(8) }]) {
    worker.postMessage({ back: standIns, ...beside });
    assert.deepStrictEqual((await answerOf(worker)).back, standIns);
  }
});
