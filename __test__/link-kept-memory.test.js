'use strict';

/* Memory for the buffers that a receiver copies out of a lane between processes. */

const assert = require('node:assert/strict');
const test = require('node:test');

const { loadAddon } = require('../lib/core/addon');
const { AdvancedEncoder } = require('../lib/link/advanced-encoder');
const { LaneReceiver } = require('../lib/link/lane-receiver');
const { LaneSender } = require('../lib/link/lane-sender');
const { Spill } = require('../lib/link/spill');

const addon = loadAddon();
const KIB = 1024;
const MIB = KIB * KIB;

/** Both ends of a lane as between processes, in this thread. */
function pair() {
  const link = new addon.ThreadLink(4 * MIB, 16 * MIB);
  const native = addon.ThreadLink.attach(link.id).takeReceiver();
  const receiver = new LaneReceiver(native);
  return { sender: new LaneSender(link.takeSender(), new AdvancedEncoder(), new Spill()), receiver, native };
}

/** Sends a value and returns what is received. */
function pass({ sender, receiver }, value) {
  assert.equal(sender.send(value), true);
  assert.equal(receiver.next(), true);
  const received = receiver.value;
  receiver.value = undefined;
  receiver.release();
  return received;
}

/** Bytes that differ from those before and after them. */
function bytesOf(length, first) {
  return Uint8Array.from({ length }, (_, i) => (first + i * 7) % 251);
}

test('memory is kept for the next ones while buffers of 16 KiB and more arrive', (t) => {
  const keep = t.mock.method(addon, 'keepFreeMemory');
  const ends = pair();
  for (let i = 0; i < 100; i++) pass(ends, bytesOf(1000, i));
  assert.equal(keep.mock.callCount(), 0);
  for (let i = 0; i < 3; i++) assert.deepEqual(pass(ends, bytesOf(16 * KIB, i)), bytesOf(16 * KIB, i));
  assert.equal(keep.mock.callCount(), 1);
});

test('buffers of all lengths are received whole, wherever their records are', () => {
  const ends = pair();
  const lengths = [
    0,
    1,
    16 * KIB,
    64 * KIB - 1,
    64 * KIB,
    64 * KIB + 1,
    100_001,
    128 * KIB,
    300_001,
    2 * MIB,
  ];
  for (let round = 0; round < 20; round++) {
    for (const length of lengths) {
      // Not aligned, and among others.
      const value = { text: 'x'.repeat(round % 9), bytes: bytesOf(length, round), end: bytesOf(3, round) };
      const received = pass(ends, value);
      assert.deepEqual(received, value);
      assert.equal(received.bytes.buffer.byteLength, length);
    }
  }
});

test('only what is in the ring is copied from there', () => {
  const { native } = pair();
  const { ringOffset, capacity } = native.memory();
  const target = new Uint8Array(100_000).fill(1);
  native.copyFromRing(ringOffset, target);
  native.copyFromRing(ringOffset + 2 * capacity - target.length, target);
  assert.ok(target.every((byte) => byte === 0));
  for (const start of [0, ringOffset - 1, ringOffset + 2 * capacity - target.length + 1, 0xffffffff]) {
    assert.throws(() => native.copyFromRing(start, target), /not in the ring/, String(start));
  }
});
