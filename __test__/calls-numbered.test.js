'use strict';

const { test } = require('node:test');
const assert = require('node:assert');
const fc = require('fast-check');

const { Numbered } = require('../lib/link/numbered');

test('values are retrieved by number as from a Map, regardless of the order of insertion and removal', () => {
  const number = fc.oneof(fc.integer({ min: 0, max: 1200 }), fc.integer());
  const step = fc.tuple(fc.constantFrom('set', 'take', 'get'), number);
  fc.assert(
    fc.property(fc.array(step, { maxLength: 800 }), (steps) => {
      const numbered = new Numbered();
      const map = new Map();
      for (const [action, key] of steps) {
        if (action === 'set') {
          numbered.set(key, { key });
          map.set(key, { key });
        } else {
          assert.deepStrictEqual(numbered[action](key), map.get(key));
          if (action === 'take') map.delete(key);
        }
        assert.strictEqual(numbered.size, map.size);
      }
      const left = numbered.takeAll().map(({ key }) => key);
      assert.deepStrictEqual(new Set(left), new Set(map.keys()));
      assert.deepStrictEqual([numbered.size, numbered.takeAll()], [0, []]);
    }),
    { numRuns: 300 },
  );
});

test('long-lived entries survive many short-lived ones, and iteration follows insertion order', () => {
  const numbered = new Numbered();
  const last = 2 ** 31 - 1;
  const from = last - 5000;
  for (let i = from; i <= last; i++) {
    numbered.set(i, i);
    if (i > from + 2 && i < last) assert.strictEqual(numbered.take(i), i);
  }
  // Numbers continue below zero.
  numbered.set((last + 1) | 0, 'wrapped');
  assert.deepStrictEqual(numbered.takeAll(), [from, from + 1, from + 2, last, 'wrapped']);
});
