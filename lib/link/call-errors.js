'use strict';

/**
 * Sends errors to another thread or process. Structured clone keeps only the class, message, stack and cause of an
 * error; here its code and all other own properties are sent as well, and so are those of the errors in them, however
 * deep in objects, arrays, maps and sets.
 */

const { isIndex } = require('./encoder');
const { types, hasOwn, mapForEach, setForEach } = require('./intrinsics');
const { isOtherEmpty, isOtherIndexed, isPlainClass, isUnusual } = require('./plain-classes');
const { marks } = require('./uncloneable');

const { isNativeError } = types;
const { getPrototypeOf } = Object;

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
 * @typedef {object} Description of a thrown value: flat, so that it can be sent and read however deep the value is
 * @property {ObjectDescription[]} objects the objects in the value, by number
 * @property {Part} whole
 *
 * @typedef {any} Part a primitive, or the number of an object in an array
 *
 * @typedef {object} ObjectDescription
 * @property {string} [class] of an error: the nearest class that exists on both sides
 * @property {string} [message]
 * @property {string} [name] name of a DOMException
 * @property {[name: string, isEnumerable: boolean, value: Part][]} [properties]
 * @property {Part[]} [list] elements of an array
 * @property {[name: string, value: Part][]} [entries] properties of a plain object, or other properties of an array
 * @property {[key: Part, value: Part][]} [map]
 * @property {Part[]} [set]
 * @property {any} [value] anything else
 */

/**
 * @typedef {object} Context
 * @property {ObjectDescription[]} objects
 * @property {Map<object, Part>} seen
 * @property {object[]} open objects whose descriptions may have to be given up
 * @property {(value: any) => any} copy throws if the link cannot carry a value
 */

/**
 * Returns a plain description of a thrown value, which can always be sent.
 * @param {any} thrown
 * @param {(value: any) => any} [copy] copies a value as the link does; throws if it cannot carry it
 * @returns {Description}
 */
function describeError(thrown, copy = structuredClone) {
  /** @type {ObjectDescription[]} */
  const objects = [];
  return { whole: describe(thrown, { objects, seen: new Map(), open: [], copy }, true), objects };
}

/**
 * @param {any} value what was thrown, or the value of a property of an error
 * @param {Context} context
 * @param {boolean} [isThrown]
 * @returns {Part}
 */
function describe(value, context, isThrown = false) {
  if (typeof value === 'function' || typeof value === 'symbol') return String(value);
  const { open } = context;
  const before = open.length;
  try {
    const part = describePart(value, context);
    open.length = before;
    return part;
  } catch (error) {
    if (isError(value)) throw error;
    for (const object of open.splice(before)) giveUp(object, error, context);
    return isThrown ? describe(error, context) : otherwise(value, error, context);
  }
}

/**
 * @param {object} object an object that cannot be described; errors in it may refer to it
 * @param {unknown} reason
 * @param {Context} context
 */
function giveUp(object, reason, { objects, seen }) {
  const [number] = seen.get(object);
  objects[number] = { value: text(reason, 'message') };
  seen.delete(object);
}

/**
 * Describes a value of which a part cannot be described.
 * @param {any} value
 * @param {unknown} error
 * @param {Context} context
 * @returns {Part}
 */
function otherwise(value, error, { objects, copy }) {
  try {
    // Nested too deep to be read here: without the properties of errors in it.
    if (error instanceof RangeError) return [objects.push({ value: copy(value) }) - 1];
  } catch {
    // It cannot be copied either.
  }
  // The reason why it cannot be cloned is more useful than nothing.
  return text(error, 'message');
}

/**
 * @param {any} value
 * @param {Context} context
 * @returns {Part}
 * @throws if it cannot be cloned
 */
function describePart(value, context) {
  if (typeof value === 'function' || typeof value === 'symbol') return context.copy(value);
  if (typeof value !== 'object' || value === null) return value;
  const { objects, seen, open } = context;
  const known = seen.get(value);
  if (known !== undefined) return known;
  /** @type {ObjectDescription} */
  const description = {};
  const part = [objects.push(description) - 1];
  seen.set(value, part);
  if (isError(value)) {
    describeProperties(value, description, context);
  } else {
    open.push(value);
    describeContents(value, description, context);
  }
  return part;
}

/**
 * @param {any} object
 * @param {ObjectDescription} description
 * @param {Context} context
 */
function describeContents(object, description, context) {
  const part = (/** @type {any} */ value) => describePart(value, context);
  if (types.isProxy(object) || (marks.any && marks.has(object))) {
    description.value = context.copy(object);
  } else if (Array.isArray(object)) {
    /** @type {Part[]} */
    const list = (description.list = []);
    list.length = object.length;
    description.entries = [];
    for (const [name, value] of ownProperties(object)) {
      if (isIndex(name)) list[Number(name)] = part(value);
      else description.entries.push([name, part(value)]);
    }
  } else if (types.isMap(object)) {
    description.map = [];
    for (const [key, value] of entriesOf(object)) description.map.push([part(key), part(value)]);
  } else if (types.isSet(object)) {
    description.set = [];
    for (const member of membersOf(object)) description.set.push(part(member));
  } else if (isPlain(object)) {
    description.entries = [];
    for (const [name, value] of ownProperties(object)) description.entries.push([name, part(value)]);
  } else {
    description.value = context.copy(object);
  }
}

/**
 * Reads the properties that structured clone would copy, one after the other.
 * @param {any} object
 * @returns {Generator<[string, any]>}
 */
function* ownProperties(object) {
  for (const name of Object.keys(object)) if (hasOwn(object, name)) yield [name, object[name]];
}

/** Lists the entries first: getters in them may modify the map. @param {Map<any, any>} map */
function entriesOf(map) {
  /** @type {[any, any][]} */
  const entries = [];
  mapForEach(map, (/** @type {any} */ value, /** @type {any} */ key) => entries.push([key, value]));
  return entries;
}

/** @param {Set<any>} set */
function membersOf(set) {
  /** @type {any[]} */
  const members = [];
  setForEach(set, (/** @type {any} */ member) => members.push(member));
  return members;
}

/**
 * Whether an object is cloned by its own enumerable properties.
 * @param {object} object
 */
function isPlain(object) {
  if (isUnusual(object) || isOtherEmpty(object) || isOtherIndexed(object)) return false;
  const prototype = getPrototypeOf(object);
  if (prototype === null) return true;
  // Of this context or another one.
  const isRoot = getPrototypeOf(prototype) === null && hasOwn(prototype, 'isPrototypeOf');
  return isRoot || isPlainClass(object, prototype);
}

/**
 * @param {any} error
 * @param {ObjectDescription} description
 * @param {Context} context
 */
function describeProperties(error, description, context) {
  const name = (description.class = classOf(error));
  description.message = text(error, 'message');
  if (name === DOM_EXCEPTION) description.name = text(error, 'name');
  description.properties = propertiesOf(error, name, context);
}

/**
 * @param {Error} error
 * @param {string} className
 * @param {Context} context
 */
function propertiesOf(error, className, context) {
  /** @type {[string, boolean, Part][]} */
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
 * Rebuilds what was thrown from its description.
 * @param {any} description from another thread or process
 * @returns {any}
 * @throws if it is not what `describeError` returns
 */
function rebuildError({ whole, objects }) {
  const described = listOf(objects);
  const rebuilt = described.map(makeEmpty);
  const of = (/** @type {Part} */ part) => (Array.isArray(part) ? rebuilt[part[0]] : part);
  described.forEach((each, number) => fill(rebuilt[number], each, of));
  return of(whole);
}

/**
 * @param {any} object made by `makeEmpty`
 * @param {any} description
 * @param {(part: Part) => any} of returns the value of a part
 */
function fill(object, { list, entries, map, set, properties }, of) {
  // The elements of an array, which may have holes.
  for (const [index, value] of Object.entries(list ?? {})) define(object, index, of(value), true);
  for (const [name, value] of listOf(entries)) define(object, String(name), of(value), true);
  for (const [key, value] of listOf(map)) object.set(of(key), of(value));
  for (const member of listOf(set)) object.add(of(member));
  for (const [name, isEnumerable, value] of listOf(properties)) {
    define(object, String(name), of(value), Boolean(isEnumerable));
  }
}

/**
 * @param {any} list
 * @returns {any[]}
 * @throws for a list with holes: the other side can make one of any length
 */
function listOf(list) {
  if (!Array.isArray(list)) return [];
  if (Object.keys(list).length < list.length) throw new TypeError('A list has holes');
  return list;
}

/**
 * Creates the object of a description, without its contents.
 * @param {any} description
 * @returns {any}
 */
function makeEmpty(description) {
  const { class: className, list, entries, map, set } = description;
  if (typeof className === 'string') return makeError(description);
  if (Array.isArray(list)) {
    /** @type {any[]} */
    const array = [];
    array.length = list.length;
    return array;
  }
  if (Array.isArray(map)) return new Map();
  if (Array.isArray(set)) return new Set();
  return Array.isArray(entries) ? {} : description.value;
}

/** @param {ObjectDescription} description */
function makeError({ class: className = 'Error', message = '', name }) {
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
