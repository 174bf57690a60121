'use strict';

// The package inside a vm context, where test runners load the code under test: its built-in classes differ from
// those of values that Node's own modules return.

const assert = require('node:assert/strict');
const path = require('node:path');
const test = require('node:test');
const { Realm } = require('./support/realm');

const ROOT = path.join(__dirname, '..');
function manycoreIn(realm) {
  return realm.load(path.join(ROOT, 'index.js'));
}

/** Values of Node's realm, as its modules return them, and of a program's classes. */
function foreignValues(realm) {
  return {
    plain: process.memoryUsage(),
    cloned: structuredClone({ list: [{ deep: 1 }], map: new Map([[1, { a: 1 }]]) }),
    bare: Object.assign(Object.create(null), { a: 1 }),
    list: [1, { two: 2 }],
    instance: realm.run('new (class Point { constructor() { this.x = 1; this.list = [{ y: 2 }]; } })'),
    bytes: Buffer.from('bytes'),
  };
}

test('shared memory holds values of another realm', (t) => {
  const realm = new Realm();
  const { SharedMap, shared } = manycoreIn(realm);
  const name = `realms-${process.pid}`;
  const map = SharedMap.open(name);
  t.after(() => shared.unlink(name));
  for (const [key, value] of Object.entries(foreignValues(realm))) {
    map.set(key, value);
    assert.deepEqual(structuredClone(map.get(key)), structuredClone(value), key);
  }
});

test('a pool and a worker exchange values of another realm, which arrive as values of its own', async (t) => {
  const realm = new Realm();
  const { Pool, Worker } = manycoreIn(realm);
  const pool = new Pool({ maxThreads: 1 });
  t.after(() => pool.destroy());
  const worker = new Worker('require("node:worker_threads").parentPort.onRequest((value) => value)', {
    eval: true,
  });
  t.after(() => worker.terminate());
  for (const [key, value] of Object.entries(foreignValues(realm))) {
    for (const echo of [await pool.exec((same) => same, [value]), await worker.request(value)]) {
      assert.deepEqual(structuredClone(echo), structuredClone(value), key);
    }
  }
  const { list, map } = await pool.exec((same) => same, [{ list: [], map: new Map() }]);
  assert.ok(list instanceof realm.run('Array') && map instanceof realm.run('Map'));
  const failing = () => {
    throw Object.assign(new RangeError('on purpose'), { code: 'ERR_OWN' });
  };
  await assert.rejects(pool.exec(failing, []), (error) => {
    assert.ok(error instanceof realm.run('RangeError'));
    assert.equal(error.code, 'ERR_OWN');
    return true;
  });
});

test('an error of another realm keeps its properties on its way from a task', async (t) => {
  const { Pool } = require('..');
  const pool = new Pool({ maxThreads: 1 });
  t.after(() => pool.destroy());
  const failing = async () => {
    const { runInNewContext } = await import('node:vm');
    throw runInNewContext(
      'Object.assign(new TypeError("on purpose"), { code: "ERR_OWN", name: "OwnError" })',
    );
  };
  await assert.rejects(pool.exec(failing, []), { message: 'on purpose', name: 'OwnError', code: 'ERR_OWN' });
});

test('a timer that fires after a test runner has ended its modules loads no others', async () => {
  /** @type {(() => void)[]} */
  const due = [];
  const timers = require('node:timers');
  const setTimeout = (/** @type {() => void} */ callback, /** @type {number} */ ms) => {
    due.push(callback);
    return timers.setTimeout(() => {}, ms);
  };
  const realm = new Realm({ 'node:timers': { ...timers, setTimeout } });
  const { Worker } = manycoreIn(realm);
  const worker = new Worker('require("node:worker_threads").parentPort.onRequest((value) => value)', {
    eval: true,
  });
  assert.equal((await worker.request(Buffer.alloc(100_000))).length, 100_000);
  await worker.terminate();
  assert.ok(due.length > 0, 'nothing waits for the end of the traffic');
  realm.end();
  // The first one finds traffic, the last one gives memory back.
  for (const callback of due) callback();
});
