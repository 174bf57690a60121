'use strict';

/**
 * Updates whose functions are running in this thread. If such a function modified what it updates, through
 * whichever object attached to the same memory, the update would be retried forever.
 */

const { Buffer } = require('node:buffer');
const { makeError } = require('../core/errors');

/** @typedef {import('./map').Key} Key */

/** Number of times in a row that an update may be overtaken before it gives up. */
const MOST_TRIES = 10_000;
/** Running updates: identity of the memory, and key or index; the innermost is last. */
const running = /** @type {{ memory: string, key: Key }[]} */ ([]);

/**
 * Calls the function of an update and returns the new value.
 * @param {string} memory
 * @param {Key} key
 * @param {(value: any) => any} change
 * @param {any} value
 */
function changed(memory, key, change, value) {
  running.push({ memory, key });
  try {
    return change(value);
  } finally {
    running.pop();
  }
}

/**
 * Retries until there is a result.
 * @template T
 * @param {string} subject name of the object in errors
 * @param {Function} origin
 * @param {() => T | undefined} attempt returns undefined if another change came first
 * @returns {T}
 */
function untilDone(subject, origin, attempt) {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const outcome = attempt();
    if (outcome !== undefined) return outcome;
  }
  throw makeError('ERR_MANYCORE_OVERTAKEN', [subject, MOST_TRIES], origin);
}

/**
 * Throws if a running update's function would modify what is being updated. Only needs to be called while there are
 * running updates.
 * @param {string} memory
 * @param {string} name name of the argument
 * @param {Key | undefined} key undefined for all of them
 * @param {Function} origin
 */
function checkNotRunning(memory, name, key, origin) {
  const update = running.find(
    (update) => update.memory === memory && (key === undefined || isSameKey(update.key, key)),
  );
  if (update === undefined) return;
  const reason = 'is that of an update which has not ended';
  throw makeError('ERR_INVALID_ARG_VALUE', [name, update.key, reason], origin);
}

/**
 * @param {Key} one
 * @param {Key} other
 */
function isSameKey(one, other) {
  if (typeof one !== 'object' || typeof other !== 'object') return one === other || Object.is(one, other);
  return one instanceof Uint8Array && other instanceof Uint8Array && Buffer.compare(one, other) === 0;
}

module.exports.running = running;
module.exports.changed = changed;
module.exports.untilDone = untilDone;
module.exports.checkNotRunning = checkNotRunning;
