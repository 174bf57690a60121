'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const test = require('node:test');

const { SharedArray, SharedMap, Worker, shared } = require('..');
const { WATCHDOG, nameFor, processPeer, threadPeer } = require('./support/shared');

test('an array keeps pushed values in order and pops them from the end', () => {
  const array = new SharedArray({ capacity: 4 });
  const values = [{ name: 'Ada', tags: ['a', 'b'] }, 'text', 7, undefined];
  values.forEach((value, index) => assert.strictEqual(array.push(value), index + 1));
  assert.deepStrictEqual(array.toArray(), values);
  assert.deepStrictEqual([...array.entries()], [...values.entries()]);
  assert.deepStrictEqual([...array.keys()], [0, 1, 2, 3]);
  const seen = [];
  array.forEach(
    function (value, index, whole) {
      seen.push([this.tag, value, index, whole === array]);
    },
    { tag: 'this' },
  );
  assert.deepStrictEqual(seen[1], ['this', 'text', 1, true]);
  assert.throws(() => array.push(1), { code: 'ERR_MANYCORE_FULL' });
  assert.strictEqual(array.pop(), undefined);
  assert.strictEqual(array.length, 3);
  assert.strictEqual(array.pop(), 7);
  assert.strictEqual(array.at(-1), 'text');
  assert.strictEqual(array.at(-3), undefined);
  array.clear();
  assert.strictEqual(array.length, 0);
  assert.strictEqual(array.pop(), undefined);
  assert.strictEqual(array.get(0), undefined);
});

test('every kind of cloneable value is returned unchanged', () => {
  const array = new SharedArray({ capacity: 10, valueBytes: 1024 });
  const cyclic = { list: [1, , 3], when: new Date(5), map: new Map([[1, 'a']]) }; // eslint-disable-line no-sparse-arrays
  cyclic.self = cyclic;
  const values = [null, true, -0, NaN, 2n ** 70n, 'ü€😀\ud800', new Uint8Array([1, 2, 3]), /x/gi, cyclic];
  for (const value of values) array.push(value);
  assert.deepStrictEqual(array.toArray(), values);
  assert.throws(() => array.push(() => {}), { name: 'DataCloneError' });
  assert.strictEqual(array.length, values.length);
});

test('an element can be set, compared by version and updated', () => {
  const array = new SharedArray({ length: 2 });
  assert.strictEqual(array.get(0), undefined);
  assert.strictEqual(array.set(0, 'a').get(0), 'a');
  const { value, version } = array.getVersioned(0);
  assert.strictEqual(value, 'a');
  assert.ok(array.compareAndSet(0, version, 'b') > version);
  assert.strictEqual(array.compareAndSet(0, version, 'c'), 0);
  assert.strictEqual(
    array.update(0, (text) => text + '!'),
    'b!',
  );
  assert.strictEqual(array.getVersioned(2), undefined);
  assert.deepStrictEqual(array.fill(9).toArray(), [9, 9]);
});

test('fill() takes a range as of an ordinary array', () => {
  const ranges = [[], [1, 3], [-2], [0, -3], [-9, 2], [3, 1], [2, 9], [9], [1.7, 2.9], [NaN, 1], ['1']];
  for (const range of ranges) {
    const array = new SharedArray({ length: 5, type: 'int32' });
    assert.deepStrictEqual(
      array.fill(7, ...range).toArray(),
      new Array(5).fill(0).fill(7, ...range),
      `${range}`,
    );
  }
});

test('numeric elements wrap and round according to their type', () => {
  const int32 = new SharedArray({ length: 1, type: 'int32' });
  assert.strictEqual(int32.add(0, 2 ** 31 - 1), 2 ** 31 - 1);
  assert.strictEqual(int32.add(0), -(2 ** 31));
  assert.strictEqual(int32.get(0), -(2 ** 31));
  const uint32 = new SharedArray({ length: 1, type: 'uint32' });
  assert.strictEqual(uint32.subtract(0), 2 ** 32 - 1);
  assert.strictEqual(uint32.and(0, 0xff), 2 ** 32 - 1);
  assert.strictEqual(uint32.or(0, 0x100), 0xff);
  assert.strictEqual(uint32.xor(0, 1), 0x1ff);
  assert.strictEqual(uint32.exchange(0, 5), 0x1fe);
  const float64 = new SharedArray({ length: 1, type: 'float64' });
  assert.strictEqual(float64.add(0, 0.5), 0.5);
  assert.strictEqual(float64.compareExchange(0, 0.25, 1), 0.5);
  assert.strictEqual(float64.compareExchange(0, 0.5, NaN), 0.5);
  assert.strictEqual(
    float64.update(0, () => 3),
    3,
  );
  const bigint64 = new SharedArray({ length: 1, type: 'bigint64' });
  assert.strictEqual(bigint64.subtract(0), -1n);
  assert.strictEqual(bigint64.exchange(0, 2n ** 63n - 1n), -1n);
  assert.strictEqual(bigint64.add(0), -(2n ** 63n));
  const biguint64 = new SharedArray({ capacity: 3, type: 'biguint64' });
  assert.strictEqual(biguint64.push(2n ** 64n - 1n), 1);
  assert.strictEqual(biguint64.add(0, 2n), 1n);
  assert.strictEqual(biguint64.pop(), 1n);
  assert.strictEqual(biguint64.pop(), undefined);
});

test('an update function may change other elements, but not its own', () => {
  const of = { value: 'a', int32: 1, bigint64: 1n };
  for (const [type, value] of Object.entries(of)) {
    const array = new SharedArray({ length: 2, type });
    array.fill(value);
    const changes = {
      set: (array) => array.set(1, value),
      fill: (array) => array.fill(value),
      update: (array) => array.update(1, () => value),
      clear: (array) => array.clear(),
      pop: (array) => array.pop(),
    };
    if (type === 'value') changes.compareAndSet = (array) => array.compareAndSet(1, 0, value);
    else {
      changes.add = (array) => array.add(1);
      changes.exchange = (array) => array.exchange(1, value);
      changes.compareExchange = (array) => array.compareExchange(1, value, value);
    }
    for (const [name, change] of Object.entries(changes)) {
      for (const by of [array, SharedArray.from(array.handle)]) {
        assert.throws(() => array.update(1, () => change(by)), { code: 'ERR_INVALID_ARG_VALUE' }, name);
      }
    }
    assert.strictEqual(
      array.update(1, () => array.update(0, () => array.get(1))),
      value,
    );
    assert.strictEqual(array.set(1, value).length, 2);
  }
});

test('an update is abandoned if its function makes another thread change the element', WATCHDOG, (t) => {
  const array = new SharedArray({ length: 1, type: 'int32' });
  const code = `
    const { parentPort, workerData: array } = require(${JSON.stringify(require.resolve('..'))});
    parentPort.onRequest(() => array.add(0));`;
  const worker = new Worker(code, { eval: true, workerData: array });
  t.after(() => worker.terminate());
  assert.throws(() => array.update(0, () => worker.call(0)), { code: 'ERR_MANYCORE_OVERTAKEN' });
  assert.ok(array.get(0) >= 1000);
});

test('invalid arguments and options are rejected', () => {
  const array = new SharedArray({ length: 1 });
  const numbers = new SharedArray({ length: 1, type: 'int32' });
  for (const index of [1, -1, 0.5, NaN, Infinity]) {
    assert.throws(() => array.set(index, 1), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => array.update(index, () => 1), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => numbers.set(index, 1), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => numbers.add(index), { code: 'ERR_OUT_OF_RANGE' });
    assert.strictEqual(array.get(index), undefined);
    assert.strictEqual(numbers.get(index), undefined);
  }
  assert.throws(() => array.set('0', 1), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => array.set(0, 'x'.repeat(1000)), { code: 'ERR_MANYCORE_FULL' });
  assert.throws(() => array.set(0, new Uint8Array(1000)), { code: 'ERR_MANYCORE_FULL' });
  assert.throws(() => array.set(0, { text: 'x'.repeat(100_000) }), { code: 'ERR_MANYCORE_FULL' });
  assert.throws(() => array.add(0), { code: 'ERR_INVALID_THIS' });
  assert.throws(() => numbers.getVersioned(0), { code: 'ERR_INVALID_THIS' });
  assert.throws(() => new SharedArray({ length: 1, type: 'float64' }).and(0, 1), {
    code: 'ERR_INVALID_THIS',
  });
  for (const value of [0.5, 2 ** 31, NaN]) {
    assert.throws(() => numbers.set(0, value), { code: 'ERR_OUT_OF_RANGE' });
  }
  for (const value of ['1', 1n, undefined]) {
    assert.throws(() => numbers.set(0, value), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  assert.throws(() => new SharedArray(), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => new SharedArray({ length: 2, capacity: 1 }), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => new SharedArray({ length: 2, type: 'int8' }), { code: 'ERR_INVALID_ARG_VALUE' });
  array.close();
  for (const use of [() => array.get(0), () => array.push(1), () => array.length, () => array.handle]) {
    assert.throws(use, { code: 'ERR_MANYCORE_CLOSED' });
  }
});

test('a named array keeps its options, and opening it with others is rejected', (t) => {
  const name = nameFor(t);
  const array = SharedArray.open(name, { capacity: 5, type: 'float64' });
  array.push(1.5);
  const same = SharedArray.open(name, { create: false });
  assert.deepStrictEqual([same.type, same.capacity, same.get(0)], ['float64', 5, 1.5]);
  assert.deepStrictEqual(SharedArray.from(array.handle).toArray(), [1.5]);
  assert.throws(() => SharedArray.open(name, { capacity: 5, type: 'int32' }), {
    code: 'ERR_MANYCORE_SEGMENT_KIND',
    message: /'float64'/,
  });
  assert.throws(() => SharedMap.open(name), { code: 'ERR_MANYCORE_SEGMENT_KIND', message: /array/ });
  assert.strictEqual(shared.list().find((segment) => segment.name === name)?.kind, 'array');
});

test('concurrent changes by threads and processes are not lost', WATCHDOG, async (t) => {
  const name = nameFor(t);
  const numbers = SharedArray.open(name, { length: 3, type: 'float64' });
  const values = SharedArray.open(nameFor(t), { length: 1, capacity: 2000 });
  values.set(0, { total: 0, last: null });
  const work = ({ manycore }, handles, who) => {
    const [numbers, values] = handles.map((handle) => manycore.SharedArray.from(handle));
    for (let i = 0; i < 500; i++) {
      for (let index = 0; index < 3; index++) numbers.add(index, index + 0.5);
      values.update(0, ({ total }) => ({ total: total + 1, last: who }));
      values.push({ who, i });
    }
  };
  const handles = [numbers.handle, values.handle];
  const peers = [processPeer(t), threadPeer(t), processPeer(t)];
  await Promise.all(peers.map((peer, who) => peer.run(work, handles, who)));
  assert.deepStrictEqual(numbers.toArray(), [750, 2250, 3750]);
  assert.strictEqual(values.get(0).total, 1500);
  const pushed = values.toArray().slice(1);
  for (let who = 0; who < 3; who++) {
    const each = pushed.filter((value) => value.who === who).map(({ i }) => i);
    assert.deepStrictEqual(each, [...Array(500).keys()]);
  }
});

test('an array stays consistent when a process is killed while changing it', WATCHDOG, async (t) => {
  const array = new SharedArray({ length: 8, capacity: 16, valueBytes: 512 });
  array.fill({ sum: 0, parts: [] });
  const churn = ({ manycore, kept }, handle) => {
    const array = manycore.SharedArray.from(handle);
    const change = () => {
      for (let round = 0; round < 200; round++) {
        const parts = Array.from({ length: round % 9 }, (_, index) => round * index);
        const value = { sum: parts.reduce((sum, part) => sum + part, 0), parts };
        array.set(round % 8, value);
        if (array.push(value) > 12) for (let i = 0; i < 4; i++) array.pop();
      }
      kept.timer = setImmediate(change);
    };
    change();
  };
  for (let kill = 0; kill < 10; kill++) {
    const peer = processPeer(t);
    await peer.run(churn, array.handle);
    // A few round trips while it makes changes, so that it dies at different points each time.
    for (let look = 0; look <= kill; look++) await peer.run(() => {});
    peer.child.kill('SIGKILL');
    await peer.ended;
    for (const { sum, parts } of array) {
      assert.strictEqual(
        parts.reduce((sum, part) => sum + part, 0),
        sum,
      );
    }
    while (array.length > 8) assert.ok(array.pop().parts);
    array.fill({ sum: 0, parts: [] });
  }
});

test('arbitrary bytes in the memory of an array cause errors at most', WATCHDOG, (t) => {
  const name = nameFor(t);
  const array = SharedArray.open(name, { length: 4, capacity: 8 });
  array.fill({ a: [1, 2, 3], b: 'text' });
  const file = fs.openSync(`/dev/shm/manycore-${process.getuid()}/${name}`, 'r+');
  t.after(() => fs.closeSync(file));
  const { size } = fs.fstatSync(file);
  let state = 12345;
  const random = (/** @type {number} */ limit) => (state = (state * 48271) % 2147483647) % limit;
  const attempts = [
    () => array.length,
    () => array.toArray(),
    () => array.push({ a: 1 }),
    () => array.pop(),
    () => array.set(1, 'x'),
    () => SharedArray.open(name, { create: false }).toArray(),
  ];
  const codes = new Set();
  for (let round = 0; round < 300; round++) {
    const bytes = Buffer.from(Array.from({ length: 8 }, () => random(256)));
    // Not the locks, since a forged owner would be waited for.
    const at = 4096 + 16 * 8 + random((size - 4096) / 8 - 16) * 8;
    if (!isLock((at - 4096) / 8)) fs.writeSync(file, bytes, 0, 8, at);
    for (const attempt of attempts) {
      try {
        attempt();
      } catch (error) {
        codes.add(error.code);
      }
    }
    if (round % 20 === 19) fs.writeSync(file, Buffer.from([4, 0, 0, 0, 0, 0, 0, 0]), 0, 8, 4096 + 16 * 8);
  }
  const known = ['ERR_MANYCORE_SEGMENT_CORRUPT', 'ERR_MANYCORE_FULL', 'ERR_OUT_OF_RANGE'];
  for (const code of codes) assert.ok(known.includes(code), code);
  assert.ok(codes.has('ERR_MANYCORE_SEGMENT_CORRUPT'));
});

/** With 128 bytes per value: a lock, a version, and two slots of 17 words. */
function isLock(word) {
  return word >= 32 && (word - 32) % 36 === 0;
}
