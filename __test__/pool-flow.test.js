'use strict';

/* map() and stream() of a pool whose source of items is slow, fails, or never ends. */

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { WATCHDOG, makePool } = require('./support/pool');

/** A promise that is never settled. */
const never = () => new Promise(() => {});

/** A promise, and the function that resolves it. */
function deferred() {
  /** @type {(value?: any) => void} */
  let resolve = () => {};
  const promise = new Promise((settle) => (resolve = settle));
  return { promise, resolve };
}

/** Yields the items, then waits for ever. @param {any[]} items */
async function* endless(...items) {
  yield* items;
  await never();
}

for (const ordered of [true, false]) {
  test(`stream() yields results while its source waits, ordered: ${ordered}`, WATCHDOG, async (t) => {
    const pool = makePool(t, { name: 'echo' });
    const seen = [];
    for await (const value of pool.stream(endless('a', 'b'), { ordered })) {
      seen.push(value);
      if (seen.length === 2) break;
    }
    assert.deepEqual(seen, ['a', 'b']);
  });
}

test('stream() serves a source that waits for the result of its last item', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'echo' });
  let answer = deferred();
  async function* asking() {
    for (let number = 0; number < 5; number++) {
      answer = deferred();
      yield number;
      assert.equal(await answer.promise, number);
    }
  }
  const seen = [];
  for await (const value of pool.stream(asking())) {
    seen.push(value);
    answer.resolve(value);
  }
  assert.deepEqual(seen, [0, 1, 2, 3, 4]);
});

test('map() rejects when a task fails while the source waits', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'throwError' });
  await assert.rejects(pool.map(endless('no')), { name: 'TypeError', message: 'no' });
});

test('map() and stream() stop while the source waits when their signal is aborted', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'echo' });
  const stopped = { name: 'AbortError', cause: 'enough' };
  for (const ordered of [true, false]) {
    const controller = new AbortController();
    const { signal } = controller;
    const mapped = pool.map(endless(1), { ordered, signal });
    const stream = pool.stream(endless(1), { ordered, signal });
    assert.deepEqual(await stream.next(), { done: false, value: 1 });
    const next = stream.next();
    controller.abort('enough');
    await assert.rejects(mapped, stopped);
    await assert.rejects(next, stopped);
    await assert.rejects(pool.map([1], { ordered, signal }), stopped);
    await assert.rejects(pool.stream([1], { ordered, signal }).next(), stopped);
  }
});

test('an item that arrives after a task has failed is not run', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'throwError' });
  const late = deferred();
  const left = deferred();
  async function* source() {
    try {
      yield 'no';
      await late.promise;
      yield 'late';
      assert.fail('nobody reads further');
    } finally {
      left.resolve();
    }
  }
  await assert.rejects(pool.map(source()), { message: 'no' });
  const { completed } = pool;
  late.resolve();
  await left.promise;
  assert.equal(pool.completed, completed);
  assert.equal(pool.stats().pendingTasks + pool.stats().activeTasks, 0);
});

test('map() and stream() reject with what their source throws', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'echo' });
  let returned = 0;
  const sources = {
    *throws() {
      yield 1;
      throw new RangeError('source');
    },
    *rejects() {
      try {
        yield Promise.reject(new RangeError('source'));
      } finally {
        returned++;
      }
    },
  };
  for (const source of Object.values(sources)) {
    await assert.rejects(pool.map(source()), { name: 'RangeError', message: 'source' });
    await assert.rejects(drain(pool.stream(source())), { name: 'RangeError', message: 'source' });
  }
  assert.equal(returned, 2, 'a source that can go on has been ended');
});

test('items have to be iterable', WATCHDOG, async (t) => {
  const pool = makePool(t, { name: 'echo' });
  const wrong = { code: 'ERR_INVALID_ARG_TYPE', message: /"items" argument must be an iterable/ };
  for (const items of /** @type {any[]} */ ([5, null, undefined, {}])) {
    await assert.rejects(pool.map(items), wrong);
    await assert.rejects(pool.stream(items).next(), wrong);
  }
});

/** @param {AsyncIterable<any>} items */
async function drain(items) {
  for await (const item of items) assert.equal(item, 1);
}
