'use strict';

/**
 * Clones values within a thread object by object, without a way over bytes: plain objects, arrays, maps, sets and
 * dates as the structured clone algorithm would, and strings, which never change, are the same. A value with any
 * other object in it is for others to clone, see `cloner`.
 */

const { arrayOfLength } = require('./decode-special');
const { isQuiet, nameOfIndex, SEARCHED_OBJECTS } = require('./encoder');
const { types, isPolluted, dateValue, hasOwn, mapForEach, setForEach } = require('./intrinsics');
const { isKnownPlain, isUnusual } = require('./plain-classes');
const { copyNames, ShapeCopier } = require('./shape-copier');
const { ShapeTable } = require('./shapes');
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
const describe = OBJECT_PROTOTYPE.toString;

/** Copies are looked for in a list up to this many, in a map beyond. */
const LISTED_COPIES = 16;
/** @type {any[]} */
const NOTHING = [];

/** @typedef {import('./shape-copier').Parts} Parts */

/** @implements {Parts} */
class ObjectCloner {
  #shapes = new ShapeTable();
  /** By the numbers of the nodes where shapes end. @type {ShapeCopier[]} */
  #copiers = [];
  #depth = 0;
  /** Whether Object.prototype has enumerable properties, which for-in would show. */
  #isPolluted = false;
  /** What has been met, each with its copy behind it; a new list for each value. @type {any[]} */
  #listed = NOTHING;
  #met = 0;
  /** The same, once there is too much to look for one by one. @type {Map<object, object> | null} */
  #mapped = null;
  /** Whether the copy has parts that are not copies, since what was read must not be read again. */
  isPartial = false;

  /**
   * @param {object} value
   * @returns {any}
   * @throws UNSUPPORTED for what is to be cloned in another way; what a getter of the value throws
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
   * Meets what is not for this way. If getters may have run, the rest is still copied, so that they need not run
   * again, and this part stays what it is.
   * @param {any} part
   * @throws UNSUPPORTED
   */
  #leave(part) {
    if (this.#isRepeatable()) throw UNSUPPORTED;
    this.isPartial = true;
    if (typeof part === 'object') this.keep(part, part);
    return part;
  }

  #isRepeatable() {
    if (this.isPartial) return false;
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
   * Takes note of a copy, before what the object holds is copied, which may lead back to it.
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
    // Most values have no more objects than this; a list that grows would make room for many.
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
   * The own enumerable properties of an object.
   * @param {any} object
   * @param {boolean} isHeir whether for-in may show what is not its own
   */
  #plain(object, isHeir) {
    const shapes = this.#shapes;
    const { root } = shapes;
    let node = root;
    // This reads no values, so it runs no code.
    for (const key in object) {
      if (isHeir && !hasOwn(object, key)) continue;
      const next = node.lastKey === key && node.lastChild !== null ? node.lastChild : shapes.child(node, key);
      if (next === null) return this.#named(object);
      node = next;
    }
    // What is not plain by its nature usually has no properties of its own.
    if (node === root && describe.call(object) !== '[object Object]') return this.#leave(object);
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

  /** An object with unusually many names, or of too many shapes. @param {any} object */
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
      // A getter may have taken it away.
      if (element === undefined && !hasOwn(array, i)) copy.length = i + 1;
      else copy.push(this.value(element));
    }
    this.#depth--;
    return copy;
  }

  /**
   * @param {any[]} array with holes, or named properties
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
    // A list first: getters of the values may change the map.
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
