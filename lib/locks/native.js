'use strict';

/**
 * The addon's tables of requests as JavaScript uses them: raw calls and their results, and the one
 * listener per thread that learns of grants.
 */

const { requireAddon } = require('../core/addon');

/** What a table decides. */
const Kind = /** @type {const} */ ({ LOCK: 1, SEMAPHORE: 2, CONDITION: 3, BARRIER: 4, NAMES: 5 });
/** What raw calls return. */
const Status = /** @type {const} */ ({
  HELD: 0,
  PENDING: 1,
  LOST: 2,
  GONE: 3,
  UNAVAILABLE: 4,
  FULL: 5,
  DEADLOCK: 6,
  STUCK: 7,
  CORRUPT: 8,
});
/** Bits of the flags of a request. */
const Flag = /** @type {const} */ ({ EXCLUSIVE: 0, SHARED: 1, BLOCKING: 2, BELL: 4, STEAL: 8 });
/** Where raw calls leave their results. */
const Result = /** @type {const} */ ({ INDEX: 0, SERIAL: 1, FENCE: 2, FLAGS: 3, TICKET: 4 });
/** Bits of the flags among the results. */
const OWNER_DIED = 1;
const LAST = 2;

/** Called when a watched request has changed, by its number. @type {Map<number, () => void>} */
const watched = new Map();
let lastNumber = 0;

/** @param {...number} numbers */
function onChanged(...numbers) {
  for (const number of numbers) {
    const tell = watched.get(number);
    watched.delete(number);
    tell?.();
  }
}

/**
 * Calls back once when a request does not wait (`pending`), or not hold, any more. Returns what ends that.
 * @param {import('../native/index').LockTable} native
 * @param {number} index
 * @param {number} serial
 * @param {boolean} pending
 * @param {() => void} tell
 */
function watch(native, index, serial, pending, tell) {
  const addon = requireAddon('locks');
  if (lastNumber === 0) addon.lockListen(onChanged);
  const number = ++lastNumber;
  watched.set(number, tell);
  native.watch(number, index, serial, pending);
  return () => {
    if (watched.delete(number)) addon.lockUnwatch(number);
  };
}

module.exports.Kind = Kind;
module.exports.Status = Status;
module.exports.Flag = Flag;
module.exports.Result = Result;
module.exports.OWNER_DIED = OWNER_DIED;
module.exports.LAST = LAST;
module.exports.watch = watch;
