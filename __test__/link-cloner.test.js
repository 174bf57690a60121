'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const test = require('node:test');
const fc = require('fast-check');

const { Cloner } = require('../lib/link/cloner');
const { UNSUPPORTED } = require('../lib/link/unsupported');
const cases = require('./support/clone-cases');
const { difference } = require('./support/same');
const { Point, cloneable } = require('./support/values');

const RUNS = Number(process.env.MANYCORE_PROPERTY_RUNS ?? 40_000);
const WATCHDOG = { timeout: 900_000 };

/** Compares a clone with that of structuredClone. */
function check(cloner, value) {
  const copy = cloner.clone(value);
  if (copy === UNSUPPORTED) return false;
  const found = difference(copy, structuredClone(value));
  if (found) throw new Error(found);
  return true;
}

/** Like `check`, for a value whose getters have side effects: one is created for each of the two. */
function checkMade(cloner, make) {
  assert.equal(difference(cloner.clone(make()), structuredClone(make())), undefined);
}

test(`${RUNS} values are cloned as by structuredClone`, WATCHDOG, () => {
  let cloner = new Cloner();
  let done = 0;
  fc.assert(
    fc.property(
      cloneable.filter((value) => typeof value === 'object' && value !== null),
      (value) => {
        // So that both new and known names occur, and both paths are taken.
        if (done % 500 === 0) cloner = new Cloner();
        if (check(cloner, value)) done++;
      },
    ),
    { numRuns: RUNS },
  );
  assert.ok(done > RUNS * 0.9, `only ${done} of ${RUNS} were cloned`);
});

test('copies are independent, and strings of any length are cloned', () => {
  const cloner = new Cloner();
  const value = { inner: { list: [1, { deep: 'x'.repeat(1_000_000) }] } };
  for (let i = 0; i < 10; i++) {
    const copy = cloner.clone(value);
    assert.deepEqual(copy, value);
    copy.inner.list[1].deep = 'changed';
    assert.equal(value.inner.list[1].deep.length, 1_000_000);
  }
});

test('few or many cycles and shared references are preserved', () => {
  const cloner = new Cloner();
  for (const count of [1, 15, 16, 17, 40, 3000]) {
    const parts = Array.from({ length: count }, (_, i) => ({ i }));
    const value = { parts, again: [...parts], map: new Map(parts.map((part) => [part, parts])) };
    value.self = value;
    for (let i = 0; i < 7; i++) assert.ok(check(cloner, value));
  }
});

test('objects of all sizes are cloned', WATCHDOG, () => {
  const cloner = new Cloner();
  for (const value of cases.sized()) assert.ok(check(cloner, value));
  assert.ok(check(cloner, Object.assign(new Array(50_000_000), { 7: 'seven' })));
});

test('sparse arrays and property names of all lengths are cloned', WATCHDOG, () => {
  const cloner = new Cloner();
  cases.checkArrays((array) => check(cloner, array));
});

test('values nested too deeply for JavaScript are left to the platform', () => {
  const cloner = new Cloner();
  assert.ok(check(cloner, cases.nest(500)));
  assert.equal(cloner.clone(cases.nest(10_000)), UNSUPPORTED);
  assert.ok(check(cloner, { after: 1 }));
});

test('more object shapes than the cache holds are cloned correctly', WATCHDOG, () => {
  const cloner = new Cloner();
  for (let i = 0; i < 30_000; i++) {
    const value = cases.ofOwnShape(i);
    const copy = cloner.clone(value);
    if (i % 97 === 0 || i > 29_900) assert.deepEqual(copy, value);
  }
});

/*
 * Values of the same shape, so that a function is compiled for it: side effects of getters must be the same in the
 * first and in later ones.
 */
const TIMES = 12;

test('getters run once, in order, and may throw', () => {
  const cloner = new Cloner();
  for (let i = 0; i < TIMES; i++) {
    /** @type {string[]} */
    const calls = [];
    const value = {
      get a() {
        calls.push('a');
        return { z: 1 };
      },
      b: 1,
      get c() {
        calls.push('c');
        return [2];
      },
    };
    assert.deepEqual(cloner.clone(value), { a: { z: 1 }, b: 1, c: [2] });
    assert.deepEqual(calls, ['a', 'c']);
    const thrown = new Error('on purpose');
    const throwing = {
      quite: { new: 'shape' },
      get b() {
        throw thrown;
      },
    };
    assert.throws(
      () => cloner.clone(throwing),
      (error) => error === thrown,
    );
    assert.ok(check(cloner, { quite: { new: 'shape' }, b: 2 }));
  }
});

test('a value found halfway to need the platform is not read again', () => {
  for (const last of [new Uint8Array([1, 2]), /x/g, () => 1, new Proxy({}, {}), new SharedArrayBuffer(4)]) {
    const cloner = new Cloner();
    for (let i = 0; i < TIMES; i++) {
      let reads = 0;
      const shared = { i };
      const value = {
        shared,
        get first() {
          reads++;
          return shared;
        },
        more: [new Date(i), shared],
        last,
      };
      let copy = cloner.clone(value);
      const isLeft = copy === UNSUPPORTED;
      if (isLeft) copy = cloner.substituteFor(value);
      assert.equal(reads, 1);
      assert.notEqual(copy, value);
      assert.equal(copy.first, copy.shared);
      assert.equal(copy.first, copy.more[1]);
      assert.equal(copy.last === last, isLeft);
      // Nothing is left over for the next one.
      assert.equal(
        cloner.clone(() => 1),
        UNSUPPORTED,
      );
      const next = { f: () => 1 };
      assert.equal(cloner.clone(next), UNSUPPORTED);
      assert.equal(cloner.substituteFor(next), next);
    }
  }
});

test('a getter may modify the value being cloned', () => {
  const cloner = new Cloner();
  for (let i = 0; i < TIMES; i++) checkMade(cloner, cases.changing);
  checkMade(cloner, cases.growing);
  checkMade(cloner, () => [
    cases.growing(),
    {
      get self() {
        return this;
      },
    },
  ]);
});

test('values that are uncloneable or that only the platform can clone are declined', () => {
  const refused = [...cases.refused(), Object.create(Map.prototype), [Symbol('s')]];
  for (const value of refused) {
    const cloner = new Cloner();
    for (let i = 0; i < 3; i++) assert.equal(cloner.clone(value), UNSUPPORTED);
    for (let i = 0; i < 10; i++) assert.ok(check(cloner, { after: [1] }));
  }
});

test('objects that only look plain are left to the platform', () => {
  const cloner = new Cloner();
  cases.checkLookalikes((value) => check(cloner, value));
});

test('a DOMException is left to the platform where that keeps its class', () => {
  for (const value of cases.domExceptions()) {
    const cloner = new Cloner();
    const isKept = structuredClone(value) instanceof DOMException;
    for (let i = 0; i < 3; i++) assert.ok(!check(cloner, value) || !isKept);
    assert.ok(!check(cloner, { error: value }) || !isKept);
  }
});

test('values are identified by their actual type, not by overridden properties', () => {
  const cloner = new Cloner();
  const values = [...cases.disguised(), [new Point(1), new Point(2)]];
  for (const value of values) for (let i = 0; i < TIMES; i++) assert.ok(check(cloner, value));
});

test('inherited and non-enumerable properties are not copied', (t) => {
  const cloner = new Cloner();
  for (let i = 0; i < TIMES; i++) assert.ok(check(cloner, cases.withHidden()));
  Object.prototype.polluted = 'no';
  t.after(() => delete Object.prototype.polluted);
  for (let i = 0; i < TIMES; i++) assert.ok(check(cloner, [{ a: 1 }, { a: [1] }, {}]));
});

test('property names such as __proto__ are treated like any others', (t) => {
  cases.setTrap(t);
  const cloner = new Cloner();
  for (let i = 0; i < TIMES; i++) {
    const value = JSON.parse('{"__proto__": {"polluted": 1}, "constructor": {"prototype": 1}, "valueOf": 1}');
    assert.ok(check(cloner, value));
    assert.equal({}.polluted, undefined);
    assert.ok(check(cloner, cases.overTrap({ i })));
    assert.ok(check(cloner, { 1: 'one', name: 2, 0: [undefined, null, 1n] }));
  }
});

test('works without code generation from strings', WATCHDOG, () => {
  const program = `
    const { Cloner } = require(${JSON.stringify(require.resolve('../lib/link/cloner'))});
    const cloner = new Cloner();
    for (let i = 0; i < ${TIMES}; i++) console.log(JSON.stringify(cloner.clone({ i, list: [{ i }] })));`;
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--disallow-code-generation-from-strings', '-e', program],
    { encoding: 'utf8', timeout: 60_000 },
  );
  const expected = Array.from({ length: TIMES }, (_, i) => `${JSON.stringify({ i, list: [{ i }] })}\n`);
  assert.equal(stdout, expected.join(''), stderr);
});
