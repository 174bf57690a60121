'use strict';

/**
 * Encodes values as they would result from `JSON.parse(JSON.stringify(value))`, without the intermediate text.
 * Cycles are refused with `UNSUPPORTED`, so that JSON itself throws.
 */

const { constants } = require('node:buffer');
const intrinsics = require('./intrinsics');
const { Kind } = require('./layout');
const { isRawJson } = require('./plain-classes');
const { Tag, MAX_DEPTH } = require('./tags');
const { mayTravel, textOf } = require('./travellers');
const { UNSUPPORTED } = require('./unsupported');
const { Writer } = require('./writer');

const { types, hasOwn } = intrinsics;
const { getPrototypeOf, keys: keysOfObject } = Object;
const { isArray } = Array;
const OBJECT_PROTOTYPE = Object.prototype;

const { MAX_STRING_LENGTH } = constants;
/** An array with fewer elements fits into a string of JSON, even if all are missing: null and a comma each. */
const LONG_ARRAY = Math.floor(MAX_STRING_LENGTH / 5);

class JsonEncoder extends Writer {
  /**
   * @param {number} [largeLength] see `Writer`
   * @param {number} [besideLength]
   */
  constructor(largeLength, besideLength) {
    super(largeLength, besideLength);
    this.depth = 0;
  }

  /**
   * Encodes a value as a complete record. Returns its length.
   * @param {any} value
   * @throws UNSUPPORTED, and errors of the value's getters and toJSON
   */
  encode(value) {
    this.depth = 0;
    const prepared = prepare(value, '');
    if (isLeftOut(prepared)) throw UNSUPPORTED;
    this.value(prepared);
    return this.end(Kind.VALUE);
  }

  /** @param {any} value value returned by `prepare` */
  value(value) {
    // A chain of comparisons, see `Encoder`.
    if (typeof value === 'number') {
      // JSON has neither -0 nor non-finite numbers.
      return Number.isFinite(value) ? this.number(value + 0) : this.tag(Tag.NULL);
    }
    if (typeof value === 'string') return this.string(value);
    if (typeof value === 'object') return value === null ? this.tag(Tag.NULL) : this.#object(value);
    if (typeof value === 'boolean') return this.tag(value ? Tag.TRUE : Tag.FALSE);
    // As JSON does. Left to JSON, the value would be read once more.
    throw new TypeError('Do not know how to serialize a BigInt');
  }

  /** @param {any} object */
  #object(object) {
    // A cycle appears as endless nesting.
    if (++this.depth > MAX_DEPTH) this.#text(object);
    else if (isArray(object)) this.#array(object);
    // Checked first: any other test could run code of a proxy that JSON does not run.
    else if (types.isProxy(object)) this.#dictionary(object);
    else this.#properties(object);
    this.depth--;
  }

  /** @param {any} object neither an array nor a proxy */
  #properties(object) {
    const prototype = getPrototypeOf(object);
    const isPlain = prototype === OBJECT_PROTOTYPE;
    if (!isPlain && isPrimitive(object)) this.value(unboxed(object));
    else if (!isPlain && mayTravel(prototype)) this.#traveller(object);
    else if (prototype === null && isRawJson(object)) this.#text(object);
    else if (this.shapes.isFull) this.#dictionary(object);
    else this.#shaped(object, !isPlain || intrinsics.isPolluted());
  }

  /**
   * Writes a part that is nested too deep, or is raw JSON, as JSON text. The whole value is not left to JSON, since
   * the part already read must not be read again.
   * @param {any} object
   */
  #text(object) {
    // toJSON has already been called, and JSON would call it again.
    if (typeof object.toJSON === 'function') throw UNSUPPORTED;
    let text;
    try {
      text = JSON.stringify(object);
    } catch {
      // JSON throws again for the whole value, with an appropriate message.
      throw UNSUPPORTED;
    }
    this.tag(Tag.JSON_TEXT);
    this.string(text);
  }

  /** @param {any} object */
  #traveller(object) {
    const text = textOf(object);
    if (text === undefined) throw UNSUPPORTED;
    this.tag(Tag.TRAVELLER);
    this.string(text);
  }

  /** @param {any[]} array */
  #array(array) {
    const { length } = array;
    if (length > LONG_ARRAY) refuseTooLong(array, length);
    if (length < 16) this.tag(Tag.SHORT_ARRAY | length);
    else this.tagWithCount(Tag.ARRAY, length);
    for (let i = 0; i < length; i++) {
      const element = array[i];
      if (typeof element === 'number') {
        this.value(element);
        continue;
      }
      const prepared = prepare(element, i);
      if (isLeftOut(prepared)) this.tag(Tag.NULL);
      else this.value(prepared);
    }
  }

  /**
   * Like `Encoder`, without omitted properties. Whether the object stands for a primitive is only asked if its names may
   * be those of one: the question costs as much as a small property.
   * @param {any} object
   * @param {boolean} isHeir whether for-in may visit inherited properties
   */
  #shaped(object, isHeir) {
    const { bundle, shapes } = this;
    this.reserve(3);
    const at = this.position - this.start;
    this.bytes[this.position] = Tag.OBJECT;
    this.position += 3;
    let node = shapes.root;
    let countAt = -1;
    let count = 0;
    for (const key in object) {
      if (isHeir && !hasOwn(object, key)) continue;
      const value = prepare(object[key], key);
      if (isLeftOut(value)) continue;
      if (countAt < 0) {
        const last = node.lastKey === key ? node.lastChild : null;
        const next = last !== null ? last : shapes.child(node, key);
        if (next !== null) {
          node = next;
          this.value(value);
          continue;
        }
        countAt = this.skipCount();
      }
      this.string(key);
      this.value(value);
      count++;
    }
    if (node.mayBeOther && isPrimitive(object)) {
      // Overwritten.
      this.goBack(at);
      this.bundle = bundle;
      return this.value(unboxed(object));
    }
    this.endShape(at, node, countAt, count);
  }

  /** @param {any} object */
  #dictionary(object) {
    if (isPrimitive(object)) return this.value(unboxed(object));
    this.tag(Tag.DICTIONARY);
    const countAt = this.skipCount();
    let count = 0;
    for (const name of keysOfObject(object)) {
      const value = prepare(object[name], name);
      if (isLeftOut(value)) continue;
      this.string(name);
      this.value(value);
      count++;
    }
    this.view.setUint32(this.start + countAt, count, true);
  }
}

/**
 * Throws as JSON does if the text of an array could not fit into a string, whatever its elements are: encoding those
 * first would take minutes.
 * @param {any[]} array
 * @param {number} length its length
 */
function refuseTooLong(array, length) {
  // At least a digit and a comma for each element.
  let shortest = length * 2;
  // Missing ones are written as null. The names of a proxy are not asked for, which JSON does not do either.
  if (!types.isProxy(array)) shortest += (length - keysOfObject(array).length) * 3;
  if (shortest > MAX_STRING_LENGTH) throw new RangeError('Invalid string length');
}

/**
 * Returns the value that JSON encodes instead: the result of toJSON.
 * @param {any} value
 * @param {string | number} key
 */
function prepare(value, key) {
  if (typeof value !== 'object' && typeof value !== 'bigint' && typeof value !== 'function') return value;
  if (value === null) return value;
  const { toJSON } = value;
  return typeof toJSON === 'function' ? toJSON.call(value, String(key)) : value;
}

/**
 * Whether JSON encodes the primitive in this object instead of its properties.
 * @param {any} object
 */
function isPrimitive(object) {
  return types.isBoxedPrimitive(object) && !types.isSymbolObject(object);
}

/** @param {any} object for which `isPrimitive` */
function unboxed(object) {
  // As in JSON, numbers and strings are converted, which user code may override.
  if (types.isNumberObject(object)) return Number(object);
  if (types.isStringObject(object)) return String(object);
  if (types.isBooleanObject(object)) return intrinsics.booleanValue(object);
  return intrinsics.bigintValue(object);
}

/** @param {any} value */
function isLeftOut(value) {
  return value === undefined || typeof value === 'function' || typeof value === 'symbol';
}

module.exports.JsonEncoder = JsonEncoder;
