'use strict';

const assert = require('node:assert');
const test = require('node:test');

const { SharedBuffer } = require('..');
const { WATCHDOG, nameFor, processPeer, threadPeer } = require('./support/shared');

const MAJOR = Number(process.versions.node.split('.')[0]);

test('all threads and processes see the same bytes', WATCHDOG, async (t) => {
  const name = nameFor(t);
  const memory = SharedBuffer.open(name, { byteLength: 100 });
  const bytes = new Uint8Array(memory.buffer);
  assert.strictEqual(bytes.length, 100);
  bytes[99] = 7;
  for (const peer of [processPeer(t), threadPeer(t)]) {
    const seen = await peer.run(({ manycore }, name) => {
      const memory = manycore.SharedBuffer.open(name, { create: false });
      const bytes = new Uint8Array(memory.buffer);
      bytes[0] = 42;
      return [bytes.length, bytes[99]];
    }, name);
    assert.deepStrictEqual(seen, [100, 7]);
    assert.strictEqual(bytes[0], 42);
    bytes[0] = 0;
  }
});

test('Atomics count exactly across processes and threads', WATCHDOG, async (t) => {
  const memory = new SharedBuffer({ byteLength: 8 });
  const add = ({ manycore }, posted, count) => {
    const words = new Int32Array(manycore.SharedBuffer.from(posted).buffer);
    for (let i = 0; i < count; i++) Atomics.add(words, 1, 1);
  };
  const peers = [processPeer(t), processPeer(t), threadPeer(t)];
  await Promise.all(peers.map((peer) => peer.run(add, { handle: memory.handle }, 20_000)));
  assert.strictEqual(Atomics.load(new Int32Array(memory.buffer), 1), 60_000);
});

test('buffer is a SharedArrayBuffer where Node can create one over the memory', () => {
  const { buffer } = new SharedBuffer({ byteLength: 16 });
  if (MAJOR >= 24) assert.ok(buffer instanceof SharedArrayBuffer);
  if (MAJOR === 20) assert.ok(buffer instanceof ArrayBuffer);
  assert.strictEqual(buffer.byteLength, 16);
});

test('the buffer remains usable after close()', () => {
  const memory = new SharedBuffer({ byteLength: 16 });
  const { buffer, handle } = memory;
  assert.strictEqual(memory.buffer, buffer);
  memory.close();
  new Uint8Array(buffer)[3] = 1;
  assert.throws(() => SharedBuffer.from(handle), { code: 'ERR_MANYCORE_SEGMENT_NOT_FOUND' });
  assert.throws(() => memory.buffer, { code: 'ERR_MANYCORE_CLOSED' });
});

test('creating requires a length, and opening rejects a different one', (t) => {
  assert.throws(() => new SharedBuffer(), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => new SharedBuffer({ byteLength: 0 }), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => new SharedBuffer({ byteLength: 1.5 }), { code: 'ERR_OUT_OF_RANGE' });
  const name = nameFor(t);
  assert.throws(() => SharedBuffer.open(name), { code: 'ERR_INVALID_ARG_TYPE' });
  SharedBuffer.open(name, { byteLength: 10 });
  assert.strictEqual(SharedBuffer.open(name, { byteLength: 20 }).byteLength, 10);
});
