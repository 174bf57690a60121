'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const test = require('node:test');
const { setImmediate } = require('node:timers/promises');
const { Lock, LockManager, Mutex, locks, shared } = require('manycore');
const { startProcess, startThread, within } = require('./support/peers');

/** Returns a name that no other test or run uses. */
const unique = (what) => `${what} ${process.pid} ${Math.random()}`;
const of = (all, name) => all.filter((request) => request.name === name);

/** Acquires a lock that is held until `release` is called. */
async function held(manager, name, options = {}) {
  let release;
  const until = new Promise((resolve) => (release = resolve));
  let done;
  const lock = await new Promise((resolve, reject) => {
    done = manager.request(name, options, (lock) => (resolve(lock), until));
    done.catch(reject);
  });
  return { lock, done, release };
}

/** Returns the deadlocks as soon as there are any. */
async function reported() {
  for (;;) {
    const { deadlocks } = await locks.query();
    if (deadlocks.length > 0) return deadlocks;
    await setImmediate();
  }
}

test('a lock is held while the callback runs, and the request settles with its result', async () => {
  const name = unique('a');
  const result = await locks.request(name, async (lock) => {
    assert.ok(lock instanceof Lock);
    assert.deepEqual([lock.name, lock.mode, lock.ownerDied], [name, 'exclusive', false]);
    assert.ok(lock.fencingToken > 0);
    const { held } = await locks.query();
    const [info] = of(held, name);
    assert.equal(info.clientId, `node-${process.pid}-0`);
    return 7;
  });
  assert.equal(result, 7);
  const { held, pending } = await locks.query();
  assert.deepEqual([...of(held, name), ...of(pending, name)], []);
  await assert.rejects(
    locks.request(name, () => {
      throw new Error('mine');
    }),
    { message: 'mine' },
  );
  assert.throws(() => new Lock(), { code: 'ERR_ILLEGAL_CONSTRUCTOR' });
});

test('lock modes exclude each other across threads and processes', async (t) => {
  const name = unique('b');
  const peers = [await startThread(t), await startProcess(t)];
  const attempt = ({ locks }, [name, mode]) =>
    locks.request(name, { mode, ifAvailable: true }, (lock) => lock && lock.mode);
  const shared = await held(locks, name, { mode: 'shared' });
  for (const peer of peers) {
    assert.equal(await peer.run(attempt, [name, 'shared']), 'shared');
    assert.equal(await peer.run(attempt, [name, 'exclusive']), null);
  }
  shared.release();
  await shared.done;
  const exclusive = await held(locks, name);
  for (const peer of peers) assert.equal(await peer.run(attempt, [name, 'shared']), null);
  const waiting = Promise.all(
    peers.map((peer) => peer.run(({ locks }, name) => locks.request(name, () => 1), name)),
  );
  exclusive.release();
  assert.deepEqual(await waiting, [1, 1]);
});

test('query() reports locks held and requested by others', async (t) => {
  const name = unique('c');
  const peer = await startProcess(t);
  const first = await peer.start(
    ({ locks }, name, tell) =>
      locks.request(name, () => {
        tell(process.pid);
        return new Promise(() => {});
      }),
    name,
  );
  const waiting = locks.request(name, { mode: 'shared' }, ({ ownerDied }) => ownerDied);
  const { held, pending } = await locks.query();
  assert.deepEqual([of(held, name)[0].pid, of(held, name)[0].mode], [first, 'exclusive']);
  assert.deepEqual([of(pending, name)[0].pid, of(pending, name)[0].mode], [process.pid, 'shared']);
  await peer.kill();
  assert.equal(await within(waiting, 'the lock'), true);
});

test('a lock can be stolen, and its holder is notified', async (t) => {
  const name = unique('d');
  const here = await held(locks, name);
  const peer = await startProcess(t);
  const steal = ({ locks }, name) => locks.request(name, { steal: true }, (lock) => lock.fencingToken);
  assert.ok((await peer.run(steal, name)) > here.lock.fencingToken);
  await assert.rejects(within(here.done, 'the loss'), { name: 'AbortError' });
  here.release();
  assert.equal(await locks.request(name, { ifAvailable: true }, (lock) => lock?.name), name);
});

test('a wait ends on abort or timeout', async () => {
  const name = unique('e');
  const { release, done } = await held(locks, name);
  const controller = new AbortController();
  const waiting = locks.request(name, { signal: controller.signal }, assert.fail);
  const reason = new Error('enough');
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(locks.request(name, { signal: controller.signal }, assert.fail), reason);
  await assert.rejects(locks.request(name, { timeoutMs: 5 }, assert.fail), {
    code: 'ERR_MANYCORE_LOCK_TIMEOUT',
  });
  assert.deepEqual(of((await locks.query()).pending, name), []);
  release();
  await done;
});

test('a deadlock cycle is reported', async (t) => {
  const [a, b] = [unique('f'), unique('g')];
  const peer = await startProcess(t);
  const controller = new AbortController();
  const nested = locks.request(a, async () => {
    await peer.start(
      ({ locks }, [a, b], tell) =>
        locks.request(b, () => {
          const inner = locks.request(a, () => {});
          tell('waits');
          return inner;
        }),
      [a, b],
    );
    const before = await locks.query();
    assert.deepEqual(before.deadlocks, []);
    return locks.request(b, { signal: controller.signal }, () => {});
  });
  const settled = assert.rejects(nested, { name: 'AbortError' });
  const deadlocks = await within(reported(), 'the report');
  assert.equal(deadlocks.length, 1);
  assert.equal(deadlocks[0].certain, true);
  assert.deepEqual(new Set(deadlocks[0].requests.map(({ name }) => name)), new Set([a, b]));
  assert.deepEqual(new Set(deadlocks[0].requests.map(({ pid }) => pid)).size, 2);
  controller.abort();
  await settled;
});

test('a nested request for the same name is reported as a deadlock', async () => {
  const name = unique('h');
  const controller = new AbortController();
  const outer = locks.request(name, () => locks.request(name, { signal: controller.signal }, () => {}));
  const settled = assert.rejects(outer, { name: 'AbortError' });
  const { deadlocks } = await locks.query();
  assert.deepEqual(
    deadlocks[0].requests.map(({ held }) => held),
    [true, false],
  );
  controller.abort();
  await settled;
});

test('two threads blocked on each other are reported as a deadlock', async (t) => {
  const [one, two] = [new Mutex(), new Mutex()];
  const peers = [await startThread(t), await startProcess(t)];
  const handles = [one.handle, two.handle];
  await peers[0].run(({ Mutex }, [own]) => void (globalThis.own = Mutex.from(own).lock()), handles);
  await peers[1].run(({ Mutex }, [, own]) => void (globalThis.own = Mutex.from(own).lock()), handles);
  const block = ({ Mutex }, other, tell) => {
    tell('blocks');
    Mutex.from(other).lock();
  };
  await peers[0].start(block, handles[1]);
  await peers[1].start(block, handles[0]);
  const deadlocks = await within(reported(), 'the report');
  assert.equal(deadlocks[0].certain, true);
  assert.deepEqual(
    deadlocks[0].requests.map(({ type }) => type),
    ['Mutex', 'Mutex'],
  );
});

test('lock managers of different scopes and namespaces do not share names', async (t) => {
  const namespace = unique('i').replaceAll(' ', '-');
  t.after(() => shared.unlink(`manycore.locks.${namespace}`));
  const name = unique('j');
  const here = new LockManager({ scope: 'process' });
  const { release } = await held(here, name);
  assert.equal(await locks.request(name, { ifAvailable: true }, (lock) => lock?.name), name);
  assert.equal(await here.request(name, { ifAvailable: true }, (lock) => lock), null);
  assert.equal(
    await new LockManager({ namespace }).request(name, { ifAvailable: true }, (lock) => lock?.name),
    name,
  );
  release();
});

test('a segment of another version is recreated unless it is in use', async (t) => {
  const namespace = unique('k').replaceAll(' ', '-');
  const segment = `manycore.locks.${namespace}`;
  t.after(() => shared.unlink(segment));
  const peer = await startProcess(t);
  const query = ({ LockManager }, namespace) => new LockManager({ namespace }).query();
  await peer.run(query, namespace);
  const fd = fs.openSync(`/dev/shm/manycore-${process.geteuid()}/${segment}`, 'r+');
  // The layout version in the header.
  fs.writeSync(fd, Buffer.from([0xff]), 0, 1, 8);
  fs.closeSync(fd);
  const manager = new LockManager({ namespace });
  await assert.rejects(manager.query(), { code: 'ERR_MANYCORE_SEGMENT_VERSION' });
  await peer.kill();
  assert.deepEqual((await manager.query()).held, []);
});

test('arguments are validated as in the Web Locks API', async () => {
  const never = () => assert.fail();
  const unsupported = { name: 'NotSupportedError' };
  const { signal } = new AbortController();
  await assert.rejects(locks.request('-a', never), unsupported);
  await assert.rejects(locks.request('a', { steal: true, ifAvailable: true }, never), unsupported);
  await assert.rejects(locks.request('a', { steal: true, mode: 'shared' }, never), unsupported);
  await assert.rejects(locks.request('a', { signal, ifAvailable: true }, never), unsupported);
  await assert.rejects(locks.request('a', { signal, steal: true }, never), unsupported);
  const type = { name: 'TypeError' };
  await assert.rejects(locks.request('a', { mode: 'other' }, never), type);
  await assert.rejects(locks.request('a', { signal: 7 }, never), type);
  await assert.rejects(locks.request('a', 7), type);
  await assert.rejects(locks.request('a'), type);
  await assert.rejects(locks.request('é'.repeat(127), never), { code: 'ERR_OUT_OF_RANGE' });
  await locks.request('é'.repeat(126), () => {});
  assert.throws(() => new LockManager({ scope: 'galaxy' }), { code: 'ERR_INVALID_ARG_VALUE' });
  assert.throws(() => new LockManager({ namespace: 7 }), { code: 'ERR_INVALID_ARG_TYPE' });
  for (const namespace of ['my app', '../x', 'é', 'x'.repeat(200)]) {
    assert.throws(() => new LockManager({ namespace }), { code: 'ERR_INVALID_ARG_VALUE' });
  }
});

test("Node's own lock manager gives the same results", async (t) => {
  const own = require('node:worker_threads').locks;
  if (own === undefined) return t.skip('not in this Node');
  for (const manager of [own, new LockManager({ scope: 'process' })]) {
    const name = unique('k');
    const { lock, release, done } = await held(manager, name, { mode: 'shared' });
    assert.deepEqual([lock.name, lock.mode], [name, 'shared']);
    assert.equal(await manager.request(name, { ifAvailable: true }, (lock) => lock), null);
    const waiting = manager.request(name, () => 'done');
    const { held: now, pending } = await manager.query();
    assert.deepEqual([of(now, name)[0].mode, of(pending, name)[0].mode], ['shared', 'exclusive']);
    release('first');
    assert.deepEqual([await done, await waiting], ['first', 'done']);
    const robbed = await held(manager, name);
    assert.equal(await manager.request(name, { steal: true }, () => 'mine'), 'mine');
    await assert.rejects(robbed.done, { name: 'AbortError' });
    robbed.release();
    await assert.rejects(
      manager.request('-a', () => {}),
      { name: 'NotSupportedError' },
    );
  }
});
