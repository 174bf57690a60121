'use strict';

/**
 * Reads settings from environment variables. Invalid values are ignored, as Node ignores those of its own
 * variables, but with a warning, once per variable and program.
 */

const { isMainThread } = require('node:worker_threads');

/** Code of the warning, for `--disable-warning` and `'warning'` listeners. */
const WARNING_CODE = 'MANYCORE_INVALID_SETTING';

/** @type {Set<string>} */
const warned = new Set();

/**
 * Returns the value of a variable, or undefined if it is unset, empty or invalid.
 * @param {string} name
 * @param {string[]} values valid values
 * @returns {string | undefined}
 */
function readChoice(name, values) {
  const value = process.env[name];
  if (value === undefined || value === '' || values.includes(value)) return value || undefined;
  warn(name, value, `it must be ${values.slice(0, -1).join(', ')} or ${values.at(-1)}`);
  return undefined;
}

/**
 * Returns the value of a variable that must be a non-negative integer, or undefined if it is unset, empty or
 * invalid.
 * @param {string} name
 * @returns {number | undefined}
 */
function readCount(name) {
  const value = process.env[name];
  if (value === undefined || value === '') return undefined;
  if (/^\d+$/.test(value) && Number.isSafeInteger(Number(value))) return Number(value);
  warn(name, value, `it must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`);
  return undefined;
}

/**
 * @param {string} name
 * @param {string} value
 * @param {string} reason
 */
function warn(name, value, reason) {
  // Threads have the same variables as the main thread, which has warned, or will when it reads them. So have the workers
  // of a cluster and its primary.
  if (!isMainThread || warned.has(name) || isClusterWorker()) return;
  warned.add(name);
  process.emitWarning(`${name}=${value} in the environment is ignored: ${reason}`, { code: WARNING_CODE });
}

function isClusterWorker() {
  return /** @type {any} */ (require('node:cluster')).isWorker;
}

module.exports.readChoice = readChoice;
module.exports.readCount = readCount;
module.exports.warn = warn;
