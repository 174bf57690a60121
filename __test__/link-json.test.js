'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const fc = require('fast-check');

const { JsonEncoder } = require('../lib/link/json-encoder');
const { Codec } = require('./support/codec');
const { difference } = require('./support/same');
const { jsonable } = require('./support/values');

const RUNS = Number(process.env.MANYCORE_PROPERTY_RUNS ?? 100_000);
const WATCHDOG = { timeout: 900_000 };

/** @param {any} value */
function viaJson(value) {
  const text = JSON.stringify(value);
  return text === undefined ? undefined : { value: JSON.parse(text) };
}

/** Compares one value with its round trip through JSON; returns false if it was refused. */
function check(codec, value) {
  const copy = codec.copy(value);
  const expected = viaJson(value);
  if (copy === undefined) return expected === undefined;
  const found = difference(copy.value, expected.value);
  if (found) throw new Error(found);
  return true;
}

test(`${RUNS} values arrive as if they had been sent as JSON`, WATCHDOG, () => {
  let codec = new Codec(new JsonEncoder());
  let runs = 0;
  fc.assert(
    fc.property(jsonable, (value) => {
      if (runs++ % 5000 === 0) codec = new Codec(new JsonEncoder());
      assert.ok(check(codec, value));
    }),
    { numRuns: RUNS },
  );
  assert.ok(runs >= RUNS);
});

test('values that JSON drops, converts and keeps are treated alike', () => {
  const codec = new Codec(new JsonEncoder());
  const values = [
    -0,
    NaN,
    Object.assign([undefined, () => 1, Symbol('s'), -0, Infinity], { length: 8 }),
    { a: undefined, b: () => 1, [Symbol('s')]: 1, c: null },
    new Date(5),
    new Date(NaN),
    [Object(1), Object('s'), Object(false), Object(Symbol('s'))],
    Object.assign(Object(1), { valueOf: () => 7 }),
    Object.assign(Object('s'), { toString: () => 'other' }),
    { a: [Object.setPrototypeOf(Object('\u20ac1'), Object.prototype)], b: '\u20ac, after it' },
    { a: Object.setPrototypeOf(Object(1), Object.prototype), b: Object.assign(Object(2), { c: 3 }) },
    Object.setPrototypeOf(Object(true), null),
    Buffer.from('bytes'),
    new Uint8Array([1, 2]),
    new Map([[1, 2]]),
    /x/,
    new Error('e'),
    { toJSON: (key) => `top ${key}` },
    { a: { toJSON: (key) => ({ key }) }, b: [{ toJSON: (key) => ({ key }) }] },
    { toJSON: 'not a function' },
    { a: { toJSON: () => undefined } },
    Object.assign(() => 1, { toJSON: () => 'from a function' }),
    Object.assign([1, 2], { named: 3 }),
    Object.create({ inherited: 1 }, { own: { value: 2, enumerable: true }, hidden: { value: 3 } }),
    JSON.parse('{"__proto__": {"a": 1}}'),
    '\ud800 lone',
    new Proxy({ a: 1, b: [2] }, {}),
    new Proxy([1, { a: 2 }], {}),
    Array.from({ length: 5000 }, (_, i) => ({ [`k${i}`]: i })),
    new URL('http://a.example/'),
  ];
  for (const value of values) assert.ok(check(codec, value));
});

test('values that JSON rejects are left to JSON', () => {
  const codec = new Codec(new JsonEncoder());
  const cycle = { a: [] };
  cycle.a.push(cycle);
  for (const value of [cycle, undefined, () => 1, Symbol('s')]) assert.equal(codec.copy(value), undefined);
  for (const value of [1n, { a: [Object(1n)] }]) {
    const expected = { name: 'TypeError', message: 'Do not know how to serialize a BigInt' };
    assert.throws(() => JSON.stringify(value), expected);
    assert.throws(() => codec.copy(value), expected);
  }
  const thrown = new Error('on purpose');
  const throwing = {
    toJSON() {
      throw thrown;
    },
  };
  assert.throws(
    () => codec.copy({ new: { shape: 1 }, throwing }),
    (error) => error === thrown,
  );
  assert.ok(check(codec, { new: { shape: 1 } }));
});

test('an array that no string of JSON could hold is rejected at once', () => {
  const codec = new Codec(new JsonEncoder());
  for (const length of [2 ** 32 - 1, 120_000_000]) {
    const long = Object.assign([], { [length - 1]: 1 });
    for (const value of [long, { a: [long] }]) {
      assert.throws(() => codec.copy(value), { name: 'RangeError', message: 'Invalid string length' });
    }
  }
  assert.throws(() => codec.copy(new Proxy(new Array(2 ** 32 - 1), {})), RangeError);
  assert.ok(check(codec, { after: [1] }));
});

test('a proxy sees only the traps that JSON.stringify triggers', () => {
  const traps = ['ownKeys', 'getOwnPropertyDescriptor', 'get', 'has', 'getPrototypeOf', 'isExtensible'];
  const traced = (calls) => {
    const handler = Object.fromEntries(
      traps.map((trap) => [
        trap,
        (target, ...details) => {
          calls.push([trap, String(details[0])]);
          return Reflect[trap](target, ...details);
        },
      ]),
    );
    return { object: new Proxy({ a: 1, b: 'c' }, handler), list: new Proxy([1, { d: 2 }], handler) };
  };
  const calls = [];
  const expected = [];
  const { value } = new Codec(new JsonEncoder()).copy(traced(calls));
  assert.deepEqual(value, JSON.parse(JSON.stringify(traced(expected))));
  assert.deepEqual(calls, expected);
});

test(
  'raw JSON is preserved when there are too many object shapes',
  { skip: JSON.rawJSON === undefined },
  () => {
    const codec = new Codec(new JsonEncoder());
    const { shapes } = codec.encoder;
    Object.defineProperty(shapes, 'isFull', { value: true });
    assert.deepEqual(codec.copy({ a: JSON.rawJSON('1'), b: { c: 2 } }).value, { a: 1, b: { c: 2 } });
  },
);

test('wrappers are replaced by their primitives when there are too many object shapes', () => {
  const codec = new Codec(new JsonEncoder());
  Object.defineProperty(codec.encoder.shapes, 'isFull', { value: true });
  const plain = Object.setPrototypeOf(Object('s'), Object.prototype);
  assert.ok(check(codec, { a: Object(1), b: [Object('s'), Object(Symbol('s'))], plain }));
});

test('deeply nested values and raw JSON are read once', () => {
  const codec = new Codec(new JsonEncoder());
  if (JSON.rawJSON) assert.deepEqual(codec.copy({ a: [JSON.rawJSON('1')], b: 2 }).value, { a: [1], b: 2 });
  let runs = 0;
  let deep = {
    get value() {
      return ++runs;
    },
    dropped: undefined,
    date: new Date(5),
  };
  for (let i = 0; i < 2000; i++) deep = { deep, after: i };
  let { value } = codec.copy([deep, 'end']);
  assert.equal(value[1], 'end');
  for (value = value[0]; value.deep !== undefined; value = value.deep) {
    assert.equal(typeof value.after, 'number');
  }
  assert.deepEqual(value, { value: 1, date: '1970-01-01T00:00:00.005Z' });
  assert.equal(runs, 1);
});

test('getters and toJSON run once', () => {
  const codec = new Codec(new JsonEncoder());
  const calls = [];
  const value = {
    get a() {
      calls.push('a');
      return { text: 'x'.repeat(2000), toJSON: () => (calls.push('toJSON'), 'y'.repeat(2000)) };
    },
    list: [{ toJSON: (key) => calls.push(key) }],
  };
  assert.equal(codec.copy(value).value.a.length, 2000);
  assert.deepEqual(calls, ['a', 'toJSON', '0']);
});
