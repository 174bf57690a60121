'use strict';

/**
 * Clones values within a thread object by object, without serialization: plain objects, arrays, maps, sets and
 * dates, as the structured clone algorithm would; strings are immutable and shared. Values that contain other
 * objects are refused, see `cloner`.
 */

const { arrayOfLength } = require('./decode-special');
const { isQuiet, nameOfIndex, SEARCHED_OBJECTS } = require('./encoder');
const { types, isPolluted, dateValue, hasOwn, mapForEach, setForEach } = require('./intrinsics');
const { isKnownPlain, isOtherEmpty, isOtherIndexed, isUnusual } = require('./plain-classes');
const { copyNames, ShapeCopier } = require('./shape-copier');
const { ShapeTable } = require('./shapes');
const { snapshotOf } = require('./snapshot');
const { MAX_DEPTH } = require('./tags');
const { marks } = require('./uncloneable');
const { UNSUPPORTED } = require('./unsupported');

const { getPrototypeOf, keys: keysOfObject } = Object;
const { isArray } = Array;
const { isProxy } = types;
const OBJECT_PROTOTYPE = Object.prototype;
const MAP_PROTOTYPE = Map.prototype;
const SET_PROTOTYPE = Set.prototype;
const DATE_PROTOTYPE = Date.prototype;

/** Up to this many copies are searched in a list, more in a map. */
const LISTED_COPIES = 16;
/** @type {any[]} */
const NOTHING = [];

/** @typedef {import('./shape-copier').Parts} Parts */

/** @implements {Parts} */
class ObjectCloner {
  #shapes = new ShapeTable();
  /** Copiers by shape number. @type {ShapeCopier[]} */
  #copiers = [];
  #depth = 0;
  /** Whether Object.prototype has enumerable properties, which for-in would visit. */
  #isPolluted = false;
  /** Objects encountered, each followed by its copy; a new list per value. @type {any[]} */
  #listed = NOTHING;
  #met = 0;
  /** The same, once there are too many for a linear search. @type {Map<object, object> | null} */
  #mapped = null;
  /** Copies of buffers and views. @type {Map<object, object> | null} */
  #copies = null;
  /** Whether the copy contains original parts, because the value must not be read again. */
  isPartial = false;

  /**
   * @param {object} value
   * @returns {any}
   * @throws UNSUPPORTED if the value must be cloned in another way, and errors of the value's getters
   */
  clone(value) {
    this.#depth = 0;
    this.#isPolluted = isPolluted();
    this.isPartial = false;
    try {
      return this.#object(value);
    } finally {
      this.#listed = NOTHING;
      this.#met = 0;
      this.#mapped = null;
      this.#copies = null;
    }
  }

  /** @param {any} value */
  value(value) {
    if (typeof value === 'object') return value === null ? null : this.#object(value);
    if (typeof value === 'function' || typeof value === 'symbol') return this.#leave(value);
    return value;
  }

  /** @param {any} object */
  #object(object) {
    const known = this.#met === 0 ? undefined : this.#copyOf(object);
    if (known !== undefined) return known;
    if (isProxy(object) || (marks.any && marks.has(object))) return this.#leave(object);
    if (this.#depth >= MAX_DEPTH) return this.#leave(object);
    if (isArray(object)) return this.#array(object);
    const prototype = getPrototypeOf(object);
    if (prototype === OBJECT_PROTOTYPE) return this.#plain(object, this.#isPolluted);
    if (prototype === null) {
      return isUnusual(object) ? this.#leave(object) : this.#plain(object, this.#isPolluted);
    }
    if (prototype === MAP_PROTOTYPE && types.isMap(object)) return this.#map(object);
    if (prototype === SET_PROTOTYPE && types.isSet(object)) return this.#set(object);
    if (prototype === DATE_PROTOTYPE && types.isDate(object)) return this.#date(object);
    return isKnownPlain(prototype) ? this.#plain(object, true) : this.#leave(object);
  }

  /**
   * Handles an unsupported part. If getters may have run, the rest is still copied, so that they do not run again,
   * and this part stays the original.
   * @param {any} part
   * @throws UNSUPPORTED
   */
  #leave(part) {
    if (this.#isRepeatable()) throw UNSUPPORTED;
    const copy = typeof part === 'object' ? snapshotOf(part, (this.#copies ??= new Map())) : part;
    if (copy === part) this.isPartial = true;
    if (typeof part === 'object') this.keep(part, copy);
    return copy;
  }

  #isRepeatable() {
    if (this.isPartial || this.#copies !== null) return false;
    if (this.#mapped !== null) {
      return this.#mapped.size <= SEARCHED_OBJECTS && [...this.#mapped.keys()].every(isQuiet);
    }
    for (let i = 0; i < this.#met; i++) if (!isQuiet(this.#listed[i * 2])) return false;
    return true;
  }

  /** @param {object} object */
  #copyOf(object) {
    if (this.#mapped !== null) return this.#mapped.get(object);
    const listed = this.#listed;
    const end = this.#met * 2;
    for (let i = 0; i < end; i += 2) if (listed[i] === object) return listed[i + 1];
    return undefined;
  }

  /**
   * Registers a copy, before the object's contents are copied, since they may refer back to it.
   * @param {object} object
   * @param {object} copy
   */
  keep(object, copy) {
    if (this.#mapped !== null) {
      this.#mapped.set(object, copy);
      return;
    }
    const met = this.#met++;
    const listed = this.#listed;
    // Most values have no more objects than this; a growing list would reserve room for many.
    if (met === 0) this.#listed = [object, copy, undefined, undefined, undefined, undefined];
    else if (met * 2 < listed.length) {
      listed[met * 2] = object;
      listed[met * 2 + 1] = copy;
    } else if (met < LISTED_COPIES) listed.push(object, copy);
    else {
      this.#mapped = new Map();
      for (let i = 0; i < met; i++) this.#mapped.set(listed[i * 2], listed[i * 2 + 1]);
      this.#mapped.set(object, copy);
    }
  }

  /**
   * Copies the own enumerable properties of an object.
   * @param {any} object
   * @param {boolean} isHeir whether for-in may visit inherited properties
   */
  #plain(object, isHeir) {
    const shapes = this.#shapes;
    const { root } = shapes;
    let node = root;
    // Reads no values, so it runs no user code.
    for (const key in object) {
      if (isHeir && !hasOwn(object, key)) continue;
      const next = node.lastKey === key && node.lastChild !== null ? node.lastChild : shapes.child(node, key);
      if (next === null) return this.#named(object);
      node = next;
    }
    if (node.mayBeOther && (node === root ? isOtherEmpty(object) : isOtherIndexed(object))) {
      return this.#leave(object);
    }
    this.#depth++;
    const copy = this.#copier(node).copy(object, this);
    this.#depth--;
    return copy;
  }

  /** @param {import('./shapes').ShapeNode} end */
  #copier(end) {
    if (end.id < 0) end.id = this.#copiers.push(new ShapeCopier(end)) - 1;
    return this.#copiers[end.id];
  }

  /** Copies an object with unusually many names, or beyond the limit of shapes. @param {any} object */
  #named(object) {
    const copy = {};
    this.keep(object, copy);
    this.#depth++;
    copyNames(object, copy, keysOfObject(object), this);
    this.#depth--;
    return copy;
  }

  /** @param {any[]} array */
  #array(array) {
    const { length } = array;
    const names = keysOfObject(array);
    const isDense =
      names.length === length && (length === 0 || names[length - 1] === nameOfIndex(length - 1));
    if (!isDense) return this.#keyedArray(array, names);
    /** @type {any[]} */
    const copy = [];
    this.keep(array, copy);
    this.#depth++;
    for (let i = 0; i < length; i++) {
      const element = array[i];
      // A getter may have deleted it.
      if (element === undefined && !hasOwn(array, i)) copy.length = i + 1;
      else copy.push(this.value(element));
    }
    this.#depth--;
    return copy;
  }

  /**
   * @param {any[]} array an array with holes or named properties
   * @param {string[]} names
   */
  #keyedArray(array, names) {
    const { length } = array;
    const copy = arrayOfLength(length);
    this.keep(array, copy);
    this.#depth++;
    copyNames(array, copy, names, this);
    this.#depth--;
    copy.length = length;
    return copy;
  }

  /** @param {Map<any, any>} map */
  #map(map) {
    // Listed first: getters of the values may modify the map.
    /** @type {any[]} */
    const entries = [];
    mapForEach(map, (/** @type {any} */ value, /** @type {any} */ key) => {
      entries.push(key, value);
    });
    const copy = new Map();
    this.keep(map, copy);
    this.#depth++;
    for (let i = 0; i < entries.length; i += 2) {
      const key = this.value(entries[i]);
      copy.set(key, this.value(entries[i + 1]));
    }
    this.#depth--;
    return copy;
  }

  /** @param {Set<any>} set */
  #set(set) {
    /** @type {any[]} */
    const members = [];
    setForEach(set, (/** @type {any} */ member) => {
      members.push(member);
    });
    const copy = new Set();
    this.keep(set, copy);
    this.#depth++;
    for (let i = 0; i < members.length; i++) copy.add(this.value(members[i]));
    this.#depth--;
    return copy;
  }

  /** @param {Date} date */
  #date(date) {
    const copy = new Date(dateValue(date));
    this.keep(date, copy);
    return copy;
  }
}

module.exports.ObjectCloner = ObjectCloner;
