'use strict';

/** Runs many tasks with limited concurrency; the next item is read only when there is room. */

/**
 * @typedef {object} FlowOptions
 * @property {number} concurrency
 * @property {boolean} ordered
 * @property {AbortSignal} [signal]
 */

/**
 * Yields the result of each item as the consumer asks for it. Stops reading items when the consumer stops or a task
 * fails.
 * @param {Iterable<any> | AsyncIterable<any>} items
 * @param {(item: any) => Promise<any>} run
 * @param {FlowOptions} options
 * @returns {AsyncGenerator<any, void, undefined>}
 */
async function* flow(items, run, { concurrency, ordered, signal }) {
  const source =
    /** @type {any} */ (items)[Symbol.asyncIterator]?.() ?? /** @type {any} */ (items)[Symbol.iterator]();
  /** @type {Promise<{ value: any, number: number }>[]} */
  let running = [];
  let number = 0;
  let isOver = false;
  try {
    for (;;) {
      while (!isOver && running.length < concurrency) {
        const next = await source.next();
        isOver = next.done === true;
        if (isOver) break;
        const mine = number++;
        const result = Promise.resolve(run(await next.value)).then((value) => ({ value, number: mine }));
        // Handled when its turn comes; this prevents an unhandled rejection.
        result.catch(() => {});
        running.push(tagged(result, mine));
      }
      if (running.length === 0) return;
      signal?.throwIfAborted();
      const done = ordered ? await running[0] : await Promise.race(running);
      running = running.filter((each) => /** @type {any} */ (each).number !== done.number);
      yield done.value;
    }
  } finally {
    if (!isOver) await source.return?.();
  }
}

/**
 * @param {Promise<any>} promise
 * @param {number} number
 */
function tagged(promise, number) {
  /** @type {any} */ (promise).number = number;
  return promise;
}

/**
 * Runs all items and returns the results, in the order of the items or of completion.
 * @param {Iterable<any> | AsyncIterable<any>} items
 * @param {(item: any) => Promise<any>} run
 * @param {FlowOptions & { onResult: (count: number) => void }} options
 */
async function runAll(items, run, { concurrency, ordered, signal, onResult }) {
  const source =
    /** @type {any} */ (items)[Symbol.asyncIterator]?.() ?? /** @type {any} */ (items)[Symbol.iterator]();
  /** @type {any[]} */
  const results = [];
  let next = 0;
  let done = 0;
  let isOver = false;
  let reading = Promise.resolve();
  /** Reads one item at a time, even from a source with several concurrent readers. */
  const read = () => {
    const item = reading.then(async () => {
      if (isOver) return null;
      const { done: isLast, value } = await source.next();
      isOver = isLast === true;
      return isOver ? null : { value: await value, number: next++ };
    });
    reading = item.then(
      () => {},
      () => {},
    );
    return item;
  };
  const work = async () => {
    for (let item = await read(); item !== null; item = await read()) {
      signal?.throwIfAborted();
      const value = await run(item.value);
      results[ordered ? item.number : done] = value;
      done++;
      onResult(done);
    }
  };
  try {
    await Promise.all(Array.from({ length: concurrency }, work));
  } catch (error) {
    if (!isOver) {
      isOver = true;
      await source.return?.();
    }
    throw error;
  }
  return results;
}

module.exports.flow = flow;
module.exports.runAll = runAll;
