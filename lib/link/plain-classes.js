'use strict';

/**
 * Which classes have instances that are cloned like plain objects. Programs' own do; those of the runtime may
 * not (handles, streams, keys), and nothing tells them apart from outside. So the runtime is asked once for each
 * class, by cloning an instance, provided that reading it runs no code. Until then its own channel carries them.
 */

const { types } = require('./intrinsics');

const { getOwnPropertyDescriptors, getPrototypeOf, keys: keysOfObject, hasOwn } = Object;
const OBJECT_PROTOTYPE = Object.prototype;

/** An instance with more values in it is not worth asking with. */
const MAX_VALUES = 1000;

/** By prototype. @type {WeakMap<object, boolean>} */
const known = new WeakMap();

/** With --harmony-struct there are shared objects, which have no prototype either. */
const HAS_SHARED_STRUCTS = 'SharedStructType' in globalThis;

/**
 * Whether an object without a prototype may be something else than a plain one.
 * @param {object} object
 */
function isUnusual(object) {
  return HAS_SHARED_STRUCTS || types.isModuleNamespaceObject(object);
}

/**
 * Whether it is known already that instances with this prototype are.
 * @param {object} prototype
 */
function isKnownPlain(prototype) {
  return known.get(prototype) === true;
}

/**
 * Whether instances with this prototype are cloned by their own enumerable properties.
 * @param {object} instance
 * @param {object} prototype
 */
function isPlainClass(instance, prototype) {
  const answer = known.get(prototype);
  if (answer !== undefined) return answer;
  if (!isData(instance, new Set())) return false;
  const result = clonesToPlain(instance);
  known.set(prototype, result);
  return result;
}

/** @param {object} instance */
function clonesToPlain(instance) {
  try {
    const clone = structuredClone(instance);
    return (
      getPrototypeOf(clone) === OBJECT_PROTOTYPE &&
      Object.prototype.toString.call(clone) === '[object Object]' &&
      keysOfObject(clone).join('\0') === keysOfObject(instance).join('\0')
    );
  } catch {
    return false;
  }
}

/**
 * Whether cloning a value runs no code of the program: there are no accessors in it, and no proxies.
 * @param {any} value
 * @param {Set<object>} seen
 * @returns {boolean}
 */
function isData(value, seen) {
  if (typeof value === 'function') return false;
  if (typeof value !== 'object' || value === null || seen.has(value)) return true;
  if (types.isProxy(value) || seen.size >= MAX_VALUES) return false;
  seen.add(value);
  const descriptors = getOwnPropertyDescriptors(value);
  for (const name of keysOfObject(descriptors)) {
    const descriptor = descriptors[name];
    if (!hasOwn(descriptor, 'value')) return false;
    if (descriptor.enumerable && !isData(descriptor.value, seen)) return false;
  }
  if (!types.isMap(value) && !types.isSet(value)) return true;
  return [...value].flat(1).every((each) => isData(each, seen));
}

module.exports.isUnusual = isUnusual;
module.exports.isKnownPlain = isKnownPlain;
module.exports.isPlainClass = isPlainClass;
