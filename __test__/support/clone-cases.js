'use strict';

/* Values that every kind of cloning must handle, in addition to random ones (`values.js`). */

const assert = require('node:assert/strict');

/** Objects and arrays of all sizes. */
function sized() {
  const wide = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`key${i}`, i]));
  return [
    wide,
    { ...wide, first: { ...wide } },
    Array.from({ length: 100_000 }, (_, i) => i / 3),
    new Array(100),
    Object.assign([], { 4294967294: 'last', 4294967295: 'a name', 7: 'seven' }),
    Array.from({ length: 300 }, (_, i) => ({ [`unique${i}`]: i })),
  ];
}

const ARRAY_KINDS = 14;

/** Arrays of all kinds. @param {number} length */
function* arraysOf(length) {
  const array = Array.from({ length }, (_, i) => i / 2);
  yield array;
  yield array.map((each) => ({ each }));
  yield array.map((each) => `text ${each}`);
  yield Object.assign([...array], { named: true });
  yield Object.assign([...array], { [Symbol('no name')]: true });
  yield Object.defineProperty([...array], 'hidden', { value: 1 });
  yield Object.freeze([...array]);
  const holed = [...array];
  delete holed[length >> 1];
  yield holed;
  // As many names as a complete array has.
  yield Object.assign([...holed], { named: true });
  const headless = [...array];
  delete headless[0];
  yield Object.assign(headless, { 4294967295: 'a name' });
  const endless = [...array];
  endless.length = length + 1;
  yield endless;
  yield Object.assign([...endless], { named: true });
  yield Object.defineProperty([...array], length - 1, { enumerable: false });
  yield Object.defineProperty([...array], 0, { enumerable: true, get: () => 'got' });
}

/**
 * Checks that arrays of all kinds and many lengths are cloned.
 * @param {(array: any[]) => boolean} check
 */
function checkArrays(check) {
  const lengths = [1, 2, 23, 24, 25, 100, 1000, 5000];
  let checked = 0;
  for (const length of lengths) {
    for (const array of arraysOf(length)) {
      assert.ok(check(array));
      checked++;
    }
  }
  assert.equal(checked, lengths.length * ARRAY_KINDS);
}

/** Alternating arrays and objects, nested to a depth. @param {number} depth */
function nest(depth) {
  let value = /** @type {any} */ ({ end: true });
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { value };
  return value;
}

/** Returns the `i`th of many objects with property names that are rare or unique. @param {number} i */
function ofOwnShape(i) {
  return { [`a${i % 300}`]: 1, [`b${i % 251}`]: { c: i }, [`d${i}`]: i };
}

/** A value that changes while it is being read. */
function changing() {
  const map = new Map([[1, 2]]);
  const array = [1, 2, 3, 4];
  return {
    map,
    array,
    nested: {
      get inside() {
        return array.push(5);
      },
    },
    get change() {
      delete (/** @type {any} */ (this).gone);
      delete (/** @type {any} */ (this).toString);
      /** @type {any} */ (this).come = 1;
      this.kept = { now: 'another' };
      map.set(3, 4);
      array.pop();
      return 1;
    },
    gone: 1,
    toString: {},
    kept: /** @type {any} */ ({ until: 'then' }),
  };
}

/** A map that grows while it is being read. */
function growing() {
  const map = new Map();
  map.set('a', {
    get grow() {
      map.set('b', 1);
      return 1;
    },
  });
  return map;
}

/** Values that cannot be cloned, or only by the platform. */
function refused() {
  const { port1 } = new MessageChannel();
  port1.close();
  return [
    new Proxy({}, {}),
    new Proxy([], {}),
    new WeakMap(),
    Promise.resolve(),
    [].values(),
    new Map().entries(),
    port1,
    new Blob([]),
    new SharedArrayBuffer(8),
    globalThis,
    { deep: [[{ er: () => 1 }]] },
  ];
}

/** Objects that look plain, and that structured clone refuses or clones as what they are. */
function lookalikes() {
  function list() {
    return arguments;
  }
  const { rawJSON } = /** @type {any} */ (JSON);
  const made = [list(), list(1, {}), list({ a: 1 }), ...(rawJSON === undefined ? [] : [rawJSON('1')])];
  for (const prototype of [Object.prototype, null]) {
    made.push(
      ...[
        new Map([[1, 2]]),
        new Set([1]),
        new Date(5),
        new RangeError('text'),
        new Uint8Array([1, 2]),
        new ArrayBuffer(2),
        new SharedArrayBuffer(2),
        new WeakMap(),
        new WeakSet(),
        Promise.resolve(),
        Object('text'),
        Object(1),
        list(1),
      ].map((value) => Object.setPrototypeOf(value, prototype)),
    );
  }
  return made;
}

/**
 * Checks that objects that look plain are not cloned as plain ones, wherever they are.
 * @param {(value: any) => boolean} check
 */
function checkLookalikes(check) {
  for (const make of [
    (/** @type {any} */ value) => value,
    (/** @type {any} */ value) => [value, value],
    (/** @type {any} */ value) => ({
      get got() {
        return 1;
      },
      value,
      again: [value],
    }),
  ]) {
    for (const value of lookalikes()) assert.ok(!check(make(value)), Object.prototype.toString.call(value));
  }
  assert.ok(check([{}, { 0: 1 }, { 0: {}, a: 1 }, Object.create(null), { __proto__: null, 0: 1 }]));
}

/** Errors that newer versions of Node clone as their own class, although they are native errors there. */
function domExceptions() {
  class Own extends DOMException {}
  const { QuotaExceededError } = /** @type {any} */ (globalThis);
  return [
    new DOMException('text', 'AbortError'),
    AbortSignal.abort().reason,
    Object.assign(new DOMException('text', 'TimeoutError'), { own: 1 }),
    new Own('text', 'DataCloneError'),
    Object.defineProperty(new DOMException('text'), 'message', { value: 'another' }),
    Object.setPrototypeOf(new DOMException('text'), Error.prototype),
    ...(QuotaExceededError === undefined ? [] : [new QuotaExceededError('text', { quota: 1, requested: 2 })]),
  ];
}

/** Values whose own properties contradict what they are. */
function disguised() {
  const fail = () => assert.fail('called');
  const date = Object.assign(new Date(5), { getTime: () => 7, extra: 1 });
  const map = Object.assign(new Map([[1, 2]]), { forEach: fail, [Symbol.iterator]: fail });
  class List extends Array {}
  class Dictionary extends Map {}
  return [date, map, List.of(1, 2), new Dictionary([[1, 2]]), Object.setPrototypeOf([1], null)];
}

/** An object with properties that are not cloned. */
function withHidden() {
  return Object.defineProperty({ a: 1, [Symbol('s')]: 2 }, 'b', { value: 2, enumerable: false });
}

/**
 * Adds a setter to Object.prototype, which must not be called.
 * @param {import('node:test').TestContext} t
 */
function setTrap(t) {
  const set = () => {
    assert.fail('called');
  };
  Object.defineProperty(Object.prototype, 'trap', { set, configurable: true });
  t.after(() => delete (/** @type {any} */ (Object.prototype).trap));
}

/** Returns an object with an own property of the trap's name. @param {any} value */
function overTrap(value) {
  return Object.defineProperty({}, 'trap', { value, enumerable: true, writable: true, configurable: true });
}

module.exports = {
  changing,
  checkArrays,
  checkLookalikes,
  disguised,
  domExceptions,
  growing,
  nest,
  ofOwnShape,
  overTrap,
  refused,
  setTrap,
  sized,
  withHidden,
};
