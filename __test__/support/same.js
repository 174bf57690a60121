'use strict';

/*
 * Determines whether two values are indistinguishable to a program, including the graph of their objects.
 * Optionally ignores the parts of buffers that their views do not cover.
 */

const { types } = require('node:util');

/** The bytes as one string, of which thousands are compared in one step. */
const textOf = (/** @type {any[]} */ ...part) => Buffer.from(.../** @type {[any]} */ (part)).latin1Slice();

const INTERNALS = [
  ['Date', types.isDate, (v) => [Date.prototype.getTime.call(v)]],
  ['RegExp', types.isRegExp, (v) => [v.source, v.flags, v.lastIndex]],
  ['Map', types.isMap, (v) => [...Map.prototype.entries.call(v)].flat()],
  ['Set', types.isSet, (v) => [...Set.prototype.values.call(v)]],
  ['ArrayBuffer', types.isAnyArrayBuffer, (v) => [v.byteLength, v.resizable, v.maxByteLength, textOf(v)]],
  ['view', ArrayBuffer.isView, (v) => [v.byteOffset, v.byteLength, v.buffer]],
  ['boxed', types.isBoxedPrimitive, (v) => [v.valueOf()]],
  ['error', types.isNativeError, () => []],
  ['array', Array.isArray, () => []],
];

const VIEW_ALONE = [
  'view',
  ArrayBuffer.isView,
  (v) => [v.byteLength, textOf(v.buffer, v.byteOffset, v.byteLength)],
];
const VIEWS_ALONE = INTERNALS.map((each) => (each[0] === 'view' ? VIEW_ALONE : each));

/**
 * Returns the path to the first difference, or undefined.
 * @param {any} a
 * @param {any} b
 * @returns {string | undefined}
 */
function difference(a, b) {
  return differenceAt(a, b, 'value', { pairs: new Map(), internals: INTERNALS });
}

/** Like `difference`, comparing views only by the bytes they cover. */
function differenceButBuffers(a, b) {
  return differenceAt(a, b, 'value', { pairs: new Map(), internals: VIEWS_ALONE });
}

function differenceAt(a, b, path, context) {
  const { pairs, internals } = context;
  const isObject = typeof a === 'object' && a !== null;
  if (!isObject || typeof b !== 'object' || b === null) {
    return Object.is(a, b) ? undefined : `${path}: ${String(a)} is not ${String(b)}`;
  }
  if (pairs.has(a)) return pairs.get(a) === b ? undefined : `${path}: another object`;
  pairs.set(a, b);
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return `${path}: prototypes`;
  for (const [name, is, parts] of internals) {
    if (is(a) !== is(b)) return `${path}: one is a ${name}`;
    if (!is(a)) continue;
    const found = differenceOfLists(parts(a), parts(b), `${path}<${name}>`, context);
    if (found) return found;
  }
  // The indices of a view repeat the contents of its buffer.
  return ArrayBuffer.isView(a) ? undefined : differenceOfProperties(a, b, path, context);
}

function differenceOfLists(a, b, path, context) {
  if (a.length !== b.length) return `${path}: lengths ${a.length} and ${b.length}`;
  for (let i = 0; i < a.length; i++) {
    const found = differenceAt(a[i], b[i], `${path}[${i}]`, context);
    if (found) return found;
  }
  return undefined;
}

function differenceOfProperties(a, b, path, context) {
  const names = Reflect.ownKeys(a);
  const others = Reflect.ownKeys(b);
  // The position of an error's stack property is irrelevant.
  if (types.isNativeError(a)) [names, others].forEach((list) => list.sort());
  if (names.length !== others.length || names.some((name, i) => name !== others[i])) {
    return `${path}: properties ${names.map(String)} and ${others.map(String)}`;
  }
  for (const name of names) {
    const one = Object.getOwnPropertyDescriptor(a, name);
    const other = Object.getOwnPropertyDescriptor(b, name);
    if (one.writable !== other.writable) return `${path}.${String(name)}: writable`;
    if (one.enumerable !== other.enumerable) return `${path}.${String(name)}: enumerable`;
    if (one.configurable !== other.configurable) return `${path}.${String(name)}: configurable`;
    const [mine, yours] = [a[name], b[name]];
    if (typeof mine !== 'object' && Object.is(mine, yours)) continue;
    const found = differenceAt(mine, yours, `${path}.${String(name)}`, context);
    if (found) return found;
  }
  return undefined;
}

module.exports.difference = difference;
module.exports.differenceButBuffers = differenceButBuffers;
