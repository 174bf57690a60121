'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const test = require('node:test');
const { setTimeout } = require('node:timers/promises');
const fc = require('fast-check');

const { SharedMap, Worker } = require('..');
const { WATCHDOG, nameFor, processPeer, threadPeer } = require('./support/shared');

test('a map stores every cloneable value', () => {
  const map = new SharedMap();
  const cycle = { self: null };
  cycle.self = cycle;
  const values = [
    'text',
    '',
    'ünï',
    'two bytes: \u4f60',
    '\ud800',
    0,
    -0,
    1.5,
    NaN,
    -Infinity,
    true,
    false,
    null,
    undefined,
    10n ** 30n,
    { a: 1, b: { c: ['x', 2] }, ['__proto__']: 3 },
    [],
    new Map([['k', new Set([1, 2])]]),
    new Date(5),
    /x/gi,
    cycle,
    new Float64Array([1, 2]),
    new Uint8Array([1, 2, 3]),
    new ArrayBuffer(3),
    'long '.repeat(50_000),
    { long: 'x'.repeat(200_000) },
    new Uint8Array(150_000).fill(7),
  ];
  values.forEach((value, index) => map.set(index, value));
  values.forEach((value, index) => assert.deepStrictEqual(map.get(index), value));
  const seen = new Map(map);
  assert.strictEqual(seen.size, values.length);
  values.forEach((value, index) => assert.deepStrictEqual(seen.get(index), value));
});

test('texts of any length come back, wherever in them a character needs two bytes', () => {
  const map = new SharedMap();
  const letters = 'abcdefghijklmnopqrstuvwxyz\xe4\xff'.repeat(3);
  for (let length = 0; length < 70; length++) {
    const text = letters.slice(0, length);
    map.set(text, text);
    assert.strictEqual(map.get(text), text);
    for (let at = 0; at < length; at++) {
      for (const wide of ['\u0100', '\uffff']) {
        const mixed = text.slice(0, at) + wide + text.slice(at + 1);
        map.set('mixed', mixed);
        assert.strictEqual(map.get('mixed'), mixed);
        assert.strictEqual(map.has(mixed), false);
      }
    }
    assert.strictEqual(map.get(text), text);
  }
});

test('a Buffer is returned as the bytes it held', () => {
  const map = new SharedMap();
  map.set('a', Buffer.from('bytes'));
  assert.deepStrictEqual(map.get('a'), new Uint8Array(Buffer.from('bytes')));
});

test('an uncloneable value throws as structuredClone does, and changes nothing', () => {
  const map = new SharedMap();
  map.set('a', 1);
  assert.throws(() => map.set('a', () => {}), { name: 'DataCloneError' });
  assert.throws(() => map.set('a', { f: Symbol('x') }), { name: 'DataCloneError' });
  assert.throws(() => map.set('a', new SharedArrayBuffer(1)), { code: 'ERR_INVALID_ARG_VALUE' });
  const thrower = {
    get x() {
      throw new RangeError('mine');
    },
  };
  assert.throws(() => map.set('a', thrower), { message: 'mine' });
  assert.strictEqual(map.get('a'), 1);
});

test('a getter of a value may use the map while the value is being set', () => {
  const map = new SharedMap();
  map.set('inner', { x: 'old' });
  const value = {
    before: 'text before it',
    get inner() {
      map.set('inner', { x: 'new' });
      return map.get('inner');
    },
    after: 'text after it',
  };
  map.set('outer', value);
  const expected = { before: 'text before it', inner: { x: 'new' }, after: 'text after it' };
  assert.deepStrictEqual(map.get('outer'), expected);
});

test('keys may be strings, numbers or bytes, and are never confused', () => {
  const map = new SharedMap();
  const keys = [
    '1',
    1,
    Buffer.from('1'),
    '',
    Buffer.alloc(0),
    'é',
    'e\u0301',
    '\u4f60',
    '\ud800',
    '\ufffd',
    1.5,
    NaN,
  ];
  keys.forEach((key, index) => map.set(key, index));
  keys.forEach((key, index) => assert.strictEqual(map.get(key), index));
  assert.strictEqual(map.size, keys.length);
  map.set(0, 'zero');
  assert.strictEqual(map.get(-0), 'zero');
  const back = [...map.keys()].filter((key) => Buffer.isBuffer(key)).map(String);
  assert.deepStrictEqual(back.sort(), ['', '1']);
  for (const key of [undefined, null, {}, true, 1n, Symbol('x')]) {
    assert.throws(() => map.get(key), { code: 'ERR_INVALID_ARG_TYPE' });
    assert.throws(() => map.set(key, 1), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  map.set('x'.repeat(1024), 1);
  assert.throws(() => map.set('x'.repeat(1025), 1), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => map.set(Buffer.alloc(2049), 1), { code: 'ERR_OUT_OF_RANGE' });
});

test('a map behaves like a Map under any sequence of operations', () => {
  const key = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constantFrom('a', 'b', 'é', '\u4f60'));
  const value = fc.oneof(fc.string(), fc.double(), fc.jsonValue(), fc.uint8Array());
  const action = fc.oneof(
    fc.tuple(fc.constant('set'), key, value),
    fc.tuple(fc.constant('delete'), key),
    fc.tuple(fc.constant('clear')),
    fc.tuple(fc.constant('getOrInsert'), key, value),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const map = new SharedMap({ capacityBytes: 1024 * 1024 });
      const model = new Map();
      for (const [name, key, value] of actions) {
        if (name === 'set') assert.strictEqual(map.set(key, value), map) ?? model.set(key, value);
        else if (name === 'delete') assert.strictEqual(map.delete(key), model.delete(key));
        else if (name === 'clear') map.clear() ?? model.clear();
        else {
          if (!model.has(key)) model.set(key, value);
          assert.deepStrictEqual(map.getOrInsert(key, value), model.get(key));
        }
        assert.strictEqual(map.size, model.size);
      }
      assert.deepStrictEqual(new Map(map), model);
      for (const key of model.keys()) assert.ok(map.has(key));
      map.close();
    }),
    { numRuns: 60 },
  );
});

test('versions show whether an entry is unchanged', () => {
  const map = new SharedMap();
  assert.strictEqual(map.getVersioned('a'), undefined);
  assert.strictEqual(map.compareAndSet('a', 7, 'x'), 0);
  const first = map.compareAndSet('a', 0, { n: 1 });
  assert.ok(first > 0);
  assert.deepStrictEqual(map.getVersioned('a'), { value: { n: 1 }, version: first });
  assert.strictEqual(map.compareAndSet('a', 0, 'x'), 0);
  const second = map.compareAndSet('a', first, 'y');
  assert.ok(second > first);
  assert.strictEqual(map.compareAndDelete('a', first), false);
  assert.strictEqual(map.compareAndDelete('a', second), true);
  assert.strictEqual(map.compareAndDelete('a', 0), false);
  assert.throws(() => map.compareAndSet('a', undefined, 1), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => map.compareAndSet('a', -1, 1), { code: 'ERR_OUT_OF_RANGE' });
});

test(
  'update computes the new value from the old one, and retries if another writer was faster',
  WATCHDOG,
  (t) => {
    const map = new SharedMap();
    assert.strictEqual(
      map.update('n', (n = 0) => n + 1),
      1,
    );
    const other = setter(t, map);
    let calls = 0;
    const value = map.update('n', (n) => {
      if (calls++ === 0) other.call(['n', 100]);
      return n + 1;
    });
    assert.deepStrictEqual([value, calls], [101, 2]);
    assert.strictEqual(
      map.update('n', () => undefined),
      undefined,
    );
    assert.strictEqual(map.has('n'), false);
    assert.throws(() => map.update('n', 5), { code: 'ERR_INVALID_ARG_TYPE' });
  },
);

test('an update is abandoned if its function makes another thread change the key', WATCHDOG, (t) => {
  const map = SharedMap.open(nameFor(t));
  const other = setter(t, map);
  let calls = 0;
  const change = () => {
    other.call(['n', calls++]);
    return 'mine';
  };
  assert.throws(() => map.update('n', change), { code: 'ERR_MANYCORE_OVERTAKEN' });
  assert.ok(calls >= 1000);
  assert.strictEqual(map.get('n'), calls - 1);
});

test('an update function cannot change its own key through another object either', (t) => {
  const map = SharedMap.open(nameFor(t));
  map.set('n', 1);
  const others = { handle: SharedMap.from(map.handle), name: SharedMap.open(map.handle.split('/').at(-1)) };
  for (const [name, other] of Object.entries(others)) {
    const changes = [() => other.set('n', 2), () => other.update('n', () => 2), () => other.clear()];
    for (const change of changes) {
      assert.throws(() => map.update('n', change), { code: 'ERR_INVALID_ARG_VALUE' }, name);
    }
  }
  assert.throws(() => map.update('n', () => map.clear()), { code: 'ERR_INVALID_ARG_VALUE' });
  const elsewhere = new SharedMap();
  map.update('n', () => elsewhere.update('n', () => 3));
  elsewhere.clear();
  assert.strictEqual(map.get('n'), 3);
});

test('an update function may change other keys, but not its own', () => {
  const map = new SharedMap();
  const key = Buffer.from('key');
  const changes = {
    set: () => map.set(Buffer.from('key'), 1),
    delete: () => map.delete(key),
    compareAndSet: () => map.compareAndSet(key, 0, 1),
    compareAndDelete: () => map.compareAndDelete(key, 0),
    getOrInsert: () => map.getOrInsert(key, 1),
    getOrInsertComputed: () => map.getOrInsertComputed(key, () => 1),
    incr: () => map.incr(key),
    update: () => map.update(key, () => 1),
    nested: () => map.update('other', () => map.incr(key)),
  };
  for (const [name, change] of Object.entries(changes)) {
    assert.throws(() => map.update(key, change), { code: 'ERR_INVALID_ARG_VALUE' }, name);
    assert.strictEqual(map.get(key), undefined);
  }
  for (const key of [NaN, 0, 'text']) {
    assert.throws(() => map.update(key, () => map.set(key === 0 ? -0 : key, 1)), {
      code: 'ERR_INVALID_ARG_VALUE',
    });
  }
  assert.strictEqual(
    map.update(key, () => map.incr('key') + map.update('other', () => 2)),
    3,
  );
  map.set(key, 4);
  assert.strictEqual(map.get(key), 4);
});

test('getOrInsertComputed computes a value only if the key is absent', () => {
  const map = new SharedMap();
  assert.deepStrictEqual(
    map.getOrInsertComputed('k', (key) => [key]),
    ['k'],
  );
  assert.deepStrictEqual(
    map.getOrInsertComputed('k', () => assert.fail()),
    ['k'],
  );
  // Of two concurrent insertions, the first counts.
  const value = map.getOrInsertComputed('race', () => {
    map.set('race', 'theirs');
    return 'mine';
  });
  assert.strictEqual(value, 'theirs');
});

test('incr adds to numbers only', () => {
  const map = new SharedMap();
  assert.strictEqual(map.incr('n'), 1);
  assert.strictEqual(map.incr('n', 2.5), 3.5);
  assert.strictEqual(map.get('n'), 3.5);
  map.set('s', 'text');
  assert.throws(() => map.incr('s'), { code: 'ERR_INVALID_ARG_VALUE' });
  assert.throws(() => map.incr('n', '1'), { code: 'ERR_INVALID_ARG_TYPE' });
});

test('concurrent increments by processes and threads are not lost', WATCHDOG, async (t) => {
  const map = SharedMap.open(nameFor(t));
  const add = ({ manycore }, posted, count) => {
    const map = manycore.SharedMap.from(posted);
    for (let i = 0; i < count; i++) {
      map.incr('incr');
      map.update('update', ({ n } = { n: 0 }) => ({ n: n + 1 }));
    }
  };
  const peers = [processPeer(t), processPeer(t), threadPeer(t), threadPeer(t)];
  await Promise.all(peers.map((peer) => peer.run(add, { handle: map.handle }, 5000)));
  assert.strictEqual(map.get('incr'), 20_000);
  assert.deepStrictEqual(map.get('update'), { n: 20_000 });
});

test('entries expire', async () => {
  const map = new SharedMap({ ttlMs: 3_600_000 });
  map.set('usual', 1);
  map.set('short', 2, { ttlMs: 1 });
  map.set('never', 3, { ttlMs: Infinity });
  assert.ok(map.ttl('usual') > 3_500_000 && map.ttl('usual') <= 3_600_000);
  assert.strictEqual(map.ttl('never'), Infinity);
  while (map.has('short')) await new Promise(setImmediate);
  assert.strictEqual(map.get('short'), undefined);
  assert.strictEqual(map.ttl('short'), undefined);
  assert.strictEqual(map.delete('short'), false);
  assert.deepStrictEqual([...map.keys()].sort(), ['never', 'usual']);
  map.update('usual', (value) => value + 1);
  map.incr('usual');
  assert.ok(map.ttl('usual') <= 3_600_000);
  map.incr('counted');
  map.update('updated', () => 1);
  for (const key of ['counted', 'updated']) assert.ok(map.ttl(key) <= 3_600_000, key);
  map.incr('never');
  assert.strictEqual(map.ttl('never'), Infinity);
  assert.throws(() => map.set('x', 1, { ttlMs: -1 }), { code: 'ERR_OUT_OF_RANGE' });
});

test('the error of a map without room says what an entry must fit into', () => {
  const map = new SharedMap();
  const { capacityBytes, shards } = map.stats();
  const most = capacityBytes / shards - 40;
  map.set('k', new Uint8Array(most));
  assert.strictEqual(map.get('k').length, most);
  map.clear();
  const message = new RegExp(`each of its ${shards} shards has room for ${most + 40} bytes.*fewer shards`);
  assert.throws(() => map.set('k', new Uint8Array(most + 1)), { code: 'ERR_MANYCORE_FULL', message });
});

test('a map without room reports that it is full, and keeps its entries', () => {
  const map = new SharedMap({ capacityBytes: 64 * 1024 });
  const fill = () => {
    for (let i = 0; ; i++) map.set(i, 'x'.repeat(1000));
  };
  assert.throws(fill, { code: 'ERR_MANYCORE_FULL' });
  assert.ok(map.size > 20);
  assert.strictEqual(map.get(0), 'x'.repeat(1000));
  assert.throws(() => map.set('large', 'x'.repeat(100_000)), { code: 'ERR_MANYCORE_FULL' });
  map.delete(0);
  map.set('small', 1);
  map.clear();
  assert.strictEqual(map.size, 0);
});

test('the number of shards is limited to those with room for entries', () => {
  for (const [capacityBytes, most] of [
    [64 * 1024, 16],
    [100_000, 16],
    [2 ** 24, 1024],
  ]) {
    for (const evict of ['none', 'lru']) {
      const map = new SharedMap({ capacityBytes, shards: most, averageEntryBytes: 16, evict });
      assert.strictEqual(map.stats().shards, most);
      assert.strictEqual(map.set('key', 'value').get('key'), 'value');
    }
    assert.throws(() => new SharedMap({ capacityBytes, shards: most + 1 }), { code: 'ERR_OUT_OF_RANGE' });
  }
});

test("with evict: 'lru', the least recently used entries are evicted", () => {
  const map = new SharedMap({ capacityBytes: 64 * 1024, evict: 'lru' });
  for (let i = 0; i < 1000; i++) {
    map.set(i, 'x'.repeat(500));
    assert.ok(map.get(0) !== undefined);
  }
  assert.ok(map.has(999) && !map.has(1));
  assert.ok(map.stats().evicted > 500);
});

test('stats() reports the memory cost of entries', () => {
  const map = new SharedMap({ capacityBytes: 4 * 1024 * 1024 });
  for (let i = 0; i < 1000; i++) map.set(`key:${i}`, 'x'.repeat(64));
  const { size, usedBytes, payloadBytes, capacityBytes, segmentBytes, shards } = map.stats();
  assert.strictEqual(size, 1000);
  assert.ok((usedBytes - payloadBytes) / size <= 64);
  assert.ok(capacityBytes < segmentBytes && shards === 4);
});

test('iteration visits every entry that is present throughout exactly once', () => {
  const map = new SharedMap();
  for (let i = 0; i < 3000; i++) map.set(`stays:${i}`, i);
  const met = new Map();
  for (const [key, value] of map) {
    assert.ok(!met.has(key));
    met.set(key, value);
    map.delete(`new:${met.size - 1}`);
    map.set(`new:${met.size}`, 1);
  }
  for (let i = 0; i < 3000; i++) assert.strictEqual(met.get(`stays:${i}`), i);
  const values = [];
  map.forEach((value, key, self) => self === map && key.startsWith('stays') && values.push(value));
  assert.strictEqual(values.length, 3000);
  assert.strictEqual([...map.values()].length, map.size);
});

test('a watcher is notified of changes made by others', WATCHDOG, async (t) => {
  const map = SharedMap.open(nameFor(t));
  map.set('config', { level: 1 });
  const watcher = map.watch('config');
  t.after(() => watcher.close());
  const peer = processPeer(t);
  const change = ({ manycore, kept }, name, action, value) => {
    kept.map ??= manycore.SharedMap.from(name);
    kept.map.set('other', value);
    kept.map[action]('config', value);
  };
  for (const [action, value] of [
    ['set', { level: 2 }],
    ['delete', undefined],
    ['set', 'again'],
  ]) {
    const changed = once(watcher, 'change');
    await peer.run(change, { handle: map.handle }, action, value);
    const [seen, version] = await changed;
    assert.deepStrictEqual(seen, value);
    assert.strictEqual(version > 0, value !== undefined);
  }
  const closed = once(watcher, 'close');
  map.close();
  await closed;
});

test('a watcher that starts right after a change is notified immediately', WATCHDOG, async () => {
  // Before the next periodic check, which is every 250 ms: a busy machine may be late often, but not each time.
  for (let attempt = 0, isAtOnce = false; !isAtOnce; attempt++) {
    assert.ok(attempt < 50, 'found by the periodic check each time');
    const map = new SharedMap();
    const watcher = map.watch('key');
    const changed = once(watcher, 'change').then(() => true);
    map.set('key', 1);
    isAtOnce = await Promise.race([changed, setTimeout(200, false)]);
    await changed;
    map.close();
  }
});

test('a listener that throws does not keep other watchers from their events', WATCHDOG, async (t) => {
  const told = await processPeer(t).run(async ({ manycore }) => {
    const map = new manycore.SharedMap();
    const log = [];
    for (const key of ['one', 'two']) {
      for (const event of ['change', 'close']) {
        map.watch(key).on(event, () => {
          log.push(`${event} ${key}`);
          throw new Error('of a listener');
        });
      }
    }
    // Called after the event loop has called all listeners.
    const caught = () => new Promise((resolve) => process.once('uncaughtException', () => resolve([...log])));
    process.on('uncaughtException', () => {});
    map.set('one', 1);
    map.set('two', 2);
    const changes = await caught();
    map.close();
    return [changes, await caught()];
  });
  const changes = ['change one', 'change two'];
  assert.deepStrictEqual(told, [changes, [...changes, 'close one', 'close two']]);
});

test('a watcher is notified when an entry expires', WATCHDOG, async (t) => {
  const map = new SharedMap();
  map.set('session', 1, { ttlMs: 20 });
  const watcher = map.watch('session');
  t.after(() => watcher.close());
  const [value, version] = await once(watcher, 'change');
  assert.deepStrictEqual([value, version], [undefined, 0]);
});

/**
 * A thread that stores the values it is called with.
 * @param {import('node:test').TestContext} t
 * @param {SharedMap} map
 */
function setter(t, map) {
  const code = `
    const { parentPort, workerData: map } = require(${JSON.stringify(require.resolve('..'))});
    parentPort.onRequest(([key, value]) => void map.set(key, value));`;
  const worker = new Worker(code, { eval: true, workerData: map });
  t.after(() => worker.terminate());
  return worker;
}
