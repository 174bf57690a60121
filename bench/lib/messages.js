'use strict';

/** The messages of the messaging benchmarks: how each is made, and how many may be on the way at a time. */

const WORDS = 'lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod'.split(' ');
/** 907 bytes as JSON, give or take the digits of the id. */
const OBJECT = {
  id: 12345,
  type: 'update',
  user: { name: 'Alice Example', email: 'alice@example.com', age: 33, active: true },
  tags: WORDS.slice(0, 8),
  items: Array.from({ length: 10 }, (_, i) => ({
    sku: `sku-${i}`,
    qty: i * 3,
    price: i * 1.25 + 0.99,
    note: `${WORDS[i]} ${WORDS[i + 1]}`,
  })),
  ts: 1_700_000_000_123,
  meta: { a: null, b: 1.5, c: 'x'.repeat(60) },
};
const TEXT = 'abcdefgh'.repeat(8192);
const BYTES = new Uint8Array(1024 * 1024).fill(9);

const small = (i) => ({ id: i, op: 'get', v: [1, 2, 3] });

/** @type {Record<string, { make: (i: number) => any, chunk: number, window: number }>} */
const SCENARIOS = {
  small: { make: small, chunk: 1000, window: 8 },
  object: { make: (i) => ((OBJECT.id = i), OBJECT), chunk: 250, window: 8 },
  text: { make: () => TEXT, chunk: 4, window: 8 },
  binary: { make: () => BYTES, chunk: 1, window: 4 },
  'round-trip': { make: small, chunk: 1, window: 1 },
  outstanding: { make: small, chunk: 1, window: 32 },
};

module.exports = { SCENARIOS };
