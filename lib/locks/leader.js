'use strict';

/** Elects one process of the machine to run a function: for as long as it lives, or once per key. */

const { makeError } = require('../core/errors');
const { checkFunction, checkString, record, waitOptions } = require('./options');
const { MAX_NAME_BYTES, kIsRunDone, kNoteRun, kRequestNamed, locks } = require('./manager');

/**
 * @param {string} name
 * @param {(leadership: object) => any} fn
 * @param {object} [options]
 */
async function leader(name, fn, options) {
  const lockName = nameWithin('-leader/', name);
  checkFunction('fn', fn);
  const { timeoutMs, signal } = waitOptions(options);
  const wanted = exclusively(timeoutMs, signal);
  return locks[kRequestNamed](lockName, wanted, (lock, lost) => {
    // It may have been aborted between the grant and now.
    signal?.throwIfAborted();
    const { fencingToken, ownerDied } = /** @type {import('./manager').Lock} */ (lock);
    return fn({
      name,
      fencingToken,
      ownerDied,
      signal: signal === undefined ? lost : eitherOf(signal, lost),
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
  const lockName = nameWithin('-once/', name);
  if (typeof key !== 'number') checkString('key', key);
  // As JSON, they would all be equal.
  else if (!Number.isFinite(key)) throw makeError('ERR_OUT_OF_RANGE', ['key', 'finite', key], runOnce);
  checkFunction('fn', fn);
  const { timeoutMs, signal } = waitOptions(record('options', options));
  const run = JSON.stringify([name, key]);
  if (locks[kIsRunDone](run)) return { ran: false };
  const wanted = exclusively(timeoutMs, signal);
  return locks[kRequestNamed](lockName, wanted, async (lock) => {
    if (locks[kIsRunDone](run)) return { ran: false };
    // It may have been aborted between the grant and now.
    signal?.throwIfAborted();
    const { fencingToken, ownerDied } = /** @type {import('./manager').Lock} */ (lock);
    const value = await fn({ name, key, fencingToken, ownerDied });
    locks[kNoteRun](run);
    return { ran: true, value, fencingToken };
  });
}

/**
 * As `AbortSignal.any()`, which the first versions of Node 20 lack. Lives as long as a leadership does.
 * @param {AbortSignal} signal
 * @param {AbortSignal} lost
 */
function eitherOf(signal, lost) {
  if (typeof AbortSignal.any === 'function') return AbortSignal.any([signal, lost]);
  const either = new AbortController();
  for (const each of [signal, lost]) {
    if (each.aborted) {
      either.abort(each.reason);
    } else {
      each.addEventListener('abort', () => either.abort(each.reason), { once: true, signal: either.signal });
    }
  }
  return either.signal;
}

/**
 * Returns an internal lock name, which `request` does not accept from programs.
 * @param {string} prefix
 * @param {unknown} name
 */
function nameWithin(prefix, name) {
  checkString('name', name);
  const most = MAX_NAME_BYTES - prefix.length;
  if (Buffer.byteLength(name) > most) {
    throw makeError('ERR_OUT_OF_RANGE', ['name', `at most ${most} bytes long`, name], nameWithin);
  }
  return prefix + name;
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
