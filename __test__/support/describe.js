'use strict';

/*
 * Describes a value as text, so that values of different processes can be compared: everything that a program can
 * find out about it, including the identity of its objects.
 */

const { createHash } = require('node:crypto');
const { types } = require('node:util');

const { getOwnPropertyDescriptor, getPrototypeOf } = Object;

/** The bytes, or a hash of many. @param {any[]} part */
function hex(...part) {
  const bytes = Buffer.from(.../** @type {[any]} */ (part));
  return bytes.length > 100 ? createHash('sha1').update(bytes).digest('hex') : bytes.toString('hex');
}

/** What an object is, by its internal slots, and what those hold. */
const INTERNALS = [
  ['date', types.isDate, (v) => [Date.prototype.getTime.call(v)]],
  ['regexp', types.isRegExp, (v) => [v.source, v.flags]],
  ['map', types.isMap, (v) => [...Map.prototype.entries.call(v)].flat()],
  ['set', types.isSet, (v) => [...Set.prototype.values.call(v)]],
  ['boxed', types.isBoxedPrimitive, (v) => [v.valueOf()]],
  ['error', types.isNativeError, () => []],
  ['array', Array.isArray, (v) => [v.length]],
  ['shared', types.isSharedArrayBuffer, (v) => [v.byteLength]],
  ['buffer', types.isArrayBuffer, (v) => [v.resizable ? v.maxByteLength : v.byteLength, hex(v)]],
];

/**
 * @param {any} value
 * @param {(view: any) => any[]} [ofView] what to describe of a view; the bytes it covers by default
 * @returns {string}
 */
function describe(value, ofView = (view) => [hex(view.buffer, view.byteOffset, view.byteLength)]) {
  const seen = new Map();
  /** @param {any} part @returns {string} */
  const of = (part) => {
    if (typeof part === 'string') return part.length > 1000 ? `text ${hex(part)}` : JSON.stringify(part);
    if (typeof part === 'bigint') return `${part}n`;
    if (typeof part !== 'object' || part === null) return Object.is(part, -0) ? '-0' : String(part);
    const known = seen.get(part);
    if (known !== undefined) return `#${known}`;
    seen.set(part, seen.size);
    const parts = [];
    for (const [name, is, internals] of INTERNALS) {
      if (is(part)) parts.push(`<${name} ${internals(part).map(of)}>`);
    }
    if (ArrayBuffer.isView(part)) {
      parts.push(`<view ${ofView(part).map(of)}>`);
    } else {
      for (const key of Reflect.ownKeys(part)) parts.push(property(part, key));
    }
    return `${nameOf(getPrototypeOf(part))}{${parts}}`;
  };
  /** @param {any} object @param {PropertyKey} key */
  const property = (object, key) => {
    const { writable, enumerable, configurable, get } = getOwnPropertyDescriptor(object, key);
    const marks = [writable && 'w', enumerable && 'e', configurable && 'c', get && 'accessor'];
    // The lines of a stack depend on the program.
    const isStack = key === 'stack' && types.isNativeError(object);
    const shown = isStack ? JSON.stringify(String(object.stack).split('\n')[0]) : of(object[key]);
    const usual = marks.join('') === 'wec';
    return `${String(key)}${usual ? '' : ` (${marks.filter(Boolean).join('')})`}: ${shown}`;
  };
  return of(value);
}

/** @param {any} prototype */
function nameOf(prototype) {
  if (prototype === null) return 'null';
  return Object.hasOwn(prototype, 'constructor') ? String(prototype.constructor.name) : 'other';
}

module.exports.describe = describe;
