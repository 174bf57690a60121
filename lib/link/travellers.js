'use strict';

/**
 * Objects that travel by reference: shared objects, which arrive attached to the same memory. Each is described by
 * a text that says what it is and where its memory is found.
 *
 * A lane writes the text under a tag of its own. The platform's channels see an object with the text as its only
 * property, a stand-in, and `revive` replaces it by the object. Other data may look like a stand-in; one is
 * accepted if it starts with the token of this process, or if it refers to existing memory by a random number known
 * only to those that have it open.
 */

const { types } = require('./intrinsics');

/** Key of the method that returns the text of a travelling object. */
const kTravel = Symbol('manycore.travel');
/** The only enumerable property of a travelling object, and of its stand-in. */
const STAND_IN = 'manycore:shared';
/** Token, kind of object, and location of the segment, which ends with its random number. */
const TEXT = /^([0-9a-f]{32}):([a-z]+):((?:fd\/\d+\/\d+|name\/[^/]+)\/[0-9a-f]{32})$/;

const { getPrototypeOf, hasOwn } = Object;
const OBJECT_PROTOTYPE = Object.prototype;

/** @type {WeakSet<object>} */
const prototypes = new WeakSet();
/** Whether the platform may have cloned such objects in this process. */
let mayHaveStandIns = false;
/** @type {(() => number) | undefined} */
let hasStandIns;
/** @type {string | undefined} */
let ownToken;

/** Loaded on demand: a worker of a pool starts without this module. */
function addon() {
  return require('../core/addon').loadAddon();
}

/** @returns {string} */
function token() {
  ownToken ??= addon()?.travelToken() ?? '';
  return ownToken;
}

/** One descriptor for all objects, so that they have the same shape. */
const STAND_IN_PROPERTY = {
  enumerable: true,
  configurable: true,
  /** @this {any} */
  get() {
    // Read by the platform during cloning, or by an inspection of the object.
    if (!mayHaveStandIns) addon()?.noteStandIn();
    mayHaveStandIns = true;
    return this[kTravel]();
  },
};

/**
 * Makes an object travel by reference.
 * @param {any} object
 * @param {string} kind
 * @param {() => string} placeOf returns the location of its segment; called whenever it is sent
 */
function letTravel(object, kind, placeOf) {
  prototypes.add(getPrototypeOf(object));
  Object.defineProperty(object, kTravel, { value: () => `${token()}:${kind}:${placeOf()}` });
  Object.defineProperty(object, STAND_IN, STAND_IN_PROPERTY);
}

/**
 * Whether objects with this prototype may travel by reference.
 * @param {object | null} prototype
 */
function mayTravel(prototype) {
  return prototype !== null && prototypes.has(prototype);
}

/**
 * Returns the text of an object; undefined if it does not travel.
 * @param {any} object
 * @returns {string | undefined}
 */
function textOf(object) {
  return hasOwn(object, kTravel) ? object[kTravel]() : undefined;
}

/**
 * Returns the object that a text stands for. If its memory is not accessible, the object throws when it is used.
 * @param {unknown} text
 * @returns {any} undefined if it is not such a text
 */
function arrive(text) {
  const match = typeof text === 'string' ? TEXT.exec(text) : null;
  if (match === null) return undefined;
  // Shared objects are loaded only when the first one arrives.
  return require('../shared/arrivals').arrive(match[2], match[3]);
}

/**
 * Replaces stand-ins by their objects in a value cloned by the platform, which is modified in place.
 * @param {any} value
 * @returns {any}
 */
function revive(value) {
  if (typeof value !== 'object' || value === null) return value;
  if (!mayHaveStandIns) {
    hasStandIns ??= /** @type {any} */ (addon()?.standInFlag()) ?? (() => 0);
    if (hasStandIns?.() !== 1) return value;
    mayHaveStandIns = true;
  }
  return reviveAll(value);
}

/**
 * Like `revive`, for a value from another process.
 * @param {any} value
 * @returns {any}
 */
function reviveAll(value) {
  if (typeof value !== 'object' || value === null) return value;
  const whole = [value];
  /** @type {Set<any>} */
  const seen = new Set();
  /** @type {any[]} */
  const waiting = [whole];
  const look = (/** @type {any} */ each) => {
    if (typeof each !== 'object' || each === null || seen.has(each)) return each;
    const object = fromStandIn(each);
    if (object !== undefined) return object;
    seen.add(each);
    waiting.push(each);
    return each;
  };
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) reviveIn(next, look);
  return whole[0];
}

/**
 * @param {any} container
 * @param {(value: any) => any} look
 */
function reviveIn(container, look) {
  if (types.isMap(container)) {
    const entries = [...container];
    const changed = entries.map(([key, value]) => [look(key), look(value)]);
    if (!changed.some(([key, value], index) => key !== entries[index][0] || value !== entries[index][1])) {
      return;
    }
    container.clear();
    for (const [key, value] of changed) container.set(key, value);
  } else if (types.isSet(container)) {
    const members = [...container];
    const changed = members.map(look);
    if (!changed.some((member, index) => member !== members[index])) return;
    container.clear();
    for (const member of changed) container.add(member);
  } else if (Array.isArray(container) || getPrototypeOf(container) === OBJECT_PROTOTYPE) {
    for (const name in container) {
      const value = container[name];
      if (typeof value !== 'object' || value === null) continue;
      const object = look(value);
      if (object !== value) container[name] = object;
    }
  }
}

/** @param {any} object */
function fromStandIn(object) {
  if (getPrototypeOf(object) !== OBJECT_PROTOTYPE || !hasOwn(object, STAND_IN)) return undefined;
  if (Object.keys(object).length !== 1) return undefined;
  const match = TEXT.exec(object[STAND_IN]);
  if (match === null) return undefined;
  const { arrive, arriveOrNothing } = require('../shared/arrivals');
  return match[1] === token() ? arrive(match[2], match[3]) : arriveOrNothing(match[2], match[3]);
}

/**
 * Returns kind and location in a stand-in's text.
 * @param {unknown} text
 */
function partsOf(text) {
  const match = typeof text === 'string' ? TEXT.exec(text) : null;
  return match === null ? undefined : { kind: match[2], place: match[3] };
}

module.exports.STAND_IN = STAND_IN;
module.exports.arrive = arrive;
module.exports.letTravel = letTravel;
module.exports.mayTravel = mayTravel;
module.exports.partsOf = partsOf;
module.exports.revive = revive;
module.exports.reviveAll = reviveAll;
module.exports.textOf = textOf;
