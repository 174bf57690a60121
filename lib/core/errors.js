'use strict';

const { getSystemErrorName, inspect } = require('node:util');

/**
 * Errors thrown by manycore. Where Node has an error code for a situation, that code is used. `CODES` has one entry
 * per code, with a function that builds the message from the details.
 */

/** A handle of a shared object without a name, as opposed to the name of a segment. */
const HANDLE = /^manycore:[a-z]+:fd\//;

/** @type {Record<string, [ErrorConstructor, (...details: any[]) => string]>} */
const CODES = {
  ERR_FEATURE_UNAVAILABLE_ON_PLATFORM: [
    TypeError,
    (feature, reason) => `The feature ${feature} is unavailable here: ${reason}`,
  ],
  ERR_ILLEGAL_CONSTRUCTOR: [TypeError, () => 'Illegal constructor'],
  ERR_INVALID_ARG_TYPE: [
    TypeError,
    (name, expected, actual) => `The "${name}" argument must be ${expected}. Received ${describe(actual)}`,
  ],
  ERR_INVALID_ARG_VALUE: [
    TypeError,
    (name, actual, reason) => `The argument '${name}' ${reason}. Received ${show(actual)}`,
  ],
  ERR_INVALID_THIS: [TypeError, (expected) => `Value of "this" must be ${expected}`],
  ERR_OUT_OF_RANGE: [
    RangeError,
    (name, range, actual) =>
      `The value of "${name}" is out of range. It must be ${range}. Received ${show(actual)}`,
  ],
  ERR_MANYCORE_ADDON_MISSING: [
    Error,
    (cause) =>
      'The native addon of manycore could not be loaded. Run `npm rebuild manycore` (needs Rust, see ' +
      'https://rustup.rs), or reinstall the package with install scripts and optional dependencies allowed. ' +
      `Cause: ${cause}`,
  ],
  ERR_MANYCORE_BUNDLED: [
    Error,
    (bundle) =>
      `manycore has been bundled into ${bundle}, but workers start from its own files. Leave it out of the bundle ` +
      '(for example with `esbuild --external:manycore`) and install it next to it',
  ],
  ERR_MANYCORE_CHANNEL_CLOSED: [Error, (subject) => `The channel or topic '${subject}' is closed`],
  ERR_MANYCORE_CLOSED: [Error, (subject) => `The shared object '${subject}' is closed`],
  ERR_MANYCORE_DEADLOCK: [
    Error,
    (reason = 'this thread itself holds what it waits for') => `Blocking would never end: ${reason}`,
  ],
  ERR_MANYCORE_FULL: [
    Error,
    (subject, why) => `The shared object '${subject}' is full${why ? `: ${why}` : ''}`,
  ],
  ERR_MANYCORE_LINK_CORRUPT: [
    Error,
    () => 'The other side of a link has written invalid data: the link has been closed',
  ],
  ERR_MANYCORE_LOCK_TIMEOUT: [Error, (timeoutMs) => `The lock was not granted within ${timeoutMs} ms`],
  ERR_MANYCORE_OVERTAKEN: [
    Error,
    (subject, tries) =>
      `'${subject}' was changed during each of ${tries} attempts to update it, ` +
      'possibly by the update function itself',
  ],
  ERR_MANYCORE_NOT_LOCKED: [Error, () => 'The token holds no lock: it has already been unlocked'],
  ERR_MANYCORE_NOT_IN_TASK: [
    Error,
    (name) => `${name}() can only be called by a task, in a worker of a pool`,
  ],
  ERR_MANYCORE_SEGMENT_CORRUPT: [
    Error,
    (subject) => `The shared memory of '${subject}' holds data that no version of manycore writes`,
  ],
  ERR_MANYCORE_SEGMENT_EXISTS: [
    Error,
    (subject) => `A segment named '${subject}' already exists: open it without create: 'exclusive'`,
  ],
  ERR_MANYCORE_SEGMENT_FOREIGN: [
    Error,
    (subject) =>
      `The segment '${subject}' belongs to another user or another PID namespace. What a container that has ended left ` +
      'behind, shared.prune() removes',
  ],
  ERR_MANYCORE_SEGMENT_KIND: [
    Error,
    (subject, found) =>
      `The segment '${subject}' holds another kind of object: ${found}. Use one name for one kind of object`,
  ],
  ERR_MANYCORE_SEGMENT_NOT_FOUND: [
    Error,
    (subject) =>
      HANDLE.test(subject)
        ? `The memory of '${subject}' cannot be found: its creator has ended or closed it, or belongs to another user, ` +
          'or /proc is missing'
        : `There is no segment named '${subject}': nobody has created it, or its creator has ended`,
  ],
  ERR_MANYCORE_SEGMENT_NOT_READY: [
    Error,
    (subject) => `The segment '${subject}' is not initialised yet: try again`,
  ],
  ERR_MANYCORE_SEGMENT_VERSION: [
    Error,
    (subject) =>
      `The segment '${subject}' was made by another version of manycore: let the programs that use it end, then ` +
      `remove it with shared.unlink('${subject}')`,
  ],
  ERR_MANYCORE_STUCK: [
    Error,
    (subject) => `A process has been stopped (SIGSTOP, a debugger?) in the middle of changing '${subject}'`,
  ],
  ERR_MANYCORE_NO_HANDLER: [Error, (/** @type {string} */ message) => message],
  ERR_MANYCORE_PEER_GONE: [
    Error,
    () => 'The other side has ended, closed its port or transferred it, and will not answer',
  ],
  ERR_MANYCORE_TIMEOUT: [
    Error,
    (timeoutMs, what = 'There was no answer') => `${what} within ${timeoutMs} ms`,
  ],
  ERR_MANYCORE_TASK_CANCELLED: [Error, (/** @type {string} */ message) => message],
  ERR_MANYCORE_TASK_TIMED_OUT: [Error, (what, timeoutMs) => `${what} did not end within ${timeoutMs} ms`],
  ERR_MANYCORE_TOO_MANY_WORKERS: [
    Error,
    (count) => `Cannot fork another worker: ${count} are running, the maximum that the scheduler supports`,
  ],
  ERR_MANYCORE_WORKER_ENDED: [
    Error,
    (exitCode, signal) => {
      if (signal !== null) return `worker killed by signal: ${signal}`;
      return exitCode === null ? 'worker exited' : `worker exited with code: ${exitCode}`;
    },
  ],
  ERR_MANYCORE_VERSION_MISMATCH: [
    Error,
    (addon, script) =>
      `The native addon has version ${addon}, but the JavaScript version ${script}: reinstall manycore`,
  ],
};

const SHOWN_CHARACTERS = 128;

/**
 * Formats an invalid value of the right type as Node does.
 * @param {unknown} value
 */
function show(value) {
  const text = inspect(value, { depth: 0 });
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}...` : text;
}

/**
 * Formats a value of the wrong type as Node does.
 * @param {unknown} value
 */
function describe(value) {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'function') return `function ${value.name}`;
  if (typeof value === 'object') {
    const name = value.constructor?.name;
    return name ? `an instance of ${name}` : 'an object';
  }
  const text = typeof value === 'string' ? `'${value}'` : String(value);
  return `type ${typeof value} (${text.length > 40 ? text.slice(0, 37) + '...' : text})`;
}

/**
 * Creates the error for a code. Its stack trace starts at the caller of the API function `origin`.
 * @param {keyof typeof CODES & string} code
 * @param {any[]} details arguments of the code's message function
 * @param {Function} [origin]
 * @returns {Error & { code: string }}
 */
function makeError(code, details, origin = makeError) {
  const [Base, message] = CODES[code];
  const error = /** @type {Error & { code: string }} */ (new Base(message(...details)));
  error.code = code;
  Error.captureStackTrace?.(error, origin);
  return error;
}

/**
 * Returns the (negative) error number of a system error of the addon, whose message starts with it; undefined for
 * other errors.
 * @param {unknown} error
 * @returns {number | undefined}
 */
function errnoOf(error) {
  const errno = Number.parseInt(/** @type {Error} */ (error).message, 10);
  return errno > 0 ? -errno : undefined;
}

/** What the addon ends messages of system errors with. */
const OS_ERROR = /^(?:\d+ )?(.*) \(os error (\d+)\)$/s;

/**
 * Calls the addon, and gives system errors the form that they have in Node.
 * @template T
 * @param {string} syscall what failed, for programs to tell
 * @param {() => T} call
 * @returns {T}
 */
function withSystemErrors(syscall, call) {
  try {
    return call();
  } catch (error) {
    const [, text, number] = OS_ERROR.exec(/** @type {Error} */ (error).message) ?? [];
    if (text === undefined) throw error;
    const errno = -Number(number);
    const code = getSystemErrorName(errno);
    const message = `${code}: ${text.toLowerCase()}, ${syscall}`;
    throw Object.assign(new Error(message), { errno, code, syscall });
  }
}

/**
 * Makes an error an uncaught exception once the current operation is done, so that it does not interrupt it.
 * @param {unknown} error
 */
function throwUncaught(error) {
  process.nextTick(() => {
    throw error;
  });
}

module.exports.errnoOf = errnoOf;
module.exports.makeError = makeError;
module.exports.throwUncaught = throwUncaught;
module.exports.withSystemErrors = withSystemErrors;
module.exports.HANDLE = HANDLE;
module.exports.CODES = CODES;
