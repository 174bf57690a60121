'use strict';

/* Whatever a peer writes into a lane results in a typed error or a value, and nothing else. */

const assert = require('node:assert/strict');
const test = require('node:test');
const fc = require('fast-check');

const { AdvancedEncoder } = require('../lib/link/advanced-encoder');
const { LaneReceiver } = require('../lib/link/lane-receiver');
const { LaneSender } = require('../lib/link/lane-sender');
const { TAIL, Kind } = require('../lib/link/layout');
const { Spill } = require('../lib/link/spill');
const { Codec } = require('./support/codec');
const { makeLane } = require('./support/lane');
const { cloneable } = require('./support/values');

const RUNS = Number(process.env.MANYCORE_FUZZ_RUNS ?? 30_000);
const WATCHDOG = { timeout: 900_000 };
const CAPACITY = 16 * 1024;
const PROTOTYPES = [Object, Array, Map, Set, Date, RegExp, Error, Function].map((C) => C.prototype);

/** Properties of built-in prototypes that a decoder could have changed. */
const snapshot = () => PROTOTYPES.map((prototype) => Reflect.ownKeys(prototype).length).join();

/**
 * Reads a lane whose ring starts with `bytes`, of which `head` are published. Returns the outcome.
 * @param {Uint8Array} bytes
 * @param {number} [head]
 * @param {boolean} [isForeign] whether another process is the producer
 */
function read(bytes, head = bytes.length, isForeign = false) {
  const { lane, receiver } = makeLane(CAPACITY);
  Object.assign(receiver, { isForeign });
  lane.ring.set(bytes.subarray(0, CAPACITY));
  lane.words[0] = head;
  const end = new LaneReceiver(receiver);
  let values = 0;
  try {
    // Each record takes at least 16 bytes.
    for (; values <= CAPACITY; values++) if (!end.next()) return { values, isCorrupt: false };
  } catch (error) {
    assert.equal(error.code, 'ERR_MANYCORE_LINK_CORRUPT', error.stack);
    assert.ok(lane.isClosed);
    assert.equal(end.next(), false);
    return { values, isCorrupt: true };
  }
  return assert.fail('the reader did not terminate');
}

test('random bytes are read without failure', WATCHDOG, () => {
  const before = snapshot();
  let corrupt = 0;
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 12, maxLength: 200 }), fc.integer(), (bytes, head) => {
      if (read(bytes, head).isCorrupt) corrupt++;
    }),
    { numRuns: RUNS },
  );
  assert.ok(corrupt > RUNS / 2);
  assert.equal(snapshot(), before);
});

test('a valid header with an arbitrary payload is read without failure', WATCHDOG, () => {
  const before = snapshot();
  const record = fc
    .tuple(fc.nat(8), fc.nat(31), fc.nat(80), fc.uint8Array({ minLength: 4, maxLength: 120 }))
    .map(([kind, flags, tables, payload]) => {
      const length = (12 + payload.length + 7) & ~7;
      const bytes = new Uint8Array(length);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, length, true);
      bytes[4] = kind;
      bytes[5] = flags;
      view.setUint32(8, tables, true);
      bytes.set(payload, 12);
      return bytes;
    });
  fc.assert(
    fc.property(record, (bytes) => void read(bytes)),
    { numRuns: RUNS },
  );
  assert.equal(snapshot(), before);
});

test('what is not in the store, or more than is there, is refused', () => {
  const MIB = 1024 * 1024;
  /** A record with an array of buffers of the store. @param {[block: number, at: number, length: number][]} buffers */
  const record = (buffers) => {
    const bytes = new Uint8Array((12 + 1 + buffers.length * 10 + 7) & ~7);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, bytes.length, true);
    bytes[4] = 1;
    bytes[12] = 0xc0 | buffers.length;
    buffers.forEach(([block, at, length], i) => {
      bytes.set([0x9e, block], 13 + i * 10);
      view.setUint32(15 + i * 10, at, true);
      view.setUint32(19 + i * 10, length, true);
    });
    return read(bytes);
  };
  const isRead = { values: 1, isCorrupt: false };
  assert.deepEqual(record([[0, 0, MIB]]), isRead);
  assert.deepEqual(
    record([
      [63, 8, MIB / 2],
      [1, MIB / 2, MIB / 2],
    ]),
    isRead,
  );
  for (const buffers of [
    [[64, 0, 8]],
    [[0, 0, 0]],
    [[0, MIB, 1]],
    [[0, 0xffffffff, 0xffffffff]],
    [[0, 1, MIB]],
    Array(15).fill([0, 0, MIB / 8]),
  ]) {
    assert.deepEqual(record(buffers), { values: 0, isCorrupt: true });
  }
});

test('a valid record with modified bytes is read without failure', WATCHDOG, () => {
  const before = snapshot();
  let survived = 0;
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(cloneable, changes, (value, edits) => {
      const bytes = new Codec().encode(value);
      if (bytes === undefined || bytes.length > CAPACITY) return;
      for (const [at, byte] of edits) bytes[4 + (at % (bytes.length - 4))] = byte;
      if (!read(bytes).isCorrupt) survived++;
    }),
    { numRuns: RUNS },
  );
  assert.ok(survived > 0 && survived < RUNS);
  assert.equal(snapshot(), before);
});

test('impossible lengths and positions are reported as corrupt', () => {
  const good = new Codec().encode({ a: 1 });
  const withLength = (length) => {
    const bytes = good.slice();
    new DataView(bytes.buffer).setUint32(0, length, true);
    return bytes;
  };
  for (const length of [0, 1, 8, 11, 12, 13, good.length + 8, CAPACITY, CAPACITY + 8, 2 ** 31, 2 ** 32 - 8]) {
    assert.ok(read(withLength(length)).isCorrupt, String(length));
  }
  for (const head of [1, 8, -8, CAPACITY + 8, 2 ** 31 - 1, -(2 ** 31)]) {
    assert.ok(read(good, head).isCorrupt, String(head));
  }
  assert.deepEqual(read(good), { values: 1, isCorrupt: false });
});

/** Returns a record with this payload and no tables. */
function recordOf(payload, flags = 0) {
  const length = (12 + payload.length + 7) & ~7;
  const bytes = new Uint8Array(length);
  new DataView(bytes.buffer).setUint32(0, length, true);
  bytes[4] = 1;
  bytes[5] = flags;
  bytes.set(payload, 12);
  return bytes;
}

test('claimed sizes beyond the end of the record allocate nothing', () => {
  const before = process.memoryUsage();
  const huge = [0xff, 0xff, 0xff, 0x7f];
  const claims = [
    [0x88, ...huge],
    [0x89, ...huge],
    [0x8b, ...huge],
    [0x8d, ...huge],
    [0x8f, ...huge],
    [0x90, ...huge],
    [0x93, ...huge],
    [0x94, 2, 0, 0, 0, 0, ...huge, 0x93, 1, 0, 0, 0, 7],
    [0x92, 0, 0x88, ...huge],
    [0x87, ...huge],
    [0xcf],
  ];
  for (const claim of claims) assert.ok(read(recordOf(claim)).isCorrupt, String(claim));
  // A sparse array may be long without occupying memory.
  for (let i = 0; i < 20; i++) read(recordOf([0x8c, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]));
  const after = process.memoryUsage();
  assert.ok(after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed < 100 * 2 ** 20);
});

test('unbounded nesting is reported as corrupt and does not crash', () => {
  assert.ok(read(recordOf(new Uint8Array(CAPACITY - 100).fill(0xc1))).isCorrupt);
  // An array whose elements are the array itself: each reference refers to an existing object.
  assert.deepEqual(read(recordOf([0xc1, 0x87, 0, 0, 0, 0], 1)), { values: 1, isCorrupt: false });
});

test('hostile regular expressions and BigInt digits are rejected', () => {
  const text = (s) => [0x88, s.length, 0, 0, 0, ...Buffer.from(s)];
  assert.ok(read(recordOf([0x95, ...text('('), ...text('g')])).isCorrupt);
  assert.ok(read(recordOf([0x95, ...text('a'), ...text('gg')])).isCorrupt);
  assert.ok(read(recordOf([0x92, 0, ...text('12x')])).isCorrupt);
  assert.ok(read(recordOf([0x97, 0x80])).isCorrupt);
  assert.ok(read(recordOf([0x9d, ...text('{"a":')])).isCorrupt);
  assert.ok(read(recordOf([0x9d, 1])).isCorrupt);
  assert.ok(read(recordOf([0x96, 9, 0])).isCorrupt);
});

test('an impossible array property is rejected', () => {
  const named = (name, value) => [
    0x8c,
    2,
    0,
    0,
    0,
    1,
    0,
    0,
    0,
    0xa0 | name.length,
    ...Buffer.from(name),
    ...value,
  ];
  assert.ok(read(recordOf(named('length', [0xa1, 0x78]))).isCorrupt);
  assert.ok(read(recordOf(named('length', [0x85, 0, 0, 0, 0, 0, 0, 0xf0, 0xbf]))).isCorrupt);
  assert.deepEqual(read(recordOf(named('name', [1]))), { values: 1, isCorrupt: false });
});

test('padding without an end or a value is reported as corrupt', () => {
  assert.deepEqual(read(recordOf([0x9c, 3, 9, 9, 9, 1])), { values: 1, isCorrupt: false });
  assert.ok(read(recordOf([0x9c, 0xff, 1])).isCorrupt);
  assert.ok(read(recordOf(new Uint8Array(CAPACITY - 100).fill(0x9c))).isCorrupt);
  assert.ok(read(recordOf(Array.from({ length: 8000 }, (_, i) => (i % 2 === 0 ? 0x9c : 0)))).isCorrupt);
});

/**
 * Returns records of 16 bytes.
 * @param {number} kind
 * @param {number} last fourth word of each
 * @param {number} count
 */
function shortRecords(kind, last, count) {
  const words = new Uint32Array(count * 4);
  for (let i = 0; i < words.length; i += 4) words.set([16, kind, last, 0], i);
  return new Uint8Array(words.buffer);
}

test('what another process can send without end, and without a message, is corrupt', () => {
  const corrupt = { values: 0, isCorrupt: true };
  const most = CAPACITY / 16;
  assert.deepEqual(read(shortRecords(Kind.SKIP, 0, 2), 32, true), { values: 0, isCorrupt: false });
  assert.deepEqual(read(shortRecords(Kind.SKIP, 0, most), CAPACITY, true), corrupt);
  // Fragments of nothing, of a record of 5000 bytes.
  assert.deepEqual(read(shortRecords(Kind.FRAGMENT, 5000, most), CAPACITY, true), corrupt);
});

test('a sender does not follow a position that another process changes all the time', () => {
  /** How the position changes each time that the sender looks at it. @type {((tail: number, head: number) => number)[]} */
  const changes = [
    (tail) => tail,
    (tail) => tail ^ 8,
    (tail) => tail - 8,
    (tail) => tail + 1,
    (_, head) => head + 8,
  ];
  /** @type {((end: LaneSender) => boolean)[]} */
  const waits = [(end) => !end.flush(), (end) => end.waitForReturn(() => false)];
  for (const wait of waits) {
    for (const change of [...changes, (/** @type {number} */ tail) => tail + 8]) {
      const { lane, sender } = makeLane(CAPACITY);
      let looks = 0;
      let isHostile = false;
      const waitForRoom = () => {
        if (!isHostile) return true;
        assert.ok(++looks <= CAPACITY, 'the sender does not stop');
        lane.words[TAIL] = change(lane.words[TAIL], lane.words[0]);
        return false;
      };
      const native = /** @type {any} */ ({ ...sender, waitForRoom });
      const end = new LaneSender(native, new AdvancedEncoder(), new Spill());
      while (!end.isSpilling) end.send('x'.repeat(1000));
      isHostile = true;
      const isWaiting = wait(end);
      // A consumer that reads on is followed to the end of what there is.
      const isHonest = !changes.includes(change);
      assert.equal(end.isCorrupt, !isHonest || wait !== waits[0], `${change}`);
      assert.equal(isWaiting, end.isCorrupt);
    }
  }
});
