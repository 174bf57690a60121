'use strict';

/**
 * Errors that users of piscina and workerpool test for, with the same names and messages. Those of piscina have no
 * codes; these have.
 */

const { makeError } = require('../core/errors');

class AbortError extends Error {
  code = 'ABORT_ERR';

  /** @param {unknown} reason */
  constructor(reason) {
    super('The task has been aborted', { cause: reason });
  }

  /** @override */
  get name() {
    return 'AbortError';
  }
}

class CancellationError extends Error {
  code = 'ABORT_ERR';

  constructor(message = 'promise cancelled') {
    super(message);
  }

  /** @override */
  get name() {
    return 'CancellationError';
  }
}

class TimeoutError extends Error {
  constructor(message = 'timeout exceeded') {
    super(message);
  }

  /** @override */
  get name() {
    return 'TimeoutError';
  }
}

/**
 * @param {string} code
 * @param {string} message
 */
function coded(code, message) {
  return Object.assign(new Error(message), { code });
}

const Errors = Object.freeze({
  threadTermination: () => makeError('ERR_MANYCORE_TASK_CANCELLED', ['Terminating worker thread']),
  poolTerminated: () => makeError('ERR_MANYCORE_TASK_CANCELLED', ['Pool terminated']),
  cancelled: () => makeError('ERR_MANYCORE_TASK_CANCELLED', ['The task has been cancelled']),
  filenameNotProvided: () =>
    coded('ERR_MISSING_OPTION', 'filename must be provided to run() or in options object'),
  taskQueueAtLimit: () => coded('ERR_MANYCORE_FULL', 'Task queue is at limit'),
  noTaskQueueAvailable: () => coded('ERR_MANYCORE_FULL', 'No task queue available and all Workers are busy'),
  workerExited: (/** @type {number | null} */ exitCode, /** @type {string | null} */ signal) => {
    const error = makeError('ERR_MANYCORE_WORKER_ENDED', [exitCode, signal]);
    return signal === null ? error : Object.assign(error, { signal });
  },
  closeTimeout: () => coded('ERR_MANYCORE_TIMEOUT', 'Close operation timed out'),
});

/**
 * An error for an invalid argument, with the message that piscina has.
 * @param {string} message
 * @param {string} [code]
 */
function invalid(message, code = 'ERR_INVALID_ARG_VALUE') {
  return Object.assign(new TypeError(message), { code });
}

/** @param {string} message */
function wrongType(message) {
  return invalid(message, 'ERR_INVALID_ARG_TYPE');
}

module.exports.AbortError = AbortError;
module.exports.CancellationError = CancellationError;
module.exports.TimeoutError = TimeoutError;
module.exports.Errors = Errors;
module.exports.invalid = invalid;
module.exports.wrongType = wrongType;
