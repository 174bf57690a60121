'use strict';

/* Arbitrary values for messages, for fast-check. */

const fc = require('fast-check');

class Point {
  constructor(x) {
    this.x = x;
    this.y = -x;
  }
  get sum() {
    return this.x + this.y;
  }
}

// Enumerable, like the methods of constructor functions.
Point.prototype.inherited = 'stays behind';

/** Strings of arbitrary 16-bit units, including lone surrogates, and strings with one byte per character. */
const text = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc
    .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 12 })
    .map((units) => String.fromCharCode(...units)),
  fc
    .tuple(
      fc.constantFrom('a', 'é', '字', '\ud800'),
      fc.constantFrom(1, 8, 9, 40, 127, 300, 2047, 2049, 5000),
    )
    .map(([unit, count]) => 'x'.repeat(count) + unit),
);

const key = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('id', 'op', 'name', 'v', 'value', 'items') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '__proto__',
      'constructor',
      'toString',
      'toJSON',
      '',
      '0',
      '17',
      '4294967295',
      '-1',
    ),
  },
  { weight: 1, arbitrary: text },
);

const number = fc.oneof(
  fc.integer(),
  fc.integer({ min: -2, max: 130 }),
  fc.double(),
  fc.constantFrom(
    -0,
    0,
    NaN,
    Infinity,
    -Infinity,
    127,
    128,
    2 ** 31 - 1,
    2 ** 31,
    -(2 ** 31),
    2 ** 32,
    2 ** 53,
  ),
);

const jsonLeaf = fc.oneof(number, text, fc.boolean(), fc.constant(null));
const primitive = fc.oneof(
  { weight: 5, arbitrary: jsonLeaf },
  { weight: 1, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.bigInt() },
  { weight: 1, arbitrary: fc.constantFrom(2n ** 63n, 2n ** 63n - 1n, -(2n ** 63n), -(2n ** 63n) - 1n, 0n) },
);

const VIEWS = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
];

const bytes = fc.uint8Array({ maxLength: 64 }).map((array) => array.slice().buffer);
const view = fc
  .tuple(fc.constantFrom(...VIEWS), fc.nat(3), fc.nat(4), fc.nat(9))
  .map(([View, before, count, after]) => {
    const size = View.BYTES_PER_ELEMENT ?? 1;
    const buffer = new ArrayBuffer((before + count) * size + after);
    new Uint8Array(buffer).forEach((_, i, all) => (all[i] = i * 7 + count));
    return new View(buffer, before * size, count);
  });

const ERRORS = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError];
class OwnError extends TypeError {
  name = 'OwnError';
  code = 'E_OWN';
}

/**
 * Leaves of structured clones: not representable in JSON, and newly created each time, so that no object is shared.
 */
const special = fc.oneof(
  fc.double().map((ms) => new Date(ms)),
  fc.constantFrom(/a+b/gi, /\/\n/u, /(?<x>.)/s, new RegExp('', 'y')).map((r) => new RegExp(r)),
  primitive.filter((v) => v !== null && v !== undefined).map((v) => Object(v)),
  bytes,
  view,
  fc.string().map((s) => Buffer.from(s)),
  fc.tuple(fc.constantFrom(...ERRORS, OwnError), text).map(([E, message]) => new E(message)),
  fc.constantFrom(...ERRORS).map((E) => new E()),
  fc.integer().map((x) => new Point(x)),
);

const PLAIN = { writable: true, enumerable: true, configurable: true };

/** @param {fc.Arbitrary<any>} child */
const plain = (child) =>
  fc.array(fc.tuple(key, child), { maxLength: 6 }).map((pairs) => {
    const object = {};
    for (const [name, value] of pairs) {
      if (name !== '__proto__') object[name] = value;
      else Object.defineProperty(object, name, { value, ...PLAIN });
    }
    return object;
  });

/** @param {fc.Arbitrary<any>} child */
const containers = (child) => [
  { weight: 4, arbitrary: plain(child) },
  { weight: 3, arbitrary: fc.array(child, { maxLength: 20 }) },
];

/** @param {fc.Arbitrary<any>} child */
const cloneContainers = (child) => [
  ...containers(child),
  { weight: 1, arbitrary: fc.array(fc.tuple(child, child), { maxLength: 4 }).map((pairs) => new Map(pairs)) },
  { weight: 1, arbitrary: fc.array(child, { maxLength: 4 }).map((values) => new Set(values)) },
  { weight: 1, arbitrary: plain(child).map((object) => Object.assign(Object.create(null), object)) },
  {
    weight: 1,
    arbitrary: fc.array(child, { maxLength: 5 }).map((values) => {
      // Holes, a length beyond the last element, named properties.
      const array = [];
      values.forEach((value, i) => (array[i * i * 3 + 1] = value));
      if (values.length % 2 === 0) array.length += 3;
      if (values.length % 3 === 0) array.extra = values.length;
      return array;
    }),
  },
  { weight: 1, arbitrary: child.map((cause) => new RangeError('with cause', { cause })) },
  {
    weight: 1,
    arbitrary: child.map((value) => ({
      get computed() {
        return value;
      },
    })),
  },
];

/**
 * @param {fc.Arbitrary<any>} leaf
 * @param {(child: fc.Arbitrary<any>) => any[]} of
 */
function tree(leaf, of) {
  return fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      { weight: 3, arbitrary: leaf },
      ...of(tie('value')),
    ),
  })).value;
}

/** Returns the objects in a value that other objects can be put into. */
function openObjects(value, found = new Set()) {
  if (typeof value !== 'object' || value === null || found.has(value)) return found;
  if (Object.isFrozen(value) || ArrayBuffer.isView(value)) return found;
  const isOpen =
    Array.isArray(value) ||
    value instanceof Map ||
    value instanceof Set ||
    [Object.prototype, null].includes(Object.getPrototypeOf(value));
  if (!isOpen) return found;
  found.add(value);
  const children =
    value instanceof Map ? [...value].flat() : value instanceof Set ? [...value] : Object.values(value);
  for (const child of children) openObjects(child, found);
  return found;
}

/** Inserts objects of a value into others of it, which makes shared references and cycles. */
function link(value, links) {
  const objects = [...openObjects(value)];
  if (objects.length === 0) return value;
  for (const [from, to] of links) {
    const target = objects[from % objects.length];
    const other = objects[to % objects.length];
    if (Array.isArray(target)) target.push(other);
    else if (target instanceof Map) target.set(other, target);
    else if (target instanceof Set) target.add(other);
    else target[`link${to % 4}`] = other;
  }
  return value;
}

/** Values that structured clone supports. */
const cloneable = fc
  .tuple(
    tree(fc.oneof({ weight: 5, arbitrary: primitive }, { weight: 1, arbitrary: special }), cloneContainers),
    fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 3 }) },
    ),
  )
  .map(([value, links]) => link(value, links));

/** Values as passed to JSON.stringify, including those it omits, converts and calls. */
const jsonable = tree(
  fc.oneof(
    { weight: 6, arbitrary: jsonLeaf },
    { weight: 1, arbitrary: fc.constantFrom(undefined, Symbol('s'), () => 1) },
    { weight: 1, arbitrary: fc.date({ noInvalidDate: false }) },
    { weight: 1, arbitrary: jsonLeaf.filter((v) => v !== null).map((v) => Object(v)) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(new Map([[1, 2]]), new Set([1]), /x/, new Point(3), new Error('e')),
    },
    {
      weight: 1,
      arbitrary: view.filter((v) => !(v instanceof BigInt64Array) && !(v instanceof BigUint64Array)),
    },
  ),
  (child) => [
    ...containers(child),
    { weight: 1, arbitrary: child.map((value) => ({ toJSON: (name) => [name, value] })) },
    {
      weight: 1,
      arbitrary: child.map((value) => ({
        get got() {
          return value;
        },
      })),
    },
    {
      weight: 1,
      arbitrary: fc.array(child, { maxLength: 3 }).map((values) => Object.assign([...values], { named: 1 })),
    },
  ],
);

module.exports.cloneable = cloneable;
module.exports.jsonable = jsonable;
module.exports.Point = Point;
module.exports.VIEWS = VIEWS;
