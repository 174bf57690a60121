'use strict';

/** Converts failures reported by the addon into errors. */

const { getSystemErrorName } = require('node:util');
const { HANDLE, makeError } = require('../core/errors');

/** Reasons for methods to return null: the counterpart of `Failure` in src/shared/segment.rs. */
const METHOD_FAILURES = Object.freeze({
  1: 'FULL',
  2: 'NOT_A_NUMBER',
  3: 'STUCK',
  4: 'CORRUPT',
  5: 'KEY_TYPE',
  6: 'KEY_LENGTH',
  7: 'CLOSED',
  8: 'TOO_LARGE',
  9: 'ENDED',
  10: 'NO_ELEMENT',
});

/** Maximum length of keys. */
const MAX_KEY_UNITS = 1024;
const MAX_KEY_BYTES = 2048;

const NEEDS_SHM = ' (named objects need a writable /dev/shm)';
/** Hints for users, by system error. @type {Record<string, string>} */
const HINTS = {
  EACCES: NEEDS_SHM,
  ENOENT: NEEDS_SHM,
  ENOSPC: ' (named objects need room in /dev/shm, see `docker run --shm-size`)',
  EROFS: NEEDS_SHM,
};

const NEEDS_OPENING =
  ' (handles are opened through /proc/<pid>/fd, which takes the same user and PID namespace; named objects are not)';
/** Hints for handles, which are names of no file in /dev/shm. @type {Record<string, string>} */
const HANDLE_HINTS = { EACCES: NEEDS_OPENING, ENOENT: NEEDS_OPENING };

const OVERSIZED = 'the value is larger than there can ever be room for';

/** @type {Record<string, (subject: string, origin?: Function, why?: string) => Error>} */
const BY_CODE = {
  NOT_FOUND: (subject, origin) => makeError('ERR_MANYCORE_SEGMENT_NOT_FOUND', [subject], origin),
  EXISTS: (subject, origin) => makeError('ERR_MANYCORE_SEGMENT_EXISTS', [subject], origin),
  NOT_READY: (subject, origin) => makeError('ERR_MANYCORE_SEGMENT_NOT_READY', [subject], origin),
  VERSION: (subject, origin) => makeError('ERR_MANYCORE_SEGMENT_VERSION', [subject], origin),
  FOREIGN: (subject, origin) => makeError('ERR_MANYCORE_SEGMENT_FOREIGN', [subject], origin),
  CORRUPT: (subject, origin) => makeError('ERR_MANYCORE_SEGMENT_CORRUPT', [subject], origin),
  STUCK: (subject, origin) => makeError('ERR_MANYCORE_STUCK', [subject], origin),
  FULL: (subject, origin, why) => makeError('ERR_MANYCORE_FULL', [subject, why], origin),
  CLOSED: (subject, origin) => makeError('ERR_MANYCORE_CLOSED', [subject], origin),
  TOO_LARGE: (subject, origin, why) => makeError('ERR_MANYCORE_FULL', [subject, why ?? OVERSIZED], origin),
  ENDED: (subject, origin) => makeError('ERR_MANYCORE_CHANNEL_CLOSED', [subject], origin),
  NAME: (subject, origin) =>
    makeError('ERR_INVALID_ARG_VALUE', ['name', subject, 'is not a name or handle of a segment'], origin),
};

/**
 * Returns the error for one thrown by the addon, whose message starts with a code and an errno.
 * @param {any} error
 * @param {string} subject name of the object, for the message
 * @param {Function} [origin]
 * @returns {Error}
 */
function fromAddon(error, subject, origin) {
  const match = /^([A-Z_]+) (\d+) (.*)$/s.exec(error?.message ?? '');
  if (match === null) return error;
  const [, code, errno, text] = match;
  if (code === 'KIND') return makeError('ERR_MANYCORE_SEGMENT_KIND', [subject, text], origin);
  if (code !== 'IO') return BY_CODE[code]?.(subject, origin) ?? error;
  const name = getSystemErrorName(-Number(errno));
  const [first, ...rest] = text.replace(/ \(os error \d+\)$/, '');
  const hints = HANDLE.test(subject) ? HANDLE_HINTS : HINTS;
  const about = `${name}: ${first.toLowerCase()}${rest.join('')}, open '${subject}'${hints[name] ?? ''}`;
  const system = /** @type {NodeJS.ErrnoException} */ (new Error(about));
  system.code = name;
  system.errno = -Number(errno);
  system.syscall = 'open';
  if (origin) Error.captureStackTrace(system, origin);
  return system;
}

/**
 * Calls the addon, and converts its errors.
 * @template T
 * @param {string} subject
 * @param {Function} origin
 * @param {() => T} call
 * @returns {T}
 */
function guarded(subject, origin, call) {
  try {
    return call();
  } catch (error) {
    throw fromAddon(error, subject, origin);
  }
}

/**
 * Returns the error for a method that returned null.
 * @param {number} failure
 * @param {string} subject
 * @param {unknown} key
 * @param {Function} [origin]
 * @param {() => string} [whyFull] says what limits the room, for the message
 * @returns {Error}
 */
function fromMethod(failure, subject, key, origin, whyFull) {
  const code = METHOD_FAILURES[/** @type {keyof typeof METHOD_FAILURES} */ (failure)] ?? 'CORRUPT';
  switch (code) {
    case 'KEY_TYPE':
      return makeError('ERR_INVALID_ARG_TYPE', ['key', 'a string, a number or a Buffer', key], origin);
    case 'KEY_LENGTH': {
      const range = `at most ${MAX_KEY_UNITS} characters or ${MAX_KEY_BYTES} bytes long`;
      return makeError('ERR_OUT_OF_RANGE', ['key', range, key], origin);
    }
    case 'NO_ELEMENT':
      return noElement(key, origin);
    case 'NOT_A_NUMBER':
      return makeError('ERR_INVALID_ARG_VALUE', ['key', key, 'has a value that is not a number'], origin);
    case 'FULL':
    case 'TOO_LARGE':
      return BY_CODE[code](subject, origin, whyFull?.());
    default:
      return BY_CODE[code](subject, origin);
  }
}

/**
 * @param {unknown} index
 * @param {Function} [origin]
 */
function noElement(index, origin) {
  return makeError('ERR_OUT_OF_RANGE', ['index', 'that of an element', index], origin);
}

module.exports.noElement = noElement;
module.exports.fromAddon = fromAddon;
module.exports.fromMethod = fromMethod;
module.exports.guarded = guarded;
