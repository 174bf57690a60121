'use strict';

/** Runs many tasks with limited concurrency; the next item is read only when there is room. */

const { makeError } = require('../core/errors');
const { AbortError } = require('./errors');

const SETTLED = Promise.resolve();
const ignore = () => {};

/**
 * @typedef {object} FlowOptions
 * @property {number} concurrency
 * @property {boolean} ordered
 * @property {AbortSignal} [signal]
 */

/** Items of an iterable, read one at a time, and awaited if they are promises. */
class Source {
  #iterator;
  #count = 0;
  #isReading = false;
  /** Whether no more items will be read. */
  isOver = false;

  /** @param {Iterable<any> | AsyncIterable<any>} items */
  constructor(items) {
    const iterable = /** @type {any} */ (items);
    const iterator = iterable?.[Symbol.asyncIterator]?.() ?? iterable?.[Symbol.iterator]?.();
    if (iterator === undefined) {
      throw makeError('ERR_INVALID_ARG_TYPE', ['items', 'an iterable or an async iterable', items], Source);
    }
    this.#iterator = iterator;
  }

  /** Returns the next item and its number; null after the last one, and after `leave()`. */
  async next() {
    this.#isReading = true;
    let result;
    try {
      result = this.#iterator.next();
      if (isThenable(result)) result = await result;
    } catch (error) {
      this.isOver = true;
      throw error;
    } finally {
      this.#isReading = false;
    }
    if (this.isOver) return null;
    if (result.done === true) {
      this.isOver = true;
      return null;
    }
    const item = isThenable(result.value) ? await result.value : result.value;
    return this.isOver ? null : { item, number: this.#count++ };
  }

  /** Ends the iterator. One that is at work may take any time to notice, and is not waited for. */
  async leave() {
    if (this.isOver) return;
    this.isOver = true;
    if (this.#isReading) void Promise.resolve(this.#iterator.return?.()).catch(ignore);
    else await this.#iterator.return?.();
  }
}

/** @param {any} value */
function isThenable(value) {
  return typeof value === 'object' && value !== null && typeof value.then === 'function';
}

/** A task whose result has not been yielded yet. */
class Running {
  isSettled = false;
  isError = false;
  /** @type {any} */
  value = undefined;

  /**
   * @param {Promise<any>} promise
   * @param {(running: Running) => void} onSettled
   */
  constructor(promise, onSettled) {
    const settle = (/** @type {boolean} */ isError) => (/** @type {any} */ value) => {
      this.isSettled = true;
      this.isError = isError;
      this.value = value;
      onSettled(this);
    };
    promise.then(settle(false), settle(true));
  }
}

/**
 * Yields the result of each item as the consumer asks for it. Stops reading items when the consumer stops or a task
 * fails.
 * @param {Iterable<any> | AsyncIterable<any>} items
 * @param {(item: any) => Promise<any>} run
 * @param {FlowOptions} options
 * @returns {AsyncGenerator<any, void, undefined>}
 */
async function* flow(items, run, { concurrency, ordered, signal }) {
  const source = new Source(items);
  /** In the order of the items. @type {Set<Running>} */
  const running = new Set();
  /** In the order of completion. @type {Running[]} */
  const settled = [];
  /** Why no item could be read. @type {{ error: any } | null} */
  let failure = null;
  let isReading = false;
  let wake = () => {};
  const onAbort = () => wake();
  signal?.addEventListener('abort', onAbort, { once: true });
  const onSettled = (/** @type {Running} */ one) => {
    settled.push(one);
    wake();
  };
  const read = async () => {
    isReading = true;
    try {
      const next = await source.next();
      if (next !== null) running.add(new Running(run(next.item), onSettled));
    } catch (error) {
      failure = { error };
    }
    isReading = false;
    wake();
  };
  const takeSettled = () => {
    if (!ordered) return settled.shift();
    settled.length = 0;
    const [first] = running;
    return first?.isSettled ? first : undefined;
  };
  try {
    for (;;) {
      if (signal?.aborted) throw new AbortError(signal.reason);
      if (failure !== null) throw /** @type {{ error: any }} */ (failure).error;
      if (!source.isOver && !isReading && running.size < concurrency) void read();
      const done = takeSettled();
      if (done !== undefined) {
        running.delete(done);
        if (done.isError) throw done.value;
        yield done.value;
      } else if (source.isOver && !isReading && running.size === 0) {
        return;
      } else {
        await new Promise((/** @type {(value: void) => void} */ resolve) => (wake = resolve));
      }
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    await source.leave();
  }
}

/**
 * Runs all items and returns the results, in the order of the items or of completion.
 * @param {Iterable<any> | AsyncIterable<any>} items
 * @param {(item: any) => Promise<any>} run
 * @param {FlowOptions & { onResult: (count: number) => void }} options
 */
async function runAll(items, run, { concurrency, ordered, signal, onResult }) {
  const source = new Source(items);
  /** @type {any[]} */
  const results = [];
  let done = 0;
  let reading = SETTLED;
  /** Reads one item at a time, even from a source with several concurrent readers. */
  const read = () => {
    const next = reading.then(() => (source.isOver ? null : source.next()));
    reading = next.then(ignore, ignore);
    return next;
  };
  const work = async () => {
    for (let next = await read(); next !== null; next = await read()) {
      const value = await run(next.item);
      results[ordered ? next.number : done] = value;
      done++;
      onResult(done);
    }
  };
  let onAbort = () => {};
  const aborted = new Promise((_resolve, reject) => {
    onAbort = () => reject(new AbortError(signal?.reason));
    if (signal?.aborted) onAbort();
  });
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([Promise.all(Array.from({ length: concurrency }, work)), aborted]);
  } catch (error) {
    await source.leave();
    throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
  return results;
}

module.exports.flow = flow;
module.exports.runAll = runAll;
