'use strict';

const assert = require('node:assert/strict');
const os = require('node:os');
const test = require('node:test');

const { loadAddon } = require('../lib/core/addon');
const { Encoder } = require('../lib/link/encoder');
const { LaneReceiver } = require('../lib/link/lane-receiver');
const { LaneSender } = require('../lib/link/lane-sender');
const { BESIDE_LENGTH, LARGE_LENGTH } = require('../lib/link/tags');

const addon = loadAddon();
const MIB = 1024 * 1024;
/** Enough for three buffers of 1 GiB. */
const hasMemory = os.freemem() > 5 * 1024 * MIB;

/** Both ends of a real lane, in this thread. */
function pair() {
  const link = new addon.ThreadLink(4096);
  const other = addon.ThreadLink.attach(link.id);
  return {
    sender: new LaneSender(link.takeSender(), new Encoder(LARGE_LENGTH, BESIDE_LENGTH)),
    receiver: new LaneReceiver(other.takeReceiver()),
  };
}

/** An array with a hole. */
function holed() {
  const array = new Array(3);
  array[0] = 1;
  array[2] = 'x';
  return array;
}

function bytesOf(length, fill) {
  const bytes = new Uint8Array(length).fill(fill);
  bytes[length - 1] = fill + 1;
  return bytes;
}

test('large buffers are received as separate buffers, in their places', () => {
  const { sender, receiver } = pair();
  const large = bytesOf(MIB, 1);
  const shared = {
    large,
    words: new Uint16Array(large.buffer, 2, 8),
    small: bytesOf(10, 3),
    large2: bytesOf(LARGE_LENGTH, 5),
  };
  assert.equal(sender.send(shared), true);
  assert.ok(sender.bufferedAmount > MIB);
  large.fill(0);
  assert.equal(receiver.next(), true);
  const { value } = receiver;
  receiver.release();
  assert.equal(sender.bufferedAmount, 0);
  assert.deepEqual(value.large, bytesOf(MIB, 1));
  assert.deepEqual(value.large2, bytesOf(LARGE_LENGTH, 5));
  assert.equal(value.words.buffer, value.large.buffer);
  assert.equal(value.large.buffer.byteLength, MIB);
  // It can be transferred like any other.
  const passed = structuredClone(value.large, { transfer: [value.large.buffer] });
  assert.deepEqual([passed.length, value.large.length], [MIB, 0]);
});

/** Sends a buffer like the ones before, for which the receiver lends memory, and receives it. */
function pass({ sender, receiver }, length, fill) {
  assert.equal(sender.send(bytesOf(length, fill)), true);
  assert.equal(receiver.next(), true);
  const { value } = receiver;
  receiver.release();
  return value;
}

test('successive buffers of one length are each owned by the receiver', () => {
  const ends = pair();
  for (const length of [BESIDE_LENGTH, 65_536, MIB]) {
    const kept = [];
    for (let i = 0; i < 100; i++) {
      const bytes = pass(ends, length, i);
      assert.deepEqual([bytes.length, bytes.buffer.byteLength], [length, length]);
      kept.push(bytes);
      // Modifications of one must not be visible in the next.
      if (i % 3 === 0) structuredClone(0, { transfer: [kept.pop().buffer] });
      else if (i % 3 === 1) bytes.fill(255);
    }
    for (const bytes of kept) {
      const fill = bytes[0];
      const isWhole = Buffer.from(bytes.buffer).equals(
        fill === 255 ? Buffer.alloc(length, 255) : bytesOf(length, fill),
      );
      assert.ok(isWhole);
    }
  }
});

test('several pending buffers arrive in order, with or without lent memory for them', () => {
  const ends = pair();
  for (let i = 0; i < 10; i++) pass(ends, 65_536, i);
  for (let i = 0; i < 40; i++) assert.equal(ends.sender.send([i, bytesOf(65_536, i)]), true);
  for (let i = 0; i < 40; i++) {
    assert.equal(ends.receiver.next(), true);
    const [number, bytes] = ends.receiver.value;
    assert.deepEqual([number, bytes[0], bytes[65_535]], [i, i, i + 1]);
  }
  ends.receiver.release();
  assert.equal(ends.sender.bufferedAmount, 0);
});

test('lent memory can also be read in place', () => {
  const { sender, receiver } = pair();
  for (let i = 0; i < 5; i++) pass({ sender, receiver }, MIB, i);
  sender.send(bytesOf(MIB, 7));
  receiver.lendsLarge = true;
  assert.equal(receiver.next(), true);
  const { value } = receiver;
  assert.deepEqual([value[0], value[MIB - 1]], [7, 8]);
  receiver.endViews();
  assert.equal(value.length, 0);
});

test('closing an end reclaims the memory it has lent', () => {
  for (const closes of ['receiver', 'sender']) {
    const ends = pair();
    const kept = Array.from({ length: 5 }, (_, i) => pass(ends, 65_536, i));
    ends.sender.send(bytesOf(65_536, 9));
    ends[closes].close();
    if (closes === 'receiver') ends.sender.send(bytesOf(65_536, 10));
    kept.forEach((bytes, i) => assert.deepEqual(Buffer.from(bytes), Buffer.from(bytesOf(65_536, i))));
  }
});

test('buffers sent as views stay lent until they are reclaimed', () => {
  const { sender, receiver } = pair();
  for (let round = 1; round <= 20; round++) {
    sender.send([bytesOf(MIB, round), new DataView(bytesOf(MIB, round + 1).buffer)]);
    receiver.lendsLarge = true;
    assert.equal(receiver.next(), true);
    const [bytes, view] = receiver.value;
    assert.deepEqual([bytes[0], bytes[MIB - 1], view.getUint8(0)], [round, round + 1, round + 1]);
    receiver.endViews();
    assert.deepEqual([bytes.length, bytes.buffer.byteLength], [0, 0]);
    assert.throws(() => view.byteLength, TypeError);
  }
});

test('an abandoned record leaves no pending bytes', () => {
  const { sender, receiver } = pair();
  const failing = {
    large: bytesOf(MIB, 1),
    get fails() {
      throw new Error('no');
    },
  };
  for (let round = 0; round < 200; round++) assert.throws(() => sender.send(failing), /no/);
  assert.equal(sender.send([bytesOf(MIB, 1), new SharedArrayBuffer(1)]), false);
  assert.equal(sender.bufferedAmount, 0);
  sender.send(bytesOf(MIB, 7));
  assert.equal(receiver.next(), true);
  assert.equal(receiver.value[0], 7);
});

test('buffers beyond the pending limit are left to the platform', () => {
  const { sender, receiver } = pair();
  const large = bytesOf(16 * MIB, 1);
  for (let i = 0; i < 4; i++) assert.equal(sender.send(large), true);
  assert.equal(sender.send(large), false);
  assert.equal(sender.substituteFor(large), large);
  while (receiver.next()) assert.equal(receiver.value.length, 16 * MIB);
  assert.equal(sender.send(large), true);
  // A single one may be larger.
  assert.equal(sender.send(new Uint8Array(64 * MIB + 1)), false);
  assert.equal(receiver.next(), true);
});

test('a single buffer larger than the pending limit is also sent outside the ring', () => {
  const { sender, receiver } = pair();
  const length = 80 * MIB + 5;
  for (let round = 1; round <= 2; round++) {
    const large = bytesOf(length, round);
    large[length >> 1] = 77;
    assert.equal(sender.send({ large }), true);
    assert.equal(sender.send(bytesOf(MIB, 1)), false);
    assert.ok(sender.bufferedAmount >= length);
    assert.equal(receiver.next(), true);
    const { value } = receiver;
    assert.equal(value.large.length, length);
    assert.equal(Buffer.compare(value.large, large), 0);
    receiver.release();
    assert.equal(sender.bufferedAmount, 0);
  }
});

test(
  'a buffer of 1 GiB is sent outside the ring, a longer one by the platform',
  { skip: !hasMemory, timeout: 120_000 },
  () => {
    const { sender, receiver } = pair();
    const large = new Uint8Array(2 ** 30);
    for (let at = 0; at < large.length; at += 4097) large[at] = at % 251;
    large[large.length - 1] = 7;
    assert.equal(sender.send({ large, and: 'more' }), true);
    assert.equal(receiver.next(), true);
    assert.equal(receiver.value.and, 'more');
    assert.equal(receiver.value.large.length, large.length);
    assert.equal(Buffer.compare(receiver.value.large, large), 0);
    receiver.value = undefined;
    assert.equal(sender.send(new Uint8Array(2 ** 30 + 1)), false);
  },
);

test('a closed receiver retains no payloads', () => {
  const { sender, receiver } = pair();
  sender.send(bytesOf(MIB, 1));
  receiver.close();
  for (let i = 0; i < 100; i++) sender.send(bytesOf(MIB, 1));
  assert.ok(sender.bufferedAmount < MIB);
});

test('a getter runs once even if only the platform can carry the value', () => {
  const { sender } = pair();
  let runs = 0;
  const part = new SharedArrayBuffer(4);
  const value = {
    get first() {
      runs++;
      return { list: holed(), big: bytesOf(MIB, 1) };
    },
    part,
    again: part,
    nothing: Object.create(null),
    map: new Map([[1, new Date(5)]]),
  };
  value.self = value;
  assert.equal(sender.send(value), false);
  assert.equal(runs, 1);
  const { first, ...rest } = sender.substituteFor(value);
  assert.deepEqual(first.list, holed());
  assert.deepEqual(first.big, bytesOf(MIB, 1));
  assert.equal(rest.part, part);
  assert.equal(rest.again, part);
  assert.equal(rest.self.first, first);
  assert.deepEqual(rest.map, value.map);
  assert.equal(runs, 1);
  assert.equal(sender.bufferedAmount, 0);
  // Without getters, the platform gets the value itself.
  const plain = { part };
  assert.equal(sender.send(plain), false);
  assert.equal(sender.substituteFor(plain), plain);
});
