'use strict';

/** Errors that users of piscina and workerpool test for, with the same names and messages. */

class AbortError extends Error {
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

class TerminateError extends Error {
  constructor(message = 'worker terminated') {
    super(message);
  }

  /** @override */
  get name() {
    return 'TerminateError';
  }
}

const Errors = Object.freeze({
  threadTermination: () => new Error('Terminating worker thread'),
  filenameNotProvided: () => new Error('filename must be provided to run() or in options object'),
  taskQueueAtLimit: () => new Error('Task queue is at limit'),
  noTaskQueueAvailable: () => new Error('No task queue available and all Workers are busy'),
  workerExited: (/** @type {number | null} */ code, /** @type {string | null} */ signal) => {
    if (signal !== null) return Object.assign(new Error(`worker killed by signal: ${signal}`), { signal });
    return new Error(code === null ? 'worker exited' : `worker exited with code: ${code}`);
  },
  closeTimeout: () => new Error('Close operation timed out'),
});

module.exports.AbortError = AbortError;
module.exports.CancellationError = CancellationError;
module.exports.TimeoutError = TimeoutError;
module.exports.TerminateError = TerminateError;
module.exports.Errors = Errors;
