'use strict';

/* Records waiting for room: in order, of any size, fragmented where necessary. */

const assert = require('node:assert/strict');
const test = require('node:test');

const { Kind, FRAGMENT_HEADER_BYTES } = require('../lib/link/layout');
const { memoryOf } = require('../lib/link/memory');
const { Spill, CHUNK_BYTES } = require('../lib/link/spill');

const CAPACITY = 64 * 1024;

/** A record of this length whose bytes identify it. */
function record(length, number) {
  const bytes = new Uint8Array(length).fill(number);
  new DataView(bytes.buffer).setUint32(0, length, true);
  return bytes;
}

/** Moves records with this much room until nothing moves; returns everything written, with fragments reassembled. */
function moveAll(spill, room) {
  const ring = memoryOf(new ArrayBuffer(CAPACITY));
  const records = [];
  let parts = [];
  for (;;) {
    const written = spill.move(ring, 0, room, CAPACITY);
    if (written === 0) break;
    assert.ok(written <= room);
    for (let at = 0; at < written;) {
      const length = ring.view.getUint32(at, true);
      assert.equal(length % 8, 0);
      const bytes = ring.bytes.slice(at, at + length);
      at += length;
      if (bytes[4] !== Kind.FRAGMENT) {
        records.push(bytes);
        continue;
      }
      parts.push(bytes.subarray(FRAGMENT_HEADER_BYTES));
      const whole = Buffer.concat(parts);
      if (whole.length < new DataView(bytes.buffer).getUint32(8, true)) continue;
      records.push(new Uint8Array(whole));
      parts = [];
    }
  }
  return records;
}

test('records are moved intact and in order, whatever room the ring has', () => {
  for (const room of [64, 1000, 5000, CAPACITY]) {
    const spill = new Spill();
    const sent = Array.from({ length: 3000 }, (_, i) => record(16 + (i % 6) * 8, 20 + (i % 200)));
    for (const each of sent) spill.push(each, false);
    assert.equal(spill.pushed, sent.length);
    assert.deepEqual(moveAll(spill, room), sent);
    assert.equal(spill.moved, sent.length);
    assert.ok(spill.isEmpty);
  }
});

test('a large record is split into fragments, and other records keep their places', () => {
  const spill = new Spill();
  const large = record(CHUNK_BYTES * 3 + 8, 77);
  const sent = [record(16, 30), large, record(24, 31), record(32, 32)];
  for (const each of sent) spill.push(each, each === large);
  assert.deepEqual(moveAll(spill, CAPACITY), sent);
  assert.equal(spill.moved, 4);
});

test('a record is held back when room is expected, and small fragments are avoided', () => {
  const spill = new Spill();
  const ring = memoryOf(new ArrayBuffer(CAPACITY));
  spill.push(record(CAPACITY / 4, 40), false);
  spill.push(record(CAPACITY / 2, 41), false);
  assert.equal(spill.move(ring, 0, CAPACITY / 4 - 8, CAPACITY), 0);
  assert.equal(spill.move(ring, 0, CAPACITY / 4, CAPACITY), CAPACITY / 4);
  assert.equal(spill.move(ring, 0, 4096, CAPACITY), 0);
  assert.equal(spill.move(ring, 0, 8192, CAPACITY), 8192);
  assert.equal(spill.moved, 1);
  assert.equal(spill.isEmpty, false);
});
