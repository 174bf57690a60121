'use strict';

/**
 * Encodes values as the structured clone algorithm would clone them. What only the platform can clone (ports,
 * shared memory, handles, values that cannot be cloned at all) is refused with `UNSUPPORTED`, and the caller
 * posts the value on the platform's own channel instead.
 */

const { types, isPolluted } = require('./intrinsics');
const { encodeSpecial } = require('./encode-special');
const { Flag, Kind } = require('./layout');
const { Tag, MAX_DEPTH } = require('./tags');
const { marks } = require('./uncloneable');
const { UNSUPPORTED } = require('./unsupported');
const { Writer } = require('./writer');

const { getPrototypeOf, keys: keysOfObject, hasOwn } = Object;
const { isArray } = Array;
const { isProxy } = types;
const OBJECT_PROTOTYPE = Object.prototype;
const describe = OBJECT_PROTOTYPE.toString;

/** With --harmony-struct there are shared objects, which have no prototype either. */
const HAS_SHARED_STRUCTS = 'SharedStructType' in globalThis;

/** Identities are looked for in a list up to this many, in a map beyond. */
const LISTED_IDENTITIES = 16;

class Encoder extends Writer {
  /** @param {number} [largeLength] see `Writer` */
  constructor(largeLength) {
    super(largeLength);
    this.depth = 0;
    /** Whether Object.prototype has enumerable properties, which for-in would show. */
    this.polluted = false;
    /** @type {object[]} */
    this.listed = new Array(LISTED_IDENTITIES).fill(this);
    this.identities = 0;
    /** @type {Map<object, number> | null} */
    this.mapped = null;
  }

  /**
   * Encodes a value as a complete record. Returns its length.
   * @param {any} value
   * @throws UNSUPPORTED, or what a getter of the value throws
   */
  encode(value) {
    this.depth = 0;
    this.polluted = isPolluted();
    try {
      this.value(value);
      return this.end(Kind.VALUE);
    } finally {
      this.#forget();
    }
  }

  /** @override */
  isRepeatable() {
    if (this.mapped !== null) return false;
    for (let i = 0; i < this.identities; i++) if (!isQuiet(this.listed[i])) return false;
    return true;
  }

  /** Lets go of the objects of a value. */
  #forget() {
    for (let i = 0; i < this.identities && i < LISTED_IDENTITIES; i++) this.listed[i] = this;
    this.identities = 0;
    this.mapped = null;
  }

  /** @param {any} value */
  value(value) {
    switch (typeof value) {
      case 'string':
        return this.string(value);
      case 'number':
        return this.number(value);
      case 'boolean':
        return this.tag(value ? Tag.TRUE : Tag.FALSE);
      case 'undefined':
        return this.tag(Tag.UNDEFINED);
      case 'bigint':
        return this.bigint(value);
      case 'object':
        return value === null ? this.tag(Tag.NULL) : this.object(value);
      default:
        throw UNSUPPORTED;
    }
  }

  /** @param {any} object */
  object(object) {
    if (isProxy(object) || (marks.any && marks.has(object))) throw UNSUPPORTED;
    if (isArray(object)) return this.remember(object) ? this.#array(object) : undefined;
    const prototype = getPrototypeOf(object);
    if (prototype !== OBJECT_PROTOTYPE) {
      if (prototype !== null) return encodeSpecial(this, object, prototype);
      if (HAS_SHARED_STRUCTS || types.isModuleNamespaceObject(object)) throw UNSUPPORTED;
    }
    if (this.remember(object)) this.plain(object, this.polluted);
  }

  /**
   * True when the object is new in this value; else a reference has been written.
   * @param {object} object
   */
  remember(object) {
    const number = this.#identify(object);
    if (number < 0) {
      if (this.depth >= MAX_DEPTH) throw UNSUPPORTED;
      return true;
    }
    this.flags |= Flag.REFERENCES;
    this.tagWithCount(Tag.REFERENCE, number);
    return false;
  }

  /** @param {object} object */
  #identify(object) {
    if (this.mapped === null) {
      const { listed, identities } = this;
      for (let i = 0; i < identities; i++) if (listed[i] === object) return i;
      if (identities < LISTED_IDENTITIES) {
        listed[this.identities++] = object;
        return -1;
      }
      this.mapped = new Map();
      for (let i = 0; i < LISTED_IDENTITIES; i++) this.mapped.set(listed[i], i);
    }
    const number = this.mapped.get(object);
    if (number !== undefined) return number;
    this.mapped.set(object, this.identities++);
    return -1;
  }

  /**
   * The own enumerable properties of an object, by its shape: the values, and the number of the shape once all
   * names are known. Where the table of shapes is full, the names follow by themselves.
   * @param {any} object
   * @param {boolean} isHeir whether for-in may show what is not its own
   */
  plain(object, isHeir) {
    const { shapes } = this;
    if (shapes.isFull) return this.#dictionary(object);
    this.depth++;
    this.reserve(3);
    const at = this.position - this.start;
    this.bytes[this.position] = Tag.OBJECT;
    this.position += 3;
    let node = shapes.root;
    let countAt = -1;
    let count = 0;
    for (const key in object) {
      if (isHeir && !hasOwn(object, key)) continue;
      if (countAt < 0) {
        const next = node.firstKey === key ? node.firstChild : shapes.child(node, key);
        if (next !== null) {
          node = next;
          this.value(object[key]);
          continue;
        }
        countAt = this.skipCount();
      }
      this.string(key);
      this.value(object[key]);
      count++;
    }
    this.depth--;
    // What is not plain by its nature usually has no properties of its own.
    if (node === shapes.root && describe.call(object) !== '[object Object]') throw UNSUPPORTED;
    this.endShape(at, node, countAt, count);
  }

  /** @param {any} object */
  #dictionary(object) {
    const names = keysOfObject(object);
    this.tagWithCount(Tag.DICTIONARY, names.length);
    this.#pairs(object, names);
  }

  /**
   * @param {any} object
   * @param {string[]} names
   */
  #pairs(object, names) {
    const countAt = this.position - this.start - 4;
    let count = 0;
    this.depth++;
    for (let i = 0; i < names.length; i++) {
      const name = names[i];
      // A getter may have taken later properties away.
      if (!hasOwn(object, name)) continue;
      this.string(name);
      this.value(object[name]);
      count++;
    }
    this.depth--;
    if (count !== names.length) this.view.setUint32(this.start + countAt, count, true);
  }

  /** @param {any[]} array */
  #array(array) {
    const { length } = array;
    const names = keysOfObject(array);
    if (names.length !== length) {
      // Holes, or named properties.
      if (names.length > length || isSparse(names, length)) return this.#keyedArray(array, names);
    } else if (length > 0 && names[length - 1] !== String(length - 1)) {
      return this.#keyedArray(array, names);
    }
    if (length < 16) this.tag(Tag.SHORT_ARRAY | length);
    else this.tagWithCount(Tag.ARRAY, length);
    this.depth++;
    for (let i = 0; i < length; i++) {
      const element = array[i];
      if (typeof element === 'number') this.number(element);
      else if (element === undefined && !hasOwn(array, i)) this.tag(Tag.HOLE);
      else this.value(element);
    }
    this.depth--;
  }

  /**
   * @param {any[]} array
   * @param {string[]} names
   */
  #keyedArray(array, names) {
    this.tagWithCount(Tag.ARRAY_KEYED, array.length);
    this.reserve(4);
    this.view.setUint32(this.position, names.length, true);
    this.position += 4;
    this.#pairs(array, names);
  }
}

/**
 * Whether an object is small and has no accessors.
 * @param {any} object
 */
function isQuiet(object) {
  if (ArrayBuffer.isView(object)) return true;
  if (isArray(object) && object.length > LISTED_IDENTITIES) return false;
  const descriptors = Object.getOwnPropertyDescriptors(object);
  for (const name in descriptors) if (!hasOwn(descriptors[name], 'value')) return false;
  return true;
}

/**
 * Of fewer names than the length: whether writing each hole is not worth it, or some name is not an index.
 * @param {string[]} names
 * @param {number} length
 */
function isSparse(names, length) {
  if (names.length * 2 < length && length > 64) return true;
  // Indices come first and in order, so the last name tells.
  const last = names.length === 0 ? '0' : names[names.length - 1];
  return !isIndex(last);
}

/** @param {string} name */
function isIndex(name) {
  const index = Number(name) >>> 0;
  return index !== 0xffffffff && String(index) === name;
}

module.exports.Encoder = Encoder;
