'use strict';

/**
 * Sends errors to another thread or process. Structured clone keeps only the class, message, stack and cause of an
 * error; here its code and all other own properties are sent as well.
 */

const { isNativeError } = require('node:util').types;

/** Missing from older versions of V8. */
const { SuppressedError } = /** @type {any} */ (globalThis);
/** Classes that exist on both sides. @type {Map<string, any>} */
const CLASSES = new Map(
  [
    Error,
    EvalError,
    RangeError,
    ReferenceError,
    SyntaxError,
    TypeError,
    URIError,
    AggregateError,
    ...(SuppressedError === undefined ? [] : [SuppressedError]),
  ].map((constructor) => [constructor.name, constructor]),
);
const BY_PROTOTYPE = new Map([...CLASSES].map(([name, { prototype }]) => [prototype, name]));
const DOM_EXCEPTION = 'DOMException';

/**
 * @typedef {object} Description description of an error or of another value
 * @property {string} [class] nearest class that exists on both sides; absent if it is not an error
 * @property {any} [value]
 * @property {Description[]} [list] elements of an array that contains errors
 * @property {string} [message]
 * @property {string} [name] name of a DOMException
 * @property {[name: string, isEnumerable: boolean, value: Description][]} [properties]
 */

/**
 * @typedef {object} Context
 * @property {Map<object, Description>} seen
 * @property {(value: any) => any} copy throws if the link cannot carry a value
 */

/**
 * Returns a plain description of a thrown value, which can always be sent.
 * @param {any} thrown
 * @param {(value: any) => any} [copy] copies a value as the link does; throws if it cannot carry it
 * @returns {Description}
 */
function describeError(thrown, copy = structuredClone) {
  return describe(thrown, { seen: new Map(), copy });
}

/**
 * @param {any} thrown
 * @param {Context} context
 * @returns {Description}
 */
function describe(thrown, context) {
  if (!isError(thrown)) return describeValue(thrown, context);
  const { seen } = context;
  const known = seen.get(thrown);
  if (known !== undefined) return known;
  const name = classOf(thrown);
  /** @type {Description} */
  const description = { class: name, message: text(thrown, 'message') };
  seen.set(thrown, description);
  if (name === DOM_EXCEPTION) description.name = text(thrown, 'name');
  description.properties = propertiesOf(thrown, name, context);
  return description;
}

/**
 * @param {any} value
 * @param {Context} context
 * @returns {Description}
 */
function describeValue(value, context) {
  if (typeof value === 'function' || typeof value === 'symbol') return { value: String(value) };
  if (Array.isArray(value) && value.some(isError)) {
    return { list: value.map((each) => describe(each, context)) };
  }
  try {
    return { value: context.copy(value) };
  } catch (error) {
    // The reason why it cannot be cloned is more useful than nothing.
    return context.seen.size > 0 ? { value: text(error, 'message') } : describe(error, context);
  }
}

/**
 * @param {Error} error
 * @param {string} className
 * @param {Context} context
 */
function propertiesOf(error, className, context) {
  /** @type {[string, boolean, Description][]} */
  const properties = [];
  const names = new Set(Object.getOwnPropertyNames(error));
  names.delete('message');
  // An inherited accessor in some versions.
  names.add('stack');
  // Set by a user-defined class, which does not exist on the other side.
  if (className !== DOM_EXCEPTION && text(error, 'name') !== className) names.add('name');
  for (const name of names) {
    let value;
    try {
      value = /** @type {any} */ (error)[name];
    } catch {
      continue;
    }
    if (typeof value === 'function' || typeof value === 'symbol') continue;
    const isEnumerable = Object.prototype.propertyIsEnumerable.call(error, name);
    properties.push([name, isEnumerable, describe(value, context)]);
  }
  return properties;
}

/** @param {any} value also an error of another context, or a proxy */
function isError(value) {
  try {
    return value instanceof Error || isNativeError(value);
  } catch {
    // A trap has thrown: as a value, it is found not to be cloneable.
    return false;
  }
}

/** @param {Error} error */
function classOf(error) {
  if (error instanceof DOMException) return DOM_EXCEPTION;
  for (let at = Object.getPrototypeOf(error); at !== null; at = Object.getPrototypeOf(at)) {
    const name = BY_PROTOTYPE.get(at);
    if (name !== undefined) return name;
  }
  // Of another context: by the names of its prototypes.
  for (let at = Object.getPrototypeOf(error); at !== null; at = Object.getPrototypeOf(at)) {
    if (Object.hasOwn(at, 'name') && CLASSES.has(at.name)) return at.name;
  }
  return 'Error';
}

/**
 * @param {any} object
 * @param {string} name
 */
function text(object, name) {
  try {
    return String(object[name]);
  } catch {
    return '';
  }
}

/**
 * Rebuilds the error from a description.
 * @param {any} description
 * @returns {any}
 */
function rebuildError(description) {
  return rebuild(description, new Map());
}

/**
 * @param {any} description
 * @param {Map<object, any>} seen
 * @returns {any}
 */
function rebuild(description, seen) {
  if (typeof description !== 'object' || description === null) return description;
  const { class: className, list, properties } = description;
  if (Array.isArray(list)) return list.map((each) => rebuild(each, seen));
  if (typeof className !== 'string') return description.value;
  const known = seen.get(description);
  if (known !== undefined) return known;
  const error = make(description);
  seen.set(description, error);
  if (!Array.isArray(properties)) return error;
  for (const [name, isEnumerable, value] of properties) {
    define(error, String(name), rebuild(value, seen), Boolean(isEnumerable));
  }
  return error;
}

/** @param {Description} description */
function make({ class: className = 'Error', message = '', name }) {
  if (className === DOM_EXCEPTION) return new DOMException(message, name);
  const error = Object.setPrototypeOf(new Error(), (CLASSES.get(className) ?? Error).prototype);
  define(error, 'message', String(message), false);
  return error;
}

/**
 * @param {object} error
 * @param {string} name
 * @param {any} value
 * @param {boolean} enumerable
 */
function define(error, name, value, enumerable) {
  Object.defineProperty(error, name, { configurable: true, writable: true, enumerable, value });
}

module.exports.describeError = describeError;
module.exports.rebuildError = rebuildError;
