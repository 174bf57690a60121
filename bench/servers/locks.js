'use strict';

/*
 * One process of bench/locks.js: takes and gives back a lock for so long, and says how often.
 *
 *   node locks.js LIBRARY MS PLACE    PLACE: a handle, or a folder
 */

const fs = require('node:fs');
const path = require('node:path');

const [library, ms, place] = process.argv.slice(2);
/** Between two looks at the clock. */
const ROUNDS = 20;

/** A round of each, or a promise of it. @type {Record<string, () => () => any>} */
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
          // As proper-lockfile does, though with a shorter delay.
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
        }
      }
    };
  },
};

const round = rounds[library]();
/** @param {number} forMs */
function run(forMs) {
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

run(Number(ms) / 10);
process.send?.('ready');
process.once('message', () => {
  const result = run(Number(ms));
  process.send?.(result, () => process.disconnect());
});
