'use strict';

/** Validation of arguments of locks. */

const { makeError } = require('../core/errors');
const { OptionNames } = require('../core/option-names');

const DEFAULT_REQUESTS = 128;
const MOST_REQUESTS = 65_536;
const WAIT_OPTIONS = new OptionNames('A request for a lock', ['timeoutMs', 'signal']);
const LOCK_OPTIONS = new OptionNames('A lock', ['maxRequests', 'create', 'scope']);

/**
 * @typedef {object} WaitOptions
 * @property {number} [timeoutMs]
 * @property {AbortSignal} [signal]
 */

/**
 * @param {string} name
 * @param {unknown} value
 * @param {number} least
 * @param {number} most
 * @returns {number}
 */
function wholeNumber(name, value, least, most) {
  if (typeof value !== 'number') {
    throw makeError('ERR_INVALID_ARG_TYPE', [name, 'of type number', value], wholeNumber);
  }
  if (!Number.isInteger(value) || value < least || value > most) {
    const range = `an integer >= ${least} && <= ${most}`;
    throw makeError('ERR_OUT_OF_RANGE', [name, range, value], wholeNumber);
  }
  return value;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {Record<string, any>}
 */
function record(name, value) {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null) {
    throw makeError('ERR_INVALID_ARG_TYPE', [name, 'of type object', value], record);
  }
  return value;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {asserts value is Function}
 */
function checkFunction(name, value) {
  if (typeof value !== 'function') {
    throw makeError('ERR_INVALID_ARG_TYPE', [name, 'of type function', value], checkFunction);
  }
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {asserts value is string}
 */
function checkString(name, value) {
  if (typeof value !== 'string') {
    throw makeError('ERR_INVALID_ARG_TYPE', [name, 'of type string', value], checkString);
  }
}

/**
 * Returns timeout and signal of a wait. Throws the signal's reason if it is already aborted.
 * @param {unknown} value
 */
function waitOptions(value) {
  if (value === undefined) return { timeoutMs: Infinity, signal: undefined };
  const given = record('options', value);
  const { timeoutMs = Infinity, signal } = given;
  if (given.timeoutMs === undefined) WAIT_OPTIONS.check(given);
  if (typeof timeoutMs !== 'number') {
    throw makeError('ERR_INVALID_ARG_TYPE', ['options.timeoutMs', 'of type number', timeoutMs], waitOptions);
  }
  if (!(timeoutMs >= 0)) {
    throw makeError('ERR_OUT_OF_RANGE', ['options.timeoutMs', '>= 0', timeoutMs], waitOptions);
  }
  checkSignal(signal);
  signal?.throwIfAborted();
  return { timeoutMs, signal: /** @type {AbortSignal | undefined} */ (signal) };
}

/**
 * @param {unknown} signal
 * @returns {asserts signal is AbortSignal | undefined}
 */
function checkSignal(signal) {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw makeError(
      'ERR_INVALID_ARG_TYPE',
      ['options.signal', 'an instance of AbortSignal', signal],
      checkSignal,
    );
  }
}

/**
 * Returns the number of requests that a lock has room for.
 * @param {unknown} options
 * @returns {number}
 */
function maxRequests(options) {
  const given = record('options', options);
  LOCK_OPTIONS.check(given);
  const { maxRequests: most = DEFAULT_REQUESTS } = given;
  return wholeNumber('options.maxRequests', most, 1, MOST_REQUESTS);
}

module.exports.wholeNumber = wholeNumber;
module.exports.record = record;
module.exports.checkFunction = checkFunction;
module.exports.checkString = checkString;
module.exports.checkSignal = checkSignal;
module.exports.waitOptions = waitOptions;
module.exports.maxRequests = maxRequests;
