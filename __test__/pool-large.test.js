'use strict';

/* Large buffers in tasks and results. */

const assert = require('node:assert/strict');
const { mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { WATCHDOG, fixture, makePool, raised, shared } = require('./support/pool');

const LARGE = fixture('large.js');
const MIB = 1024 * 1024;

/** @param {number} length */
const filled = (length, byte = 7) => new Uint8Array(length).fill(byte);

/** @param {import('node:test').TestContext} t @param {any} [options] */
const largePool = (t, options) => makePool(t, { filename: LARGE, ...options });

for (const runtime of ['threads', 'processes']) {
  test(`large buffers are passed in both directions as separate copies: ${runtime}`, WATCHDOG, async (t) => {
    const pool = largePool(t, { runtime });
    const bytes = filled(MIB, 1);
    const running = [pool.run(bytes), pool.run(bytes, { name: 'double' })];
    bytes.fill(9);
    running.push(pool.run(bytes, { name: 'sum' }));
    const [same, doubled, sum] = await Promise.all(running);
    assert.deepEqual(same, filled(MIB, 1));
    assert.deepEqual(doubled, filled(MIB, 2));
    assert.equal(sum, 9 * MIB);
    assert.equal(bytes[0], 9);
    assert.deepEqual(await pool.run({ length: 200_001, byte: 3 }, { name: 'make' }), filled(200_001, 3));
    assert.deepEqual(pool.runSync(bytes, { name: 'double' }), filled(MIB, 18));
  });
}

test('several buffers and views over one buffer keep their relations', WATCHDOG, async (t) => {
  const pool = largePool(t);
  const buffer = filled(MIB, 5).buffer;
  const value = {
    small: filled(100),
    view: new Uint16Array(buffer, 16, 100),
    buffer,
    again: buffer,
    other: filled(300_000, 6),
  };
  const back = await pool.run(value);
  assert.deepEqual(back, value);
  assert.equal(back.buffer, back.again);
  assert.equal(back.view.buffer, back.buffer);
  back.view[0] = 0xffff;
  assert.equal(new Uint8Array(back.buffer)[16], 0xff);
});

test('received buffers can be transferred on', WATCHDOG, async (t) => {
  const pool = largePool(t);
  assert.deepEqual(await pool.run(filled(MIB), { name: 'ownBuffer' }), [0, MIB]);
  const { buffer } = await pool.run(filled(MIB));
  assert.equal(structuredClone(buffer, { transfer: [buffer] }).byteLength, MIB);
  assert.equal(buffer.byteLength, 0);
});

test("tasks beyond the queue's memory wait and still arrive", WATCHDOG, async (t) => {
  const pool = largePool(t, { maxThreads: 2, minThreads: 2 });
  const all = Array.from({ length: 90 }, (_, i) => pool.run(filled(MIB, i), { name: 'sum' }));
  assert.deepEqual(
    await Promise.all(all),
    Array.from({ length: 90 }, (_, i) => i * MIB),
  );
});

test('cancelled tasks release their memory', WATCHDOG, async (t) => {
  const pool = makePool(t);
  for (let round = 0; round < 3; round++) {
    const words = shared();
    const running = pool.run(words, { name: 'block' });
    await raised(words, 1);
    const cancelled = Array.from({ length: 60 }, () => pool.run(filled(MIB), { name: 'lengthOf' }));
    pool.cancelPendingTasks();
    for (const each of cancelled) await assert.rejects(each, /has been cancelled/);
    Atomics.store(words, 0, 1);
    Atomics.notify(words, 0);
    await running;
    assert.equal(await pool.run(filled(MIB).buffer, { name: 'lengthOf' }), MIB);
  }
});

test('a retried task receives its buffers again', WATCHDOG, async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'pool-large-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const pool = largePool(t);
  const task = { file: path.join(folder, 'tried'), bytes: filled(MIB, 8) };
  assert.equal(await pool.run(task, { name: 'exitOnce', retries: 1 }), MIB + 8);
});

test('a getter may run another task with buffers', WATCHDOG, async (t) => {
  const pool = largePool(t);
  /** @type {Promise<any>[]} */
  const inner = [];
  const value = {
    first: filled(MIB, 1),
    get second() {
      inner.push(pool.run(filled(MIB, 2)), pool.run({ bytes: filled(MIB, 0), call: () => {} }));
      inner[1].catch(() => {});
      return filled(MIB, 3);
    },
    third: filled(MIB, 4),
  };
  const { first, second, third } = await pool.run(value);
  assert.deepEqual([first[0], second[0], third[0]], [1, 3, 4]);
  assert.deepEqual(await inner[0], filled(MIB, 2));
  await assert.rejects(inner[1], { name: 'DataCloneError' });
});

test('an unsendable task leaves nothing behind', WATCHDOG, async (t) => {
  const pool = largePool(t);
  const bad = { bytes: filled(MIB), call: () => {} };
  const throwing = {
    bytes: filled(MIB),
    get bad() {
      throw new RangeError('not to be had');
    },
  };
  for (let round = 0; round < 70; round++) {
    await assert.rejects(pool.run(bad), { name: 'DataCloneError' });
    await assert.rejects(pool.run(throwing), RangeError);
  }
  await assert.rejects(pool.run(MIB, { name: 'uncloneable' }), { name: 'DataCloneError' });
  await assert.rejects(pool.run(MIB, { name: 'throwing' }), RangeError);
  assert.deepEqual(await pool.run(filled(MIB, 3)), filled(MIB, 3));
});

test('a thenable that settles twice counts as settled once', WATCHDOG, async (t) => {
  const pool = largePool(t);
  assert.deepEqual(await pool.run(MIB, { name: 'twice' }), filled(MIB, 1));
  assert.deepEqual(await pool.run(filled(MIB, 3)), filled(MIB, 3));
});
