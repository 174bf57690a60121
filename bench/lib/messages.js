'use strict';

/** Messages of the messaging benchmarks: how each is created, and how many may be outstanding. */

const WORDS = 'lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod'.split(' ');
/** 907 bytes as JSON, depending on the digits of the id. */
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
const SHORT_TEXT = 'abcdefgh'.repeat(128);
const BYTES = new Uint8Array(1024 * 1024).fill(9);
const MAP = new Map(Object.entries({ a: 1, b: { x: 1 }, c: new Date(5) }));

const small = (i) => ({ id: i, op: 'get', v: [1, 2, 3] });

/**
 * @typedef {object} Scenario
 * @property {(i: number, allocate: (byteLength: number) => ArrayBuffer) => any} make
 * @property {number} chunk number of messages acknowledged together
 * @property {number} window number of outstanding chunks
 * @property {'low' | 'balanced' | 'frugal'} [latency] latency setting of links, if supported
 * @property {boolean} [views] whether large buffers are received as views, if supported
 */

/** @type {Record<string, Scenario>} */
const SCENARIOS = {
  small: { make: small, chunk: 1000, window: 8 },
  object: { make: (i) => ((OBJECT.id = i), OBJECT), chunk: 250, window: 8 },
  text: { make: () => TEXT, chunk: 4, window: 8 },
  'short-text': { make: () => SHORT_TEXT, chunk: 250, window: 8 },
  map: { make: () => MAP, chunk: 250, window: 8 },
  binary: { make: () => BYTES, chunk: 1, window: 4 },
  'binary-view': { make: () => BYTES, chunk: 1, window: 4, views: true },
  'binary-filled': {
    make: (i, allocate) => new Uint8Array(allocate(BYTES.length)).fill(i),
    chunk: 1,
    window: 4,
    views: true,
  },
  'round-trip': { make: small, chunk: 1, window: 1 },
  'round-trip-frugal': { make: small, chunk: 1, window: 1, latency: 'frugal' },
  'round-trip-low': { make: small, chunk: 1, window: 1, latency: 'low' },
  outstanding: { make: small, chunk: 1, window: 32 },
};

/** Message sizes of the curve, in bytes. */
const SIZES = [16, 128, 1024, 8192, 65_536, 524_288, 4_194_304, 67_108_864];
/** Outstanding bytes; at least two messages. */
const ON_THE_WAY_BYTES = 2 ** 20;
const CURVE_WINDOW = 4;
/** Maximum number of messages acknowledged together. */
const LONGEST_CHUNK = 1000;

for (const size of SIZES) {
  const bytes = new Uint8Array(size).fill(9);
  const each = Math.floor(ON_THE_WAY_BYTES / CURVE_WINDOW / size);
  const chunk = Math.max(1, Math.min(LONGEST_CHUNK, each));
  const window = each > 0 ? CURVE_WINDOW : 2;
  SCENARIOS[`bytes-${size}`] = { make: () => bytes, chunk, window };
}

/** Message sizes of the curve of strings, in characters. */
const TEXT_SIZES = [16, 128, 1024, 8192, 65_536, 524_288, 4_194_304];
for (const size of TEXT_SIZES) {
  const { chunk, window } = SCENARIOS[`bytes-${size}`];
  const text = 'abcdefgh'.repeat(size / 8);
  SCENARIOS[`text-${size}`] = { make: () => text, chunk, window };
}

/** A program's own buffer, which it uses for all messages, as each is copied. */
const ownBuffer = () => BYTES.buffer;

const PACE_US = 100;

/**
 * Sends small messages, one every 100 us, sleeping in between.
 * @param {number} count
 * @param {(message: any) => void} send
 */
function sendSpaced(count, send) {
  const never = new Int32Array(new SharedArrayBuffer(4));
  const start = process.hrtime.bigint();
  for (let i = 0; i < count; i++) {
    send(small(i));
    const dueUs = (i + 1) * PACE_US - Number(process.hrtime.bigint() - start) / 1000;
    if (dueUs > 0) Atomics.wait(never, 0, 0, dueUs / 1000);
  }
}

/**
 * Sends `count` messages in chunks, each of which the other side acknowledges with a message. Resolves to their number.
 * @param {import('node:events').EventEmitter} worker
 * @param {(message: any) => void} send
 * @param {{ make: (i: number, allocate: (byteLength: number) => ArrayBuffer) => any, chunk: number, window: number }} scenario
 * @param {number} count
 * @param {(byteLength: number) => ArrayBuffer} allocate
 */
function sendInChunks(worker, send, { make, chunk, window }, count, allocate) {
  return new Promise((resolve) => {
    const chunks = Math.ceil(count / chunk);
    let sent = 0;
    let acknowledged = 0;
    const sendChunk = () => {
      const first = sent++ * chunk;
      for (let i = first; i < first + chunk; i++) send(make(i, allocate));
    };
    worker.on('message', function acknowledge() {
      acknowledged++;
      if (sent < chunks) sendChunk();
      if (acknowledged < chunks) return;
      worker.off('message', acknowledge);
      resolve(chunks * chunk);
    });
    while (sent < Math.min(window, chunks)) sendChunk();
  });
}

module.exports = { SCENARIOS, SIZES, TEXT_SIZES, ownBuffer, sendInChunks, sendSpaced };
