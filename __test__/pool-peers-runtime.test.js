'use strict';

/* Pools that change what their workers are, as with tinypool; and what workers print. */

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { WATCHDOG, fixture, makePool, raised, shared } = require('./support/pool');

const exported = fixture('exported.js');

test(
  'recycleWorkers() changes what workers are; tasks queued before end where they are',
  WATCHDOG,
  async (t) => {
    const pool = makePool(t, { filename: exported });
    const words = shared();
    const running = pool.run(words, { name: 'block' });
    const waiting = pool.run(null, { name: 'pid' });
    await raised(words, 1);
    const recycled = pool.recycleWorkers({ runtime: 'child_process' });
    const later = await pool.run(null, { name: 'pid' });
    assert.notEqual(later, process.pid);
    assert.equal(pool.options.runtime, 'processes');
    Atomics.store(words, 0, 1);
    Atomics.notify(words, 0);
    assert.deepEqual([await running, await waiting], ['released', process.pid]);
    await recycled;
    assert.equal(pool.completed, 3);
    assert.equal(pool.threads.length, 1);
    await pool.recycleWorkers({ runtime: 'threads' });
    assert.equal(await pool.run(null, { name: 'pid' }), process.pid);
    assert.equal(pool.completed, 4);
  },
);

test('destroy() and close() end workers of the former kind, too', WATCHDOG, async (t) => {
  for (const end of ['destroy', 'close']) {
    const pool = makePool(t, { filename: exported });
    const words = shared();
    const running = pool.run(words, { name: 'block' });
    const outcome = running.then(
      (/** @type {any} */ value) => value,
      (/** @type {Error} */ { message }) => message,
    );
    await raised(words, 1);
    const recycled = pool.recycleWorkers({ runtime: 'processes' });
    const ended = pool[end]();
    if (end === 'close') {
      Atomics.store(words, 0, 1);
      Atomics.notify(words, 0);
    }
    await Promise.all([recycled, ended]);
    assert.equal(await outcome, end === 'close' ? 'released' : 'Terminating worker thread');
  }
});

test('a pool with a queue of its own changes what workers are once that is empty', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: exported, queueStrategy: 'lifo' });
  const before = [1, 2, 3].map(() => pool.run(null, { name: 'pid' }));
  await pool.recycleWorkers({ runtime: 'processes' });
  assert.deepEqual(await Promise.all(before), [process.pid, process.pid, process.pid]);
  assert.notEqual(await pool.run(null, { name: 'pid' }), process.pid);
});

test('a kind of workers that does not exist, or with these options, is refused', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: exported, runtime: 'processes', cwd: __dirname });
  await assert.rejects(pool.recycleWorkers({ runtime: /** @type {any} */ ('fibers') }), TypeError);
  await assert.rejects(pool.recycleWorkers({ runtime: 'threads' }), TypeError);
  assert.notEqual(await pool.run(null, { name: 'pid' }), process.pid);
});

test('what workers print is told whole, also where a character comes in two parts', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: null, runtime: 'processes', emitStdStreams: true });
  let text = '';
  const whole = /** @type {Promise<void>} */ (
    new Promise((resolve) => {
      pool.on('stdout', (/** @type {string} */ more) => {
        text += more;
        if (text.endsWith('.')) resolve();
      });
    })
  );
  await pool.exec(async () => {
    const bytes = Buffer.from('ä€.');
    const { writeSync } = await import('node:fs');
    for (const byte of bytes) {
      writeSync(1, Buffer.from([byte]));
      // The caller reads what there is: each byte by itself.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  await whole;
  assert.equal(text, 'ä€.');
});
