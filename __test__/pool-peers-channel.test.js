'use strict';

/* Channels between the program and the worker that runs a task: as with tinypool, and beyond. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { Pool } = require('..');
const { TASKS, WATCHDOG, fixture, makePool, raised, shared } = require('./support/pool');

const exported = fixture('exported.js');

/** @returns {{ channel: any, said: any[], answered: Promise<void>, closed: Promise<void> }} a channel that greets */
function greeting() {
  const said = /** @type {any[]} */ ([]);
  let send = (/** @type {any} */ _message) => {};
  let onAnswer = () => {};
  let onClosed = () => {};
  const answered = /** @type {Promise<void>} */ (new Promise((resolve) => (onAnswer = resolve)));
  const closed = /** @type {Promise<void>} */ (new Promise((resolve) => (onClosed = resolve)));
  const channel = {
    onMessage(/** @type {(message: any) => void} */ callback) {
      send = callback;
    },
    postMessage(/** @type {any} */ message) {
      said.push(message);
      if (message === 'begun') send('hello');
      else onAnswer();
    },
    onClose() {
      said.push('closed');
      onClosed();
    },
  };
  return { channel, said, answered, closed };
}

/** @param {any} pool */
async function converse(pool) {
  const { channel, said, answered, closed } = greeting();
  const result = await pool.run(null, { name: 'converse', channel });
  await answered;
  await pool.destroy();
  await closed;
  return [result, ...said];
}

test('a channel reaches the process that runs the task, as with tinypool', WATCHDOG, async (t) => {
  const { Tinypool } = await import('tinypool');
  for (const Class of [Tinypool, Pool]) {
    const pool = makePool(t, { filename: exported, runtime: 'child_process' }, Class);
    assert.deepEqual(await converse(pool), ['over', 'begun', 'hello back', 'closed'], Class.name);
  }
});

test('a channel reaches the thread that runs the task', WATCHDOG, async (t) => {
  assert.deepEqual(await converse(makePool(t, { filename: exported })), [
    'over',
    'begun',
    'hello back',
    'closed',
  ]);
});

for (const runtime of ['threads', 'processes']) {
  test(`a channel is closed when its worker begins a task with another: ${runtime}`, WATCHDOG, async (t) => {
    const pool = makePool(t, { filename: exported, runtime });
    const first = greeting();
    await pool.run(null, { name: 'converse', channel: first.channel });
    await first.answered;
    // No other task closes it, nor the same channel.
    await pool.run('x', { name: 'echo' });
    await pool.run('x', { name: 'echo', channel: first.channel });
    assert.deepEqual(first.said, ['begun', 'hello back']);
    const second = greeting();
    await pool.run(null, { name: 'converse', channel: second.channel });
    await Promise.all([first.closed, second.answered]);
    assert.deepEqual(
      [first.said, second.said],
      [
        ['begun', 'hello back', 'closed'],
        ['begun', 'hello back'],
      ],
    );
  });
}

test('each of several workers has the channel of its own task', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: exported, minThreads: 2, maxThreads: 2 });
  const all = Array.from({ length: 8 }, greeting);
  await Promise.all(all.map(({ channel }) => pool.run(null, { name: 'converse', channel })));
  await Promise.all(all.map(({ answered }) => answered));
  for (const { said } of all) assert.deepEqual(said.slice(0, 2), ['begun', 'hello back']);
});

test('what is no channel is refused', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: exported });
  for (const channel of [5, 'x', { postMessage: 1 }, { onMessage: null }, { onClose: {} }]) {
    await assert.rejects(pool.run('x', { name: 'echo', channel: /** @type {any} */ (channel) }), {
      code: 'ERR_INVALID_ARG_TYPE',
      name: 'TypeError',
    });
  }
  assert.equal(await pool.run('x', { name: 'echo', channel: null }), 'x');
});

test('a task that is cancelled, retried or sent by another way keeps channels apart', WATCHDOG, async (t) => {
  const pool = makePool(t, { filename: exported });
  const words = shared();
  const running = pool.run(words, { name: 'block' });
  await raised(words, 1);
  const cancelled = greeting();
  const controller = new AbortController();
  const { signal } = controller;
  const never = pool.run(null, { name: 'converse', channel: cancelled.channel, signal });
  controller.abort();
  await assert.rejects(never, { name: 'AbortError' });
  // A transfer list goes by the worker's port.
  const { channel, said, answered } = greeting();
  const buffer = new ArrayBuffer(8);
  const options = { name: 'converse', channel, transferList: [buffer] };
  const next = pool.run({ buffer }, options);
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
  assert.deepEqual(await Promise.all([running, next]), ['released', 'over']);
  await answered;
  assert.deepEqual([said, cancelled.said], [['begun', 'hello back'], []]);
});

test('a task that is tried again has its channel again, with the next worker', WATCHDOG, async (t) => {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-')), 'tried');
  t.after(() => fs.rmSync(path.dirname(file), { recursive: true, force: true }));
  const pool = makePool(t, { filename: TASKS, maxRetries: 1 });
  const calls = /** @type {string[]} */ ([]);
  const channel = { onMessage: () => calls.push('begun'), onClose: () => calls.push('closed') };
  assert.equal(await pool.run({ file }, { name: 'exitOnce', channel }), 'second try');
  assert.deepEqual(await pool.run('x', { name: 'echo' }), 'x');
  await pool.destroy();
  assert.deepEqual(calls, ['begun', 'closed', 'begun', 'closed']);
});
