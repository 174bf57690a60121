'use strict';

/**
 * Interface to the addon's tables of requests: raw calls and their results, and the one listener per thread that is
 * notified of grants.
 */

const { requireAddon } = require('../core/addon');

/** Kinds of tables. */
const Kind = /** @type {const} */ ({ LOCK: 1, SEMAPHORE: 2, CONDITION: 3, BARRIER: 4, NAMES: 5 });
/** Results of raw calls. */
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
/** Flags of a request. */
const Flag = /** @type {const} */ ({ EXCLUSIVE: 0, SHARED: 1, BLOCKING: 2, BELL: 4, STEAL: 8 });
/** Indices of results written by raw calls. */
const Result = /** @type {const} */ ({ INDEX: 0, SERIAL: 1, FENCE: 2, FLAGS: 3, TICKET: 4 });
/** Bits of `Result.FLAGS`. */
const OWNER_DIED = 1;
const LAST = 2;

/** Callbacks for changes of watched requests, by number. @type {Map<number, () => void>} */
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
 * Calls back once when a request is no longer waiting (`pending`) or no longer held. Returns a function that
 * cancels this.
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
