'use strict';

/** One of all processes of the machine does it: for as long as it lives, or once for a key. */

const { checkFunction, checkString, record, waitOptions } = require('./options');
const { locks } = require('./manager');

/**
 * @param {string} name
 * @param {(leadership: object) => any} fn
 * @param {object} [options]
 */
async function leader(name, fn, options) {
  checkString('name', name);
  checkFunction('fn', fn);
  const { timeoutMs, signal } = waitOptions(options);
  const wanted = exclusively(timeoutMs, signal);
  return locks.requestNamed(`-leader/${name}`, wanted, (lock, lost) => {
    const { fencingToken, ownerDied } = /** @type {import('./manager').Lock} */ (lock);
    return fn({
      name,
      fencingToken,
      ownerDied,
      signal: signal === undefined ? lost : AbortSignal.any([signal, lost]),
    });
  });
}

/**
 * @param {string} name
 * @param {string | number} key
 * @param {(run: object) => any} fn
 * @param {object} [options]
 */
async function runOnce(name, key, fn, options) {
  checkString('name', name);
  if (typeof key !== 'number') checkString('key', key);
  checkFunction('fn', fn);
  const { timeoutMs, signal } = waitOptions(record('options', options));
  const run = JSON.stringify([name, key]);
  if (locks.isRunDone(run)) return { ran: false };
  const wanted = exclusively(timeoutMs, signal);
  return locks.requestNamed(`-once/${name}`, wanted, async (lock) => {
    if (locks.isRunDone(run)) return { ran: false };
    const { fencingToken, ownerDied } = /** @type {import('./manager').Lock} */ (lock);
    const value = await fn({ name, key, fencingToken, ownerDied });
    locks.noteRun(run);
    return { ran: true, value, fencingToken };
  });
}

/**
 * @param {number} timeoutMs
 * @param {AbortSignal | undefined} signal
 */
function exclusively(timeoutMs, signal) {
  const mode = /** @type {const} */ ('exclusive');
  return { mode, ifAvailable: false, steal: false, timeoutMs, signal };
}

module.exports.leader = leader;
module.exports.runOnce = runOnce;
