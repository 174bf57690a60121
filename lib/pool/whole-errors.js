'use strict';

/** Sends errors completely: with the name and properties that a structured clone lacks. */

const { isNativeError } = require('node:util').types;

const BUILT_IN = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError];

/**
 * Returns what to send for an error, to be passed to `restoreError`.
 * @param {any} error
 * @returns {[error: any, more: Record<string, any> | null, isDom: boolean]}
 */
function wholeError(error) {
  if (!isError(error)) return [error, null, false];
  const more = propertiesOf(error);
  if (error instanceof DOMException) {
    return [[error.message, error.name, error.stack], Object.keys(more).length > 0 ? more : null, true];
  }
  const { name } = error;
  if (typeof name === 'string' && name !== cloneName(error)) more.name = name;
  return [error, Object.keys(more).length > 0 ? more : null, false];
}

/**
 * Returns a reduced form for errors that cannot be sent completely: without causes and properties.
 * @param {any} error
 */
function bareError(error) {
  if (error instanceof DOMException) return wholeError(error);
  const bare = new Error(isError(error) ? error.message : String(error));
  if (!isError(error)) return [bare, null, false];
  bare.stack = error.stack;
  return [bare, { name: error.name }, false];
}

/** @param {any} value an error of another vm context is no instance of Error */
function isError(value) {
  return value instanceof Error || isNativeError(value);
}

/** @param {Error} error */
function propertiesOf(error) {
  /** @type {Record<string, any>} */
  const more = {};
  for (const name of Object.keys(error)) {
    const value = /** @type {any} */ (error)[name];
    if (typeof value !== 'function' && typeof value !== 'symbol') more[name] = value;
  }
  return more;
}

/** Returns the name that a structured clone of an error has. @param {Error} error */
function cloneName(error) {
  return BUILT_IN.find((Class) => Class.name === error.name)?.name ?? 'Error';
}

/** @param {any} sent result of `wholeError` */
function restoreError([error, more, isDom]) {
  if (isDom) {
    const [message, name, stack] = error;
    error = new DOMException(message, name);
    Object.defineProperty(error, 'stack', { value: stack, configurable: true, writable: true });
  }
  if (more === null) return error;
  for (const name of Object.keys(more)) {
    Object.defineProperty(error, name, {
      value: more[name],
      configurable: true,
      enumerable: name !== 'name',
      writable: true,
    });
  }
  return error;
}

module.exports.wholeError = wholeError;
module.exports.bareError = bareError;
module.exports.restoreError = restoreError;
