'use strict';

/** Objects that a program has marked as uncloneable; Node's own mark cannot be read. */

const { types } = require('node:util');

const { entries: MapEntries } = Map.prototype;
const { values: SetValues } = Set.prototype;

/** @type {WeakSet<object>} */
const marked = new WeakSet();

const marks = {
  /** Whether there are any: marks are rare, and nothing is looked up until there are some. */
  any: false,
  /** @param {object} object */
  has: (object) => marked.has(object),
};

/**
 * Wraps Node's `markAsUncloneable` to record the marks.
 * @param {(object: any) => void} mark
 */
function noticing(mark) {
  return function markAsUncloneable(/** @type {any} */ object) {
    mark(object);
    if ((typeof object !== 'object' || object === null) && typeof object !== 'function') return;
    if (ignoresMark(object)) return;
    marks.any = true;
    marked.add(object);
  };
}

/**
 * Whether a mark has no effect, as in Node: V8 clones these itself, and does not ask.
 * @param {object} object
 */
function ignoresMark(object) {
  return (
    Array.isArray(object) ||
    ArrayBuffer.isView(object) ||
    types.isAnyArrayBuffer(object) ||
    types.isMap(object) ||
    types.isSet(object) ||
    types.isDate(object) ||
    types.isRegExp(object) ||
    types.isBoxedPrimitive(object)
  );
}

/**
 * Throws if a marked object would be cloned with `value`. Runs no user code.
 * @param {any} value
 */
function refuseMarked(value) {
  if (!marks.any) return;
  const seen = new Set();
  const waiting = [value];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (typeof next !== 'object' || next === null || seen.has(next) || types.isProxy(next)) continue;
    if (marked.has(next)) {
      throw new DOMException('Cannot clone object of unsupported type.', 'DataCloneError');
    }
    seen.add(next);
    if (types.isMap(next)) for (const entry of MapEntries.call(next)) waiting.push(...entry);
    else if (types.isSet(next)) for (const member of SetValues.call(next)) waiting.push(member);
    else if (!ArrayBuffer.isView(next)) {
      for (const descriptor of Object.values(Object.getOwnPropertyDescriptors(next))) {
        if (descriptor.enumerable) waiting.push(descriptor.value);
      }
    }
  }
}

module.exports.marks = marks;
module.exports.refuseMarked = refuseMarked;
module.exports.noticing = noticing;
