'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const v8 = require('node:v8');
const fc = require('fast-check');

const cases = require('./support/clone-cases');
const { Codec } = require('./support/codec');
const { difference } = require('./support/same');
const { Point, cloneable } = require('./support/values');

const RUNS = Number(process.env.MANYCORE_PROPERTY_RUNS ?? 60_000);
const WATCHDOG = { timeout: 900_000 };

/** Compares one value with its structured clone. */
function check(codec, value) {
  const copy = codec.copy(value);
  if (copy === undefined) return false;
  const found = difference(copy.value, structuredClone(value));
  if (found) throw new Error(found);
  return true;
}

test(`${RUNS} values are cloned as by structuredClone`, WATCHDOG, () => {
  let codec = new Codec();
  let carried = 0;
  fc.assert(
    fc.property(cloneable, (value) => {
      // The shape table fills up with thousands of random names, so it is replaced from time to time.
      if (carried % 5000 === 0) codec = new Codec();
      if (check(codec, value)) carried++;
    }),
    { numRuns: RUNS },
  );
  assert.ok(carried > RUNS * 0.9, `only ${carried} of ${RUNS} were carried`);
});

test('values are cloned as by v8.serialize', WATCHDOG, () => {
  const codec = new Codec();
  // Views are sent without the other bytes of their buffers, so they are excluded.
  const withoutViews = cloneable.filter((value) => !hasView(value));
  fc.assert(
    fc.property(withoutViews, (value) => {
      const copy = codec.copy(value);
      if (copy === undefined) return;
      const found = difference(copy.value, v8.deserialize(v8.serialize(value)));
      if (found) throw new Error(found);
    }),
    { numRuns: Math.ceil(RUNS / 10) },
  );
});

/** @param {any} value */
function hasView(value, seen = new Set()) {
  if (typeof value !== 'object' || value === null || seen.has(value)) return false;
  seen.add(value);
  if (ArrayBuffer.isView(value)) return true;
  const children =
    value instanceof Map ? [...value].flat() : value instanceof Set ? [...value] : Object.values(value);
  if (value.cause !== undefined) children.push(value.cause);
  return children.some((child) => hasView(child, seen));
}

test('objects of all sizes are cloned', WATCHDOG, () => {
  const codec = new Codec();
  for (const value of cases.sized()) assert.ok(check(codec, value));
  assert.ok(check(codec, 'x'.repeat(1_000_000)));
  assert.ok(check(codec, '字'.repeat(1_000_000)));
});

/** Strings of a length, in each representation of V8. @param {number} length */
function textsOf(length) {
  const ascii = 'abcdefg!'.repeat(length / 8);
  const latin = 'abcdéfg\xff'.repeat(length / 8);
  const wide = `${ascii.slice(1)}字`;
  const narrow = [ascii, latin, `${ascii.slice(8)}\0\x7f\x80éèê\xfe\xff`];
  // A substring of a string with wide characters has two bytes per character as well.
  narrow.push(`字${latin}`.slice(1));
  return {
    narrow,
    wide: [wide, `字${latin.slice(1)}`, `${latin.slice(1)}\u0100`, `${latin.slice(1)}\udc00`],
  };
}

test('long strings take one byte per character if no character needs two', () => {
  const codec = new Codec();
  for (const length of [2056, 65_536]) {
    const { narrow, wide } = textsOf(length);
    for (const text of [...narrow, ...wide]) assert.ok(check(codec, { text, list: [text, `${text}+`] }));
    for (const text of narrow) assert.ok(codec.encode(text).length < length + 100, 'over one byte each');
    for (const text of wide) assert.ok(codec.encode(text).length >= length * 2, 'under two bytes each');
  }
});

test('RegExp.input does not retain a long string', () => {
  const codec = new Codec();
  const text = `${'x'.repeat(5000)}字`;
  assert.equal(codec.copy(text)?.value, text);
  assert.ok(/** @type {any} */ (RegExp).input.length < 5000);
});

test('sparse arrays and property names of all lengths are cloned', WATCHDOG, () => {
  const codec = new Codec();
  cases.checkArrays((array) => check(codec, array));
});

test('a getter of a long array runs once', () => {
  const codec = new Codec();
  const array = Array.from({ length: 100 }, (_, i) => i);
  let runs = 0;
  Object.defineProperty(array, 50, { enumerable: true, get: () => ++runs });
  assert.deepEqual(codec.copy(array)?.value, Object.assign([...array], { 50: 1 }));
});

test('values nested too deeply for JavaScript are left to the platform', () => {
  const codec = new Codec();
  assert.ok(check(codec, cases.nest(500)));
  assert.equal(codec.copy(cases.nest(10_000)), undefined);
  assert.ok(check(codec, { after: 1 }));
});

test('more object shapes than there are shape numbers are cloned correctly', WATCHDOG, () => {
  const codec = new Codec();
  for (let i = 0; i < 70_000; i++) {
    const value = cases.ofOwnShape(i);
    const copy = codec.copy(value);
    if (i % 97 === 0 || i > 69_900) assert.deepEqual(copy.value, value);
  }
});

test('getters run once, in order, and may throw', () => {
  const codec = new Codec();
  /** @type {string[]} */
  const calls = [];
  const value = {
    get a() {
      calls.push('a');
      return { z: 'x'.repeat(3000) };
    },
    b: 1,
    get c() {
      calls.push('c');
      return new Uint8Array(2000);
    },
  };
  const copy = codec.copy(value);
  assert.deepEqual(calls, ['a', 'c']);
  assert.equal(copy.value.a.z.length, 3000);
  assert.equal(copy.value.c.length, 2000);
  const thrown = new Error('on purpose');
  const throwing = {
    quite: { new: 'shape' },
    get b() {
      throw thrown;
    },
  };
  assert.throws(
    () => codec.copy(throwing),
    (error) => error === thrown,
  );
  // Shapes defined by the failed one are available to the next.
  assert.ok(check(codec, { quite: { new: 'shape' } }));
  assert.ok(check(codec, { quite: { new: 'shape' }, b: 2 }));
});

test('a getter may modify the value being cloned', () => {
  const codec = new Codec();
  for (const make of [cases.changing, cases.growing]) {
    assert.equal(difference(codec.copy(make()).value, structuredClone(make())), undefined);
  }
});

test('values that are uncloneable or that only the platform can clone are declined', () => {
  const codec = new Codec();
  const detached = new ArrayBuffer(8);
  const viewOfDetached = new Uint8Array(detached);
  structuredClone(detached, { transfer: [detached] });
  const refused = [
    () => 1,
    Symbol('s'),
    Object(Symbol('s')),
    ...cases.refused(),
    new WeakSet(),
    new WeakRef({}),
    (function* generate() {})(),
    new Uint8Array(new SharedArrayBuffer(8)),
    new ArrayBuffer(8, { maxByteLength: 16 }),
    new Uint8Array(new ArrayBuffer(8, { maxByteLength: 16 })),
    detached,
    viewOfDetached,
    new AbortController().signal,
  ];
  for (const value of refused) {
    assert.equal(codec.copy(value), undefined, String(Object.prototype.toString.call(value)));
    assert.ok(check(codec, { after: [1] }));
  }
});

test('objects that only look plain are left to the platform', () => {
  const codec = new Codec();
  cases.checkLookalikes((value) => check(codec, value));
});

test('a DOMException is left to the platform where that keeps its class', () => {
  for (const value of cases.domExceptions()) {
    const codec = new Codec();
    const isKept = structuredClone(value) instanceof DOMException;
    for (let i = 0; i < 3; i++) assert.ok(!check(codec, value) || !isKept);
    assert.ok(!check(codec, { error: value }) || !isKept);
  }
});

test('values are identified by their actual type, not by overridden properties', () => {
  const codec = new Codec();
  const bytes = new Uint8Array([1, 2, 3]);
  Object.defineProperty(bytes, 'length', { value: 1 });
  Object.defineProperty(bytes, 'buffer', { value: new ArrayBuffer(0) });
  for (const value of [...cases.disguised(), bytes]) {
    const copy = codec.copy(value);
    assert.equal(difference(copy.value, structuredClone(value)), undefined);
  }
});

test('inherited and non-enumerable properties are not copied', (t) => {
  const codec = new Codec();
  assert.ok(check(codec, cases.withHidden()));
  Object.prototype.polluted = 'no';
  t.after(() => delete Object.prototype.polluted);
  assert.deepEqual(Object.keys(codec.copy({ a: 1 }).value), ['a']);
  assert.ok(check(codec, [{ a: [1] }, { a: 1 }]));
});

test('instances of a user-defined class are cloned by their properties once the class is known', () => {
  const codec = new Codec();
  assert.ok(check(codec, new Point(1)));
  assert.ok(check(codec, [new Point(1), new Point(2)]));
  assert.equal(codec.refused, 0);
  class Lazy {
    constructor() {
      Object.defineProperty(this, 'value', { enumerable: true, configurable: true, get: () => 1 });
    }
  }
  // Asking would run the accessor.
  assert.equal(codec.copy(new Lazy()), undefined);
});

test('property names cannot pollute prototypes', () => {
  const codec = new Codec();
  for (let i = 0; i < 10; i++) {
    const value = JSON.parse('{"__proto__": {"polluted": 1}, "constructor": {"prototype": 1}}');
    const copy = codec.copy(value).value;
    assert.equal({}.polluted, undefined);
    assert.ok(Object.hasOwn(copy, '__proto__'));
    assert.equal(Object.getPrototypeOf(copy), Object.prototype);
  }
});

test('enumerable properties of a class prototype are not copied', () => {
  function Old(x) {
    this.x = x;
  }
  Old.prototype.method = () => 1;
  Old.prototype.kind = 'old';
  const codec = new Codec();
  assert.ok(check(codec, [new Old(1), new Old(2)]));
  assert.equal(codec.refused, 0);
});

test('a setter on Object.prototype is never invoked', (t) => {
  cases.setTrap(t);
  const codec = new Codec();
  for (let i = 0; i < 10; i++) {
    const shared = cases.overTrap(i);
    const copy = codec.copy([shared, shared]).value;
    assert.deepEqual(Object.getOwnPropertyDescriptor(copy[1], 'trap').value, i);
    assert.equal(copy[0], copy[1]);
    assert.equal(codec.copy(cases.overTrap(i)).value.trap, i);
  }
});
