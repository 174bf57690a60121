'use strict';

/* Records that are too large for the ring of a lane between processes: passed in its store. */

const assert = require('node:assert/strict');
const test = require('node:test');

const { loadAddon } = require('../lib/core/addon');
const { AdvancedEncoder } = require('../lib/link/advanced-encoder');
const { JsonEncoder } = require('../lib/link/json-encoder');
const { LaneReceiver } = require('../lib/link/lane-receiver');
const { LaneSender } = require('../lib/link/lane-sender');
const { Kind, STORE_BLOCKS } = require('../lib/link/layout');
const { Spill } = require('../lib/link/spill');
const { makeLane } = require('./support/lane');

const addon = loadAddon();
const WATCHDOG = { timeout: 60_000 };
const KIB = 1024;
const MIB = KIB * KIB;
const CORRUPT = { code: 'ERR_MANYCORE_LINK_CORRUPT' };

/** Both ends of a real lane with a spill and a store, in this thread. */
function pair({ ring = 64 * KIB, store = 16 * MIB, encoder = new AdvancedEncoder() } = {}) {
  const link = new addon.ThreadLink(ring, store);
  const native = addon.ThreadLink.attach(link.id).takeReceiver();
  const end = link.takeSender();
  const spill = new Spill();
  return {
    sender: new LaneSender(end, encoder, spill),
    receiver: new LaneReceiver(native),
    native,
    end,
    spill,
  };
}

/** Reads the next value, while the sender moves what waits for room. */
function receive({ sender, receiver }, isInPlace = false) {
  receiver.lendsLarge = isInPlace;
  for (let turns = 0; !receiver.next(); turns++) {
    assert.ok(turns < 10_000, 'nothing arrives');
    receiver.release();
    sender.flush();
  }
  const { value } = receiver;
  receiver.value = undefined;
  if (!isInPlace) receiver.release();
  return value;
}

const filled = (length, fill) => new Uint8Array(length).fill(fill);
const isFilled = (bytes, fill) => Buffer.from(bytes).equals(Buffer.alloc(bytes.byteLength, fill));

/** Large values of different kinds. */
const VALUES = {
  bytes: () => filled(3 * MIB, 7),
  'bytes among others': () => ({
    id: 1,
    bytes: filled(MIB, 8),
    name: 'x'.repeat(100),
    more: filled(MIB, 9),
    end: [2],
  }),
  text: () => 'abcdefgh'.repeat(MIB / 4),
  'wide text': () => ({ text: '\u0416b'.repeat(MIB / 4) }),
  'many parts': () =>
    Array.from({ length: 30_000 }, (_, i) => ({ i, text: `number ${i}`, list: [i, null, 'x'] })),
};

for (const [name, make] of Object.entries(VALUES)) {
  test(`a large record goes into the store: ${name}`, () => {
    for (const encoder of [new AdvancedEncoder(), new JsonEncoder()]) {
      const value = make();
      const isBinary = name.startsWith('bytes');
      if (isBinary && encoder instanceof JsonEncoder) continue;
      const ends = pair({ encoder });
      for (let round = 0; round < 5; round++) {
        assert.equal(ends.sender.send({ round, value }), true);
        assert.deepEqual([ends.sender.isSpilling, ends.spill.pushed], [false, 0]);
        assert.ok(ends.sender.bufferedAmount >= 256 * KIB);
        assert.deepEqual(receive(ends), { round, value });
        assert.equal(ends.sender.bufferedAmount, 0);
      }
    }
  });
}

test('a received buffer has memory of its own', () => {
  const ends = pair();
  ends.sender.send([filled(MIB, 1)]);
  const [bytes] = receive(ends);
  assert.equal(bytes.buffer.byteLength, MIB);
  ends.sender.send([filled(MIB, 2)]);
  assert.ok(isFilled(bytes, 1));
  const moved = structuredClone(bytes, { transfer: [bytes.buffer] });
  assert.deepEqual([moved.length, bytes.length], [MIB, 0]);
  assert.ok(isFilled(receive(ends)[0], 2));
});

test('large records go through the ring where the store cannot be mapped', () => {
  const ends = pair();
  const { mapStore } = ends.end;
  ends.end.mapStore = (length) => length <= 4 * MIB && mapStore.call(ends.end, length);
  // The third record has no room in what is mapped, and the last one grows out of it.
  const sizes = [MIB, MIB, 3 * MIB, 300 * KIB, 5 * MIB];
  sizes.forEach((size, i) => assert.equal(ends.sender.send({ size, bytes: filled(size, i) }), true));
  sizes.forEach((size, i) => assert.deepEqual(receive(ends), { size, bytes: filled(size, i) }));
});

test('short records, large ones and such as have no room anywhere stay in order', () => {
  const ends = pair({ store: 4 * MIB });
  const sizes = [10, 2 * MIB, 30_000, 30_000, 30_000, MIB, 6 * MIB, 20, MIB / 2, 300 * KIB, 3 * MIB, 5, MIB];
  for (let round = 0; round < 3; round++) {
    sizes.forEach((size, i) => assert.equal(ends.sender.send({ i, bytes: filled(size, i) }), true));
    assert.ok(ends.sender.isSpilling);
    sizes.forEach((size, i) => {
      const { i: number, bytes } = receive(ends);
      assert.deepEqual([number, bytes.length], [i, size]);
      assert.ok(isFilled(bytes, i));
    });
    ends.sender.flush();
    assert.deepEqual([ends.sender.isSpilling, ends.sender.bufferedAmount, ends.spill.bytes], [false, 0, 0]);
  }
});

test('a record of half a gibibyte for which the store has no room is sent, one of two is refused', () => {
  const ends = pair({ store: MIB, ring: MIB });
  assert.throws(() => ends.sender.send(new Uint8Array(2 ** 31)), { name: 'RangeError' });
  const bytes = new Uint8Array(2 ** 29);
  bytes[bytes.length - 1] = 9;
  assert.equal(ends.sender.send({ bytes, end: 'x' }), true);
  assert.ok(ends.spill.bytes > 0);
  const received = receive(ends);
  assert.deepEqual([received.bytes.length, received.bytes.at(-1), received.end], [2 ** 29, 9, 'x']);
});

test('listeners that asked for views see the block itself, which is reused afterwards', () => {
  const ends = pair();
  const kept = [];
  for (let round = 0; round < 200; round++) {
    ends.sender.send({ round, bytes: filled(MIB, round), words: new Float64Array(MIB / 8).fill(round) });
    const value = receive(ends, true);
    assert.equal(value.round, round);
    assert.ok(isFilled(value.bytes, round & 255));
    assert.deepEqual([value.words[0], value.words[MIB / 8 - 1]], [round, round]);
    // What is being read is not reused.
    ends.sender.send(filled(MIB, 255 - (round & 255)));
    assert.ok(isFilled(value.bytes, round & 255));
    ends.receiver.endViews();
    assert.deepEqual([value.bytes.length, value.words.length], [0, 0]);
    kept.push(receive(ends, true));
    ends.receiver.endViews();
  }
  ends.receiver.release();
  assert.ok(kept.every((bytes) => bytes.length === 0));
  assert.equal(ends.sender.bufferedAmount, 0);
});

test('records leave a quarter of the store to buffers, unless there is only one', () => {
  const ends = pair({ store: 16 * MIB });
  for (let i = 0; i < 20; i++) ends.sender.send(filled(MIB, i));
  assert.ok(ends.sender.isSpilling);
  const buffer = ends.sender.allocate(4 * MIB);
  new Uint8Array(buffer).fill(99);
  ends.sender.send(new Uint8Array(buffer));
  for (let i = 0; i < 20; i++) assert.ok(isFilled(receive(ends), i));
  assert.ok(isFilled(receive(ends), 99));
  ends.sender.flush();
  ends.sender.send(filled(15 * MIB, 5));
  assert.equal(ends.sender.isSpilling, false);
  assert.equal(ends.sender.allocate(2 * MIB), undefined);
  assert.ok(isFilled(receive(ends), 5));
  assert.ok(ends.sender.allocate(16 * MIB) instanceof ArrayBuffer);
});

test('records leave a quarter of the blocks to buffers', () => {
  const ends = pair({ store: 2 * STORE_BLOCKS * MIB });
  for (let i = 0; i < STORE_BLOCKS; i++) ends.sender.send(filled(300 * KIB, i));
  assert.ok(ends.sender.isSpilling);
  const buffers = Array.from({ length: STORE_BLOCKS / 4 }, () => ends.sender.allocate(100));
  assert.ok(buffers.every((buffer) => buffer instanceof ArrayBuffer));
  assert.equal(ends.sender.allocate(100), undefined);
  for (let i = 0; i < STORE_BLOCKS; i++) assert.ok(isFilled(receive(ends), i));
});

test('a buffer of the store is passed within a record of the store', () => {
  const ends = pair();
  for (const isInPlace of [false, true]) {
    const buffer = ends.sender.allocate(MIB);
    new Uint8Array(buffer).fill(3);
    ends.sender.send([filled(MIB, 2), new Uint8Array(buffer), 'x'.repeat(MIB)]);
    assert.equal(buffer.byteLength, 0);
    const [first, second, text] = receive(ends, isInPlace);
    assert.ok(isFilled(first, 2) && isFilled(second, 3) && text === 'x'.repeat(MIB));
    ends.receiver.endViews();
    ends.receiver.release();
    assert.equal(ends.sender.bufferedAmount, 0);
  }
});

test('a record that is abandoned frees its block', () => {
  const ends = pair({ store: 4 * MIB });
  const failing = {
    bytes: filled(2 * MIB, 1),
    get fails() {
      throw new Error('no');
    },
  };
  const unsupported = { bytes: filled(2 * MIB, 2), shared: new SharedArrayBuffer(1) };
  let runs = 0;
  Object.defineProperty(unsupported, 'getter', { enumerable: true, get: () => ++runs });
  for (let round = 1; round <= 100; round++) {
    assert.throws(() => ends.sender.send(failing), /no/);
    assert.equal(ends.sender.send(unsupported), false);
    const substitute = ends.sender.substituteFor(unsupported);
    assert.equal(runs, round);
    assert.ok(isFilled(substitute.bytes, 2));
    assert.equal(ends.sender.bufferedAmount, 0);
  }
  ends.sender.send(filled(2 * MIB, 3));
  assert.equal(ends.sender.isSpilling, false);
  assert.ok(isFilled(receive(ends), 3));
});

test('a getter may send a large record, or close the end', () => {
  const ends = pair();
  const value = {
    bytes: filled(MIB, 1),
    get inner() {
      ends.sender.send(['inner', filled(MIB, 2)]);
      return 3;
    },
    more: filled(MIB, 4),
  };
  assert.equal(ends.sender.send(value), true);
  const [name, bytes] = receive(ends);
  assert.ok(name === 'inner' && isFilled(bytes, 2));
  const outer = receive(ends);
  assert.ok(isFilled(outer.bytes, 1) && outer.inner === 3 && isFilled(outer.more, 4));
  const closing = {
    bytes: filled(MIB, 1),
    get inner() {
      return ends.sender.close();
    },
    more: filled(3 * MIB, 4),
  };
  assert.equal(ends.sender.send(closing), true);
  assert.equal(ends.sender.bufferedAmount, 0);
  assert.equal(ends.receiver.next(), false);
});

test('what was sent can be read when the sender has gone', () => {
  const ends = pair();
  ends.sender.send(filled(MIB, 1));
  ends.sender.send(['x'.repeat(2 * MIB)]);
  ends.sender.close();
  assert.ok(isFilled(receive(ends), 1));
  assert.deepEqual(receive(ends), ['x'.repeat(2 * MIB)]);
});

test('the store is full of the most blocks there can be', () => {
  const ends = pair({ store: 2 * STORE_BLOCKS * MIB, ring: 16 * KIB });
  for (let i = 0; i < STORE_BLOCKS + 3; i++) ends.sender.send(filled(300 * KIB, i));
  for (let i = 0; i < STORE_BLOCKS + 3; i++) assert.ok(isFilled(receive(ends), i));
});

test('the sender learns when records have been received', () => {
  const ends = pair();
  ends.sender.send(filled(MIB, 1));
  const isEnough = () => ends.sender.storedBytes === 0;
  assert.equal(ends.sender.waitForReturn(isEnough), true);
  receive(ends);
  assert.equal(ends.sender.waitForReturn(isEnough), false);
});

test('unused memory is returned to the system', WATCHDOG, async () => {
  const ends = pair();
  ends.sender.send(filled(2 * MIB, 6));
  receive(ends);
  const bytes = new Uint8Array(2 * MIB);
  const look = () => (ends.native.copyFromStore(0, bytes), bytes[MIB]);
  assert.equal(look(), 6);
  while (look() !== 0) await new Promise((resolve) => setTimeout(resolve, 50));
  ends.sender.send(filled(2 * MIB, 7));
  assert.ok(isFilled(receive(ends), 7));
});

/**
 * Reads a lane whose ring has a reference to the store, where this record is.
 * @param {[block: number, at: number, length: number]} place
 * @param {Uint8Array} record
 */
function read([block, at, length], record, referenceBytes = 24) {
  const { lane, receiver } = makeLane(16 * KIB);
  lane.ring.set(new Uint8Array(new Uint32Array([referenceBytes, Kind.STORED, 0, block, at, length]).buffer));
  lane.words[0] = referenceBytes;
  lane.store.set(record, 64 * KIB);
  const end = new LaneReceiver(receiver);
  if (!end.next()) return undefined;
  return [end.kind, end.value, lane.words[224 + block]];
}

/** A record with this payload. */
function recordOf(kind, payload, length = (12 + payload.length + 7) & ~7) {
  const bytes = new Uint8Array((12 + payload.length + 7) & ~7);
  new DataView(bytes.buffer).setUint32(0, length, true);
  bytes[4] = kind;
  bytes.set(payload, 12);
  return bytes;
}

test('a reference to anything but a record in the store is corrupt', () => {
  const record = recordOf(Kind.VALUE, [1]);
  const place = 64 * KIB;
  assert.deepEqual(read([5, place, 16], record), [Kind.VALUE, 1, 1]);
  for (const where of [
    [64, place, 16],
    [0xffffffff, place, 16],
    [5, place, 0],
    [5, place, 8],
    [5, place, 24],
    [5, place + 4, 16],
    [5, place + 8, 16],
    [5, 0, 16],
    [5, MIB, 16],
    [5, MIB - 8, 16],
    [5, 0xfffffff8, 16],
    [5, place, 0xfffffff8],
    [5, 0, MIB + 8],
  ]) {
    assert.throws(() => read(where, record), CORRUPT, String(where));
  }
  assert.throws(() => read([5, place, 16], record, 16), CORRUPT);
  for (const length of [0, 8, 12, 13, 24, 0x7ffffff8, 0xfffffff8]) {
    assert.throws(() => read([5, place, 16], recordOf(Kind.VALUE, [1], length)), CORRUPT, String(length));
  }
});

test('only values and calls are in the store', () => {
  const place = 64 * KIB;
  for (let kind = 0; kind < 256; kind++) {
    // The payload of a reference to itself, and of a complete fragment.
    for (const payload of [
      [5, 0, 0, 0, 0, 0, 1, 0, 24, 0, 0, 0],
      [24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]) {
      const look = () => read([5, place, 24], recordOf(kind, payload));
      if (kind === Kind.VALUE || kind === Kind.CALL) assert.equal(look()[0], kind);
      else assert.throws(look, CORRUPT, String(kind));
    }
  }
});
