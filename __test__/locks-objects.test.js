'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const { Barrier, Condition, Mutex, Once, RwLock, Semaphore, UnlockToken } = require('manycore');
const { segmentName, startProcess, startThread, within } = require('./support/peers');

const NOT_LOCKED = { code: 'ERR_MANYCORE_NOT_LOCKED' };
const DEADLOCK = { code: 'ERR_MANYCORE_DEADLOCK' };
const TIMEOUT = { code: 'ERR_MANYCORE_LOCK_TIMEOUT' };

test('a mutex has one holder at a time', async () => {
  const mutex = new Mutex();
  const token = mutex.lock();
  assert.ok(token instanceof UnlockToken);
  assert.deepEqual([token.locked, token.ownerDied], [true, false]);
  assert.equal(mutex.lockIfAvailable(), null);
  const waiting = mutex.lockAsync();
  token.unlock();
  assert.equal(token.locked, false);
  const next = await within(waiting, 'the lock');
  assert.ok(next.fencingToken > token.fencingToken);
  next.unlock();
  mutex.lockIfAvailable().unlock();
});

test('unlocking twice is an error, disposing an unlocked token is not', () => {
  const mutex = new Mutex();
  const token = mutex.lock();
  token.unlock();
  assert.throws(() => token.unlock(), NOT_LOCKED);
  token[Symbol.dispose]();
  const other = mutex.lock();
  other[Symbol.dispose]();
  assert.equal(other.locked, false);
  mutex.lock().unlock();
});

test('blocking on a lock held by the same thread is an error, waiting asynchronously is not', async () => {
  const mutex = new Mutex();
  const token = mutex.lock();
  assert.throws(() => mutex.lock(), DEADLOCK);
  const first = mutex.lockAsync();
  token.unlock();
  // The lock was granted to `first`, which only the event loop can deliver.
  assert.throws(() => mutex.lock(), DEADLOCK);
  (await within(first, 'the lock')).unlock();

  const lock = new RwLock();
  const reader = lock.lockShared();
  lock.lockShared().unlock();
  assert.throws(() => lock.lock(), DEADLOCK);
  reader.unlock();

  const semaphore = new Semaphore(3);
  const permits = semaphore.acquire(2);
  semaphore.acquire().unlock();
  assert.throws(() => semaphore.acquire(2), DEADLOCK);
  permits.unlock();
});

test('waits end on timeout or abort', async (t) => {
  const peer = await startThread(t);
  const mutex = new Mutex();
  await peer.run(({ Mutex }, handle) => void (globalThis.token = Mutex.from(handle).lock()), mutex.handle);
  assert.throws(() => mutex.lock({ timeoutMs: 30 }), TIMEOUT);
  assert.throws(() => mutex.lock({ timeoutMs: 0 }), TIMEOUT);
  await assert.rejects(mutex.lockAsync({ timeoutMs: 30 }), TIMEOUT);
  const reason = new Error('enough');
  await assert.rejects(mutex.lockAsync({ signal: AbortSignal.abort(reason) }), reason);
  assert.throws(() => mutex.lock({ signal: AbortSignal.abort(reason) }), reason);
  const controller = new AbortController();
  const waiting = mutex.lockAsync({ signal: controller.signal });
  controller.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
  // The queue is empty.
  await peer.run(() => globalThis.token.unlock());
  mutex.lockIfAvailable().unlock();
});

test('readers share, writers exclude, and waiters are served in order', async () => {
  const lock = new RwLock();
  const [one, two] = [lock.lockShared(), lock.lockSharedIfAvailable()];
  assert.equal(lock.lockIfAvailable(), null);
  const order = [];
  const writer = lock.lockAsync().then((token) => (order.push('writer'), token.unlock()));
  const reader = lock.lockSharedAsync().then((token) => (order.push('reader'), token.unlock()));
  assert.equal(lock.lockSharedIfAvailable(), null);
  one.unlock();
  two.unlock();
  await within(Promise.all([writer, reader]), 'both');
  assert.deepEqual(order, ['writer', 'reader']);
});

test('a semaphore counts permits', async () => {
  const semaphore = new Semaphore(3);
  assert.equal(semaphore.permits, 3);
  const two = semaphore.acquire(2);
  assert.equal(semaphore.acquireIfAvailable(2), null);
  const large = semaphore.acquireAsync(3);
  assert.equal(semaphore.acquireIfAvailable(), null, 'a later request overtook the large one');
  two.unlock();
  (await within(large, 'all permits')).unlock();
  assert.throws(() => semaphore.acquire(4), { code: 'ERR_OUT_OF_RANGE' });
});

test('a condition wakes waiters in order, with the lock held', async (t) => {
  const mutex = new Mutex();
  const condition = new Condition();
  const peers = await Promise.all([startThread(t), startProcess(t)]);
  const waits = [];
  for (const peer of peers) {
    const argument = { mutex: mutex.handle, condition: condition.handle };
    const first = await peer.start(({ Mutex, Condition }, handles, tell) => {
      const token = Mutex.from(handles.mutex).lock();
      tell('about to wait');
      const notified = Condition.from(handles.condition).wait(token, { timeoutMs: 60_000 });
      tell({ notified, locked: token.locked });
      token.unlock();
    }, argument);
    assert.equal(first, 'about to wait');
    // It holds the lock until it waits.
    (await within(mutex.lockAsync(), 'the lock')).unlock();
    waits.push(peer.told());
  }
  assert.equal(condition.notify(1), 1);
  assert.deepEqual(await waits[0], { notified: true, locked: true });
  assert.equal(condition.notify(), 1);
  assert.deepEqual(await waits[1], { notified: true, locked: true });
  assert.equal(condition.notify(), 0);
});

test('waiting for a predicate re-evaluates it on each notification', async () => {
  const [mutex, condition] = [new Mutex(), new Condition()];
  const token = mutex.lock();
  let ready = 0;
  const waiting = condition.waitForAsync(token, 60_000, () => ready === 2);
  for (const value of [1, 2]) {
    const own = await within(mutex.lockAsync(), 'the lock');
    ready = value;
    condition.notify();
    own.unlock();
  }
  assert.equal(await within(waiting, 'the predicate'), true);
  assert.equal(
    condition.waitFor(token, 5, () => false),
    false,
  );
  assert.equal(condition.waitFor(token, 5), false);
  assert.equal(await condition.waitForAsync(token, 5), false);
  await assert.rejects(condition.waitAsync(token, { signal: AbortSignal.timeout(5) }), {
    name: 'TimeoutError',
  });
  assert.equal(token.locked, true);
  token.unlock();
  assert.throws(() => condition.wait(token), NOT_LOCKED);
  assert.throws(() => condition.wait(/** @type {any} */ ({})), { code: 'ERR_INVALID_ARG_TYPE' });
});

test('a barrier releases all participants at once, and is reusable', async (t) => {
  const barrier = new Barrier(3);
  const peers = await Promise.all([startThread(t), startProcess(t)]);
  assert.equal(barrier.waitIfAvailable(), false);
  for (let round = 0; round < 3; round++) {
    const all = peers.map((peer) =>
      peer.run(({ Barrier }, handle) => Barrier.from(handle).wait(), barrier.handle),
    );
    const passed = await within(Promise.all([barrier.waitAsync(), ...all]), 'the barrier');
    assert.deepEqual(passed.toSorted(), [false, false, true]);
  }
  await assert.rejects(barrier.waitAsync({ timeoutMs: 5 }), TIMEOUT);
  assert.throws(() => barrier.wait({ timeoutMs: 5 }), TIMEOUT);
});

test('a Once runs once, and again if it failed', async (t) => {
  const once = new Once();
  const peer = await startProcess(t);
  assert.throws(() => once.run(() => assert.fail('first')), { message: 'first' });
  assert.equal(once.isDone, false);
  await assert.rejects(
    once.runAsync(() => Promise.reject(new Error('second'))),
    { message: 'second' },
  );
  assert.throws(() => once.run(async () => {}), { code: 'ERR_INVALID_ARG_VALUE' });
  let runs = 0;
  const here = once.runAsync(async () => void (runs += 1));
  const there = peer.run(({ Once }, handle) => Once.from(handle).run(() => {}), once.handle);
  const ran = await within(Promise.all([here, there]), 'both');
  assert.equal(ran.filter(Boolean).length, 1);
  assert.equal(runs, Number(ran[0]));
  assert.equal(once.isDone, true);
  assert.equal(
    once.run(() => assert.fail()),
    false,
  );
  assert.equal(
    once.runIfAvailable(() => assert.fail()),
    false,
  );
});

test('a name refers to the same lock in other processes', async (t) => {
  const name = segmentName(t, 'named');
  assert.throws(() => Mutex.open(name, { create: false }), { code: 'ERR_MANYCORE_SEGMENT_NOT_FOUND' });
  const token = Mutex.open(name).lock();
  assert.throws(() => Mutex.open(name, { create: 'exclusive' }), { code: 'ERR_MANYCORE_SEGMENT_EXISTS' });
  const peer = await startProcess(t);
  const attempt = ({ Mutex }, name) => Mutex.open(name).lockIfAvailable()?.fencingToken;
  assert.equal(await peer.run(attempt, name), undefined);
  token.unlock();
  assert.ok((await peer.run(attempt, name)) > token.fencingToken);
  assert.throws(() => Condition.open(name), { code: 'ERR_MANYCORE_SEGMENT_KIND' });
});

test('a name belongs to one class of locks', (t) => {
  const makers = {
    mutex: (/** @type {string} */ name) => Mutex.open(name),
    rwlock: (/** @type {string} */ name) => RwLock.open(name),
    once: (/** @type {string} */ name) => Once.open(name),
    semaphore: (/** @type {string} */ name) => Semaphore.open(name, 1),
    barrier: (/** @type {string} */ name) => Barrier.open(name, 1),
    condition: (/** @type {string} */ name) => Condition.open(name),
  };
  for (const [type, open] of Object.entries(makers)) {
    const name = segmentName(t, type);
    const first = open(name);
    assert.ok(first.handle.startsWith(`manycore:${type}:`));
    for (const [other, openOther] of Object.entries(makers)) {
      const attempt = () => openOther(name);
      if (other === type) assert.doesNotThrow(attempt);
      else assert.throws(attempt, { code: 'ERR_MANYCORE_SEGMENT_KIND' }, `${other} of a ${type}`);
    }
  }
});

test("names of scope 'process' are not visible to other processes", async (t) => {
  const options = { scope: 'process' };
  const mutex = Mutex.open('locks-objects', options);
  mutex.lock();
  assert.equal(Mutex.open('locks-objects', options).lockIfAvailable(), null);
  const attempt = ({ Mutex }) => Mutex.open('locks-objects', { scope: 'process' }).lockIfAvailable() === null;
  assert.equal(await (await startThread(t)).run(attempt), true);
  assert.equal(await (await startProcess(t)).run(attempt), false);
});

test('a lock can be sent in a message', async (t) => {
  const lock = new RwLock();
  const token = lock.lock();
  const attempt = ({ RwLock }, posted) => RwLock.from(posted).lockSharedIfAvailable() === null;
  for (const peer of [await startThread(t), await startProcess(t)]) {
    assert.equal(await peer.run(attempt, lock), true);
  }
  token.unlock();
});

test('waitFor() tests its predicate only under the lock, and only a synchronous one', async () => {
  const [mutex, condition] = [new Mutex(), new Condition()];
  const token = mutex.lock();
  assert.equal(
    condition.waitFor(token, 0, () => true),
    true,
  );
  assert.equal(
    condition.waitFor(token, 0, () => mutex.lockIfAvailable() !== null),
    false,
  );
  assert.throws(() => condition.waitFor(token, 1, async () => true), { code: 'ERR_INVALID_ARG_VALUE' });
  assert.equal(await condition.waitForAsync(token, 0, async () => false), false);
  let isReady = false;
  const ready = condition.waitForAsync(token, /** @type {any} */ (undefined), () => isReady);
  const other = await mutex.lockAsync();
  isReady = true;
  condition.notify();
  other.unlock();
  assert.equal(await ready, true);
  token.unlock();
  const notLocked = { code: 'ERR_MANYCORE_NOT_LOCKED' };
  assert.throws(() => condition.waitFor(token, 1, () => true), notLocked);
  await assert.rejects(
    condition.waitForAsync(token, 1, () => true),
    notLocked,
  );
});

test('a full lock reports that it is full', () => {
  const semaphore = new Semaphore(5, { maxRequests: 2 });
  const tokens = [semaphore.acquire(), semaphore.acquire()];
  assert.throws(() => semaphore.acquire(), { code: 'ERR_MANYCORE_FULL' });
  tokens[0].unlock();
  semaphore.acquire().unlock();
});

test('waiting keeps the process alive, holding a lock does not', async (t) => {
  const peer = await startProcess(t);
  const mutex = new Mutex();
  const token = mutex.lock();
  const [code] = await (async () => {
    await peer.start(({ Mutex }, handle, tell) => {
      process.disconnect = process.disconnect.bind(process);
      const waiting = Mutex.from(handle).lockAsync();
      tell('waits');
      process.disconnect();
      return waiting.then(() => process.exit(7));
    }, mutex.handle);
    token.unlock();
    return within(peer.exited, 'the end');
  })();
  assert.equal(code, 7);
});

test('arguments are validated', async () => {
  const mutex = new Mutex();
  const type = { code: 'ERR_INVALID_ARG_TYPE' };
  const range = { code: 'ERR_OUT_OF_RANGE' };
  const value = { code: 'ERR_INVALID_ARG_VALUE' };
  assert.throws(() => new Mutex(/** @type {any} */ (7)), type);
  assert.throws(() => new Mutex({ maxRequests: 0 }), range);
  assert.throws(() => new Mutex({ maxRequests: 1.5 }), range);
  assert.throws(() => mutex.lock({ timeoutMs: -1 }), range);
  assert.throws(() => mutex.lock({ timeoutMs: NaN }), range);
  assert.throws(() => mutex.lock(/** @type {any} */ ({ timeoutMs: '1' })), type);
  assert.throws(() => mutex.lock(/** @type {any} */ ({ signal: {} })), type);
  await assert.rejects(mutex.lockAsync(/** @type {any} */ (null)), type);
  assert.throws(() => Mutex.open(/** @type {any} */ (1)), type);
  assert.throws(() => Mutex.open('a/b'), value);
  assert.throws(() => Mutex.open('a', /** @type {any} */ ({ create: 'maybe' })), value);
  assert.throws(() => Mutex.open('a', /** @type {any} */ ({ scope: 'world' })), value);
  assert.throws(() => Mutex.from('nonsense'), type);
  assert.throws(() => Mutex.from('manycore:mutex:nonsense'), value);
  assert.throws(() => Mutex.from('manycore:mutex:fd/1/2/3'), { code: /^ERR_MANYCORE_SEGMENT_|^E[A-Z]+$/ });
  assert.throws(() => Mutex.from(new Once()), { code: 'ERR_MANYCORE_SEGMENT_KIND' });
  assert.throws(() => new Semaphore(0), range);
  assert.throws(() => new Barrier(0), range);
  assert.throws(() => new Condition().notify(-1), range);
  assert.throws(() => new Condition().waitFor(mutex.lock(), 1, /** @type {any} */ (7)), type);
  assert.throws(() => new Once().run(/** @type {any} */ (7)), type);
});
