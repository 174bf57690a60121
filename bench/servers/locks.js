'use strict';

/*
 * One process of bench/locks.js: locks and unlocks for a given time, and reports how often.
 *
 *   node locks.js LIBRARY MS PLACE    PLACE: a handle, or a folder
 */

const fs = require('node:fs');
const path = require('node:path');

const { median } = require('../lib/statistics');

const [library, ms, place] = process.argv.slice(2);
/** Number of rounds between two readings of the clock. */
const ROUNDS = 20;
/** Number of alternations between the lock and plain calls, to compare them. */
const TURNS = 50;

/** One round of each contender, which may return a promise. @type {Record<string, () => () => any>} */
const rounds = {
  calls() {
    const { loadAddon } = require('../../lib/core/addon');
    const { nothing } = /** @type {any} */ (loadAddon()).LockTable.open({}, 1, 1, 0).calls();
    return () => nothing() + nothing(1, 2);
  },
  manycore() {
    const { Mutex } = require('../..');
    const mutex = Mutex.from(place);
    return () => (mutex.lockIfAvailable() ?? mutex.lock()).unlock();
  },
  mkdir() {
    const folder = path.join(place, 'lock');
    return () => {
      for (;;) {
        try {
          fs.mkdirSync(folder);
          return fs.rmdirSync(folder);
        } catch (error) {
          if (/** @type {any} */ (error).code !== 'EEXIST') throw error;
          // Like proper-lockfile, with a shorter delay.
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
        }
      }
    };
  },
};

/** @param {() => any} round @param {number} forMs */
function run(round, forMs) {
  const startNs = process.hrtime.bigint();
  const endNs = startNs + BigInt(Math.round(forMs * 1e6));
  let rounds = 0;
  let nowNs = startNs;
  while (nowNs < endNs) {
    for (let index = 0; index < ROUNDS; index++) round();
    rounds += ROUNDS;
    nowNs = process.hrtime.bigint();
  }
  return { rounds, elapsedNs: Number(nowNs - startNs) };
}

/** Alternates, so that changes on the machine affect both alike. @param {number} forMs */
function beyondCalls(forMs) {
  const [lock, calls] = [rounds.manycore(), rounds.calls()];
  const each = (/** @type {() => any} */ round) => {
    const { rounds, elapsedNs } = run(round, forMs / TURNS / 2);
    return elapsedNs / rounds;
  };
  const beyond = Array.from({ length: TURNS }, () => each(lock) - each(calls));
  return { beyondNs: median(beyond) };
}

/** @param {() => any} round */
const alone = (round) => (/** @type {number} */ forMs) => run(round, forMs);
const measure = library === 'beyond' ? beyondCalls : alone(rounds[library]());
measure(Number(ms) / 10);
process.send?.('ready');
process.once('message', () => {
  const result = measure(Number(ms));
  process.send?.(result, () => process.disconnect());
});
