'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const { Condition, LockManager, Mutex, SharedBuffer, locks } = require('manycore');
const { startProcess, startThread, within } = require('./support/peers');

test('locks work across threads and processes and survive the death of holders', async (t) => {
  const [mutex, condition] = [new Mutex(), new Condition()];
  for (const start of [startThread, startProcess]) {
    const peer = await start(t);
    const hold = ({ Mutex, Condition }, [mutex, condition], tell) => {
      globalThis.token = Mutex.from(mutex).lock();
      tell('holds');
      Condition.from(condition).wait(globalThis.token);
      tell('holds again');
    };
    assert.equal(await peer.start(hold, [mutex.handle, condition.handle]), 'holds');
    const token = await mutex.lockAsync({ timeoutMs: 60_000 });
    assert.equal(condition.notify(), 1);
    token.unlock();
    assert.equal(await peer.told(), 'holds again');
    const waiting = mutex.lockAsync({ timeoutMs: 60_000 });
    await peer.kill();
    const next = await waiting;
    assert.equal(next.ownerDied, true);
    next.unlock();
  }
});

test('a mostly uncontended lock has one holder at a time', async (t) => {
  const [mutex, memory] = [new Mutex(), new SharedBuffer({ byteLength: 8 })];
  // Not atomic: concurrent additions would be lost.
  const add = ({ Mutex, SharedBuffer }, [mutex, memory, times]) => {
    const lock = Mutex.from(mutex);
    const count = new Float64Array(SharedBuffer.from(memory).buffer);
    for (let i = 0; i < times; i++) {
      const token = lock.lockIfAvailable() ?? lock.lock();
      count[0] += 1;
      token.unlock();
    }
  };
  const times = 100_000;
  const peers = [await startThread(t), await startProcess(t)];
  await Promise.all(peers.map((peer) => peer.run(add, [mutex.handle, memory.handle, times])));
  assert.equal(new Float64Array(memory.buffer)[0], 2 * times);
});

test('named locks work across threads and processes', async (t) => {
  const name = `smoke ${process.pid} ${Math.random()}`;
  const attempt = ({ locks }, name) =>
    locks.request(name, { ifAvailable: true }, (lock) => lock?.name ?? null);
  for (const start of [startThread, startProcess]) {
    const peer = await start(t);
    await locks.request(name, async () => assert.equal(await peer.run(attempt, name), null));
    assert.equal(await peer.run(attempt, name), name);
  }
});

test('the process-scoped lock manager behaves like that of worker_threads', async (t) => {
  const own = require('node:worker_threads').locks;
  if (own === undefined) return t.skip('not in this Node');
  for (const manager of [own, new LockManager({ scope: 'process' })]) {
    const name = `smoke ${process.pid} ${Math.random()}`;
    const result = await within(
      manager.request(name, { mode: 'shared' }, async (lock) => {
        const there = await manager.request(name, { ifAvailable: true }, (lock) => lock);
        const { held } = await manager.query();
        return [lock.name, lock.mode, there, held.filter((info) => info.name === name).length];
      }),
      'the request',
    );
    assert.deepEqual(result, [name, 'shared', null, 1]);
    await assert.rejects(
      manager.request('-a', () => {}),
      { name: 'NotSupportedError' },
    );
  }
});
