'use strict';

/*
 * One process of bench/locks.js: takes and gives back a lock so many times, and says how long that took.
 *
 *   node locks.js LIBRARY COUNT PLACE    PLACE: a handle, or a folder
 */

const fs = require('node:fs');
const path = require('node:path');

const [library, count, place] = process.argv.slice(2);

/** A round of each, or a promise of it. @type {Record<string, () => () => any>} */
const rounds = {
  calls() {
    const { loadAddon } = require('../../lib/core/addon');
    const { nothing } = /** @type {any} */ (loadAddon()).LockTable.anonymous(1, 1, 0).calls();
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
for (let index = 0; index < Number(count) / 10; index++) round();
process.send?.('ready');
process.once('message', () => {
  const startNs = process.hrtime.bigint();
  for (let index = 0; index < Number(count); index++) round();
  const elapsedNs = Number(process.hrtime.bigint() - startNs);
  process.send?.({ elapsedNs }, () => process.disconnect());
});
