'use strict';

/**
 * The updates whose functions run in this thread just now. What such a function itself does to what it updates would have
 * it called again, for ever, by whichever object of the same memory it does so.
 */

const { Buffer } = require('node:buffer');
const { makeError } = require('../core/errors');

/** @typedef {import('./map').Key} Key */

/** So often in a row an update is overtaken before it gives up. */
const MOST_TRIES = 10_000;
/** Where they are, by the memory's own number, and at which key or index; the innermost is last. */
const running = /** @type {{ memory: string, key: Key }[]} */ ([]);

/**
 * The value that the function of an update makes.
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
 * Tries until there is an outcome.
 * @template T
 * @param {string} subject what errors call the object
 * @param {Function} origin
 * @param {() => T | undefined} attempt undefined when another was faster
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
 * Refuses what the function of an update does to the very thing that it updates. Worth a call only while some run.
 * @param {string} memory
 * @param {string} name of the argument
 * @param {Key | undefined} key undefined: all of them
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
