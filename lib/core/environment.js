'use strict';

/**
 * Settings from environment variables. A value without a meaning is ignored, as Node ignores such values of its own
 * variables; but with a warning, once for each variable in a process.
 */

const { isMainThread } = require('node:worker_threads');

/** For `--disable-warning` and listeners of `'warning'`. */
const WARNING_CODE = 'MANYCORE_INVALID_SETTING';

/** @type {Set<string>} */
const warned = new Set();

/**
 * The value of a variable. Undefined if it is unset, empty or invalid.
 * @param {string} name
 * @param {string[]} values the valid ones
 * @returns {string | undefined}
 */
function readChoice(name, values) {
  const value = process.env[name];
  if (value === undefined || value === '' || values.includes(value)) return value || undefined;
  warn(name, value, `it must be ${values.slice(0, -1).join(', ')} or ${values.at(-1)}`);
  return undefined;
}

/**
 * The value of a variable that is a whole number from 0 on. Undefined if it is unset, empty or invalid.
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
  // Threads have the variables of the main thread, which has warned, or will when it uses them.
  if (!isMainThread || warned.has(name)) return;
  warned.add(name);
  process.emitWarning(`${name}=${value} in the environment is ignored: ${reason}`, { code: WARNING_CODE });
}

module.exports.readChoice = readChoice;
module.exports.readCount = readCount;
module.exports.warn = warn;
