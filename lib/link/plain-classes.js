'use strict';

/**
 * Determines which classes have instances that are cloned like plain objects. User-defined classes do; those of the
 * runtime may not (handles, streams, keys), and cannot be told apart from outside. So the runtime is asked once per
 * class, by cloning an instance, provided that reading it runs no user code. Until then, instances go through the
 * platform's own channel.
 */

const { types } = require('./intrinsics');

const { getOwnPropertyDescriptors, getPrototypeOf, keys: keysOfObject, hasOwn } = Object;
const OBJECT_PROTOTYPE = Object.prototype;
const describe = OBJECT_PROTOTYPE.toString;
/** Detects raw JSON text, in newer versions of V8. @type {(value: object) => boolean} */
const isRawJson = /** @type {any} */ (JSON).isRawJSON ?? (() => false);

/** Instances with more values than this are not used to find out. */
const MAX_VALUES = 1000;

/** In some versions the stack of an error is an own accessor. */
const stackGetter = Object.getOwnPropertyDescriptor(new Error(), 'stack')?.get;

/** Results by prototype. @type {WeakMap<object, boolean>} */
const known = new WeakMap();

/** With --harmony-struct there are shared objects, which have no prototype either. */
const HAS_SHARED_STRUCTS = 'SharedStructType' in globalThis;

/**
 * Whether an object without a prototype may be something other than a plain object.
 * @param {object} object
 */
function isUnusual(object) {
  return HAS_SHARED_STRUCTS || isRawJson(object) || types.isModuleNamespaceObject(object);
}

/**
 * Whether an object with the prototype of plain objects, or none, is of another kind, which has no enumerable
 * properties unless a program gives it some. Runs no user code but a getter of `Symbol.toStringTag`.
 * @param {object} object an object without own enumerable properties
 */
function isOtherEmpty(object) {
  return (
    describe.call(object) !== '[object Object]' ||
    types.isMap(object) ||
    types.isSet(object) ||
    types.isAnyArrayBuffer(object) ||
    types.isPromise(object) ||
    types.isWeakMap(object) ||
    types.isWeakSet(object)
  );
}

/**
 * The same for a kind that has elements: `arguments`, views and strings.
 * @param {object} object an object whose first own enumerable property is '0'
 */
function isOtherIndexed(object) {
  return types.isArgumentsObject(object) || ArrayBuffer.isView(object) || types.isBoxedPrimitive(object);
}

/**
 * Whether instances with this prototype are known to be cloned like plain objects.
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
    const [clone, plain] = structuredClone([instance, {}]);
    return (
      // That of the main context, which is not ours if a test runner has loaded us in another one.
      getPrototypeOf(clone) === getPrototypeOf(plain) &&
      Object.prototype.toString.call(clone) === '[object Object]' &&
      keysOfObject(clone).join('\0') === keysOfObject(instance).join('\0')
    );
  } catch {
    return false;
  }
}

/**
 * Whether cloning a value runs no user code: it contains neither accessors nor proxies.
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
    if (!hasOwn(descriptor, 'value')) {
      if (descriptor.get !== stackGetter || !types.isNativeError(value)) return false;
      continue;
    }
    if (descriptor.enumerable && !isData(descriptor.value, seen)) return false;
  }
  if (!types.isMap(value) && !types.isSet(value)) return true;
  return [...value].flat(1).every((each) => isData(each, seen));
}

module.exports.isOtherEmpty = isOtherEmpty;
module.exports.isOtherIndexed = isOtherIndexed;
module.exports.isRawJson = isRawJson;
module.exports.isUnusual = isUnusual;
module.exports.isKnownPlain = isKnownPlain;
module.exports.isPlainClass = isPlainClass;
