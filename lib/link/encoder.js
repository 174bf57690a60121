'use strict';

/**
 * Encodes values as the structured clone algorithm would clone them. Values that only the platform can clone
 * (ports, shared memory, handles), or that cannot be cloned at all, are refused with `UNSUPPORTED`, and the caller
 * posts them on the platform's own channel instead.
 */

const { types, isPolluted } = require('./intrinsics');
const { encodeSpecial } = require('./encode-special');
const { Flag, Kind } = require('./layout');
const { materialize } = require('./materialize');
const { isOtherEmpty, isOtherIndexed, isUnusual } = require('./plain-classes');
const { snapshotOf } = require('./snapshot');
const { Tag, MAX_DEPTH } = require('./tags');
const { mayTravel } = require('./travellers');
const { marks } = require('./uncloneable');
const { UNSUPPORTED } = require('./unsupported');
const { Writer } = require('./writer');

const { getPrototypeOf, keys: keysOfObject, hasOwn } = Object;
const { isArray } = Array;
const { isProxy, isArgumentsObject: isArguments } = types;
const OBJECT_PROTOTYPE = Object.prototype;
const isEnumerable = OBJECT_PROTOTYPE.propertyIsEnumerable;

/** Up to this many objects are searched in a list, more in a map. */
const LISTED_IDENTITIES = 16;
/** @type {(object | undefined)[]} */
const NOTHING = [];
/** More objects than this are not searched for accessors. */
const SEARCHED_OBJECTS = 1000;
/** Nor are arrays longer than this. */
const QUIET_LENGTH = 1000;

const INDEX_NAMES = Array.from({ length: 256 }, (_, index) => String(index));

class Encoder extends Writer {
  /**
   * @param {number} [largeLength] see `Writer`
   * @param {number} [besideLength]
   */
  constructor(largeLength, besideLength) {
    super(largeLength, besideLength);
    this.depth = 0;
    /** Whether Object.prototype has enumerable properties, which for-in would visit. */
    this.polluted = false;
    /**
     * The objects of the value, in the order in which they were first encountered. A new list per value: storing
     * new objects into an old one would incur the GC's write barrier each time, and keep them alive.
     * @type {(object | undefined)[]}
     */
    this.listed = NOTHING;
    /** Number of objects in the list. */
    this.met = 0;
    /** All objects, once there are too many for a linear search. @type {Map<object, number> | null} */
    this.mapped = null;
    /** Parts that only the platform can clone, in a value that must not be read again. @type {any[]} */
    this.refused = [];
    /** Copies of some of these, which later getters may change. @type {Map<object, object> | null} */
    this.copies = null;
  }

  /**
   * Encodes a value as a complete record. Returns its length.
   * @param {any} value
   * @param {number} [kind] kind of the record
   * @throws UNSUPPORTED, and errors of the value's getters
   */
  encode(value, kind = Kind.VALUE) {
    this.depth = 0;
    this.polluted = isPolluted();
    try {
      this.value(value);
      const length = this.end(kind);
      if (this.refused.length !== 0) this.#substitute(length);
      if (this.met !== 0) this.#forget();
      return length;
    } catch (error) {
      this.refused = [];
      this.#forget();
      throw error;
    }
  }

  /** Releases the objects of the value. */
  #forget() {
    this.listed = NOTHING;
    this.met = 0;
    if (this.mapped !== null) this.mapped = null;
    if (this.copies !== null) this.copies = null;
  }

  /** @override */
  isRepeatable() {
    if (this.refused.length !== 0) return false;
    if (this.mapped === null) return this.listed.slice(0, this.met).every(isQuiet);
    return this.mapped.size <= SEARCHED_OBJECTS && [...this.mapped.keys()].every(isQuiet);
  }

  /**
   * Handles a part that only the platform can clone. The whole value is then left to the platform; but if getters
   * may have run, the rest is still encoded, so that they do not run again.
   * @param {any} part
   * @param {boolean} [isRemembered] whether it already has a number
   * @throws UNSUPPORTED
   */
  refuse(part, isRemembered = false) {
    if (this.isRepeatable()) throw UNSUPPORTED;
    this.tagWithCount(Tag.REFUSED, this.refused.length * 2 + (isRemembered ? 1 : 0));
    this.refused.push(typeof part === 'object' ? snapshotOf(part, (this.copies ??= new Map())) : part);
  }

  /**
   * @param {number} length length of the record
   * @throws UNSUPPORTED
   */
  #substitute(length) {
    this.substitute = { value: materialize(this, length, this.refused) };
    throw UNSUPPORTED;
  }

  /** @param {any} value */
  value(value) {
    // A chain of comparisons, which the compiler turns into type checks, unlike a switch.
    if (typeof value === 'number') return this.number(value);
    if (typeof value === 'string') return this.string(value);
    if (typeof value === 'object') return value === null ? this.tag(Tag.NULL) : this.object(value);
    if (typeof value === 'boolean') return this.tag(value ? Tag.TRUE : Tag.FALSE);
    if (value === undefined) return this.tag(Tag.UNDEFINED);
    if (typeof value === 'bigint') return this.bigint(value);
    this.refuse(value);
  }

  /** @param {any} object */
  object(object) {
    if (isProxy(object) || (marks.any && marks.has(object))) return this.refuse(object);
    if (isArray(object)) return this.remember(object) ? this.#array(object) : undefined;
    const prototype = getPrototypeOf(object);
    if (prototype !== OBJECT_PROTOTYPE) {
      if (prototype !== null) return encodeSpecial(this, object, prototype);
      if (isUnusual(object)) return this.refuse(object);
    }
    if (this.remember(object)) this.plain(object, this.polluted);
  }

  /**
   * Returns true if the object is new in this value; otherwise, a reference has been written.
   * @param {object} object
   */
  remember(object) {
    if (this.depth >= MAX_DEPTH) {
      this.refuse(object);
      return false;
    }
    const number = this.#identify(object);
    if (number < 0) return true;
    this.flags |= Flag.REFERENCES;
    this.tagWithCount(Tag.REFERENCE, number);
    return false;
  }

  /**
   * Writes a reference to an object that has occurred in this value. Returns false if it has not.
   * @param {object} object
   */
  refer(object) {
    const listed = this.listed.indexOf(object);
    const number = this.mapped === null ? listed : this.mapped.get(object);
    if (number === undefined || number < 0) return false;
    this.flags |= Flag.REFERENCES;
    this.tagWithCount(Tag.REFERENCE, number);
    return true;
  }

  /** @param {object} object */
  #identify(object) {
    const { listed, met } = this;
    if (met === 0) {
      // Most values have no more objects than this; a growing list would reserve room for many.
      this.listed = [object, undefined, undefined, undefined];
      this.met = 1;
      return -1;
    }
    if (this.mapped !== null) return this.#identifyInMap(this.mapped, object);
    for (let i = 0; i < met; i++) if (listed[i] === object) return i;
    if (met < LISTED_IDENTITIES) {
      if (met < listed.length) listed[met] = object;
      else listed.push(object);
      this.met = met + 1;
      return -1;
    }
    this.mapped = new Map();
    for (let i = 0; i < met; i++) this.mapped.set(/** @type {object} */ (listed[i]), i);
    return this.#identifyInMap(this.mapped, object);
  }

  /**
   * @param {Map<object, number>} mapped
   * @param {object} object
   */
  #identifyInMap(mapped, object) {
    const number = mapped.get(object);
    if (number !== undefined) return number;
    mapped.set(object, mapped.size);
    return -1;
  }

  /**
   * Writes the own enumerable properties of an object with its shape: the values, and the number of the shape once
   * all names are known. If the shape table is full, the remaining properties are written with their names.
   * @param {any} object
   * @param {boolean} isHeir whether for-in may visit inherited properties
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
      const value = object[key];
      // A getter has deleted the property, and Object.prototype has one of that name.
      if (typeof value === 'function' && !hasOwn(object, key)) continue;
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
    this.depth--;
    if (node.mayBeOther && (node === shapes.root ? isOtherEmpty(object) : isOtherIndexed(object))) {
      return this.#refuseOther(object, at);
    }
    this.endShape(at, node, countAt, count);
  }

  /**
   * Refuses an object that has been found not to be plain after its properties were written.
   * @param {object} object
   * @param {number} at where it was written
   * @throws UNSUPPORTED
   */
  #refuseOther(object, at) {
    if (isArguments(object) && !this.isRepeatable()) {
      // Cannot be cloned at all. Its parts have been numbered, so that it cannot be replaced in the record.
      this.substitute = { value: object };
      throw UNSUPPORTED;
    }
    // Overwritten: it has no parts.
    this.goBack(at);
    this.refuse(object, true);
  }

  /** @param {any} object */
  #dictionary(object) {
    const names = keysOfObject(object);
    if (names.length === 0 ? isOtherEmpty(object) : names[0] === '0' && isOtherIndexed(object)) {
      return this.refuse(object, true);
    }
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
      // A getter may have deleted later properties.
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
      return this.#holedArray(array, length);
    }
    if (length > 0 && names[length - 1] !== nameOfIndex(length - 1)) return this.#keyedArray(array, names);
    this.#beginArray(length);
    this.depth++;
    for (let i = 0; i < length; i++) {
      const element = array[i];
      if (typeof element === 'number') this.number(element);
      else if (element === undefined && !hasOwn(array, i)) this.tag(Tag.HOLE);
      else this.value(element);
    }
    this.depth--;
  }

  /** @param {number} length */
  #beginArray(length) {
    if (length < 16) this.tag(Tag.SHORT_ARRAY | length);
    else this.tagWithCount(Tag.ARRAY, length);
  }

  /**
   * Writes an array with missing or non-enumerable elements.
   * @param {any[]} array
   * @param {number} length
   */
  #holedArray(array, length) {
    this.#beginArray(length);
    this.depth++;
    for (let i = 0; i < length; i++) {
      if (isEnumerable.call(array, i)) this.value(array[i]);
      else this.tag(Tag.HOLE);
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

/** @param {number} index */
function nameOfIndex(index) {
  return index < INDEX_NAMES.length ? INDEX_NAMES[index] : String(index);
}

/**
 * Whether an object is small and has no accessors.
 * @param {any} object
 */
function isQuiet(object) {
  if (ArrayBuffer.isView(object) || mayTravel(getPrototypeOf(object))) return true;
  // Some properties of errors come from accessors of their prototypes.
  if (types.isNativeError(object)) return false;
  if (isArray(object) && object.length > QUIET_LENGTH) return false;
  const descriptors = Object.getOwnPropertyDescriptors(object);
  for (const name in descriptors) if (!hasOwn(descriptors[name], 'value')) return false;
  return true;
}

/**
 * For arrays with fewer names than their length: whether writing the holes is too expensive, or some name is not an
 * index.
 * @param {string[]} names
 * @param {number} length
 */
function isSparse(names, length) {
  if (names.length * 2 < length && length > 64) return true;
  // Indices are enumerated first and in order, so checking the last name suffices.
  const last = names.length === 0 ? '0' : names[names.length - 1];
  return !isIndex(last);
}

/** @param {string} name */
function isIndex(name) {
  const index = Number(name) >>> 0;
  return index !== 0xffffffff && String(index) === name;
}

module.exports.Encoder = Encoder;
module.exports.isIndex = isIndex;
module.exports.isQuiet = isQuiet;
module.exports.nameOfIndex = nameOfIndex;
module.exports.SEARCHED_OBJECTS = SEARCHED_OBJECTS;
