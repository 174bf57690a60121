'use strict';

/* Buffers in the memory of a lane, which are passed to the other side instead of copied. */

const assert = require('node:assert/strict');
const { AsyncLocalStorage } = require('node:async_hooks');
const { spawnSync } = require('node:child_process');
const { readFileSync } = require('node:fs');
const test = require('node:test');
const v8 = require('node:v8');
const vm = require('node:vm');

const { loadAddon } = require('../lib/core/addon');
const { AdvancedEncoder } = require('../lib/link/advanced-encoder');
const { Encoder } = require('../lib/link/encoder');
const { LaneReceiver } = require('../lib/link/lane-receiver');
const { LaneSender } = require('../lib/link/lane-sender');
const { STORE_BLOCKS } = require('../lib/link/layout');
const { BESIDE_LENGTH, LARGE_LENGTH } = require('../lib/link/tags');

const addon = loadAddon();
const WATCHDOG = { timeout: 60_000 };
const KIB = 1024;
const BLOCK = 64 * KIB;

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc');

/** Both ends of a real lane with a store, in this thread. */
function pair({
  ring = 64 * KIB,
  store = 16 * BLOCK,
  encoder = new Encoder(LARGE_LENGTH, BESIDE_LENGTH),
} = {}) {
  const link = new addon.ThreadLink(ring, store);
  const native = addon.ThreadLink.attach(link.id).takeReceiver();
  const end = link.takeSender();
  return { sender: new LaneSender(end, encoder), receiver: new LaneReceiver(native), native, end };
}

/** A buffer of the store with `fill` in all of it. */
function filled(sender, length, fill) {
  const buffer = sender.allocate(length);
  new Uint8Array(buffer).fill(fill);
  return buffer;
}

function receive(receiver, isInPlace = false) {
  receiver.lendsLarge = isInPlace;
  assert.equal(receiver.next(), true);
  const { value } = receiver;
  if (!isInPlace) receiver.release();
  return value;
}

const isFilled = (bytes, fill) => Buffer.from(bytes).equals(Buffer.alloc(bytes.byteLength, fill));

test('a buffer of the store is detached when it is sent, and received as an ordinary one', () => {
  const { sender, receiver } = pair();
  const buffer = filled(sender, 100 * KIB, 1);
  const bytes = new Uint8Array(buffer, 8, 16);
  assert.equal(sender.send({ buffer, bytes, again: buffer }), true);
  assert.deepEqual([buffer.byteLength, bytes.length], [0, 0]);
  const value = receive(receiver);
  assert.deepEqual([value.buffer.byteLength, value.bytes.byteOffset, value.bytes.length], [100 * KIB, 8, 16]);
  assert.ok(value.again === value.buffer && value.bytes.buffer === value.buffer);
  assert.ok(isFilled(value.buffer, 1));
  // It has memory of its own, and can be transferred like any other.
  assert.ok(sender.send(filled(sender, 100 * KIB, 2)));
  assert.ok(isFilled(value.buffer, 1));
  const moved = structuredClone(value.buffer, { transfer: [value.buffer] });
  assert.deepEqual([moved.byteLength, value.buffer.byteLength], [100 * KIB, 0]);
  assert.ok(isFilled(receive(receiver), 2));
});

test('listeners that asked for views see the block itself, which is reused afterwards', () => {
  const { sender, receiver } = pair({ store: 2 * BLOCK });
  for (let round = 0; round < 200; round++) {
    // Two at a time fill the store.
    const buffers = [filled(sender, 50 * KIB, round), filled(sender, BLOCK, round + 1)];
    assert.equal(sender.allocate(BLOCK), undefined);
    for (const buffer of buffers) assert.equal(sender.send([buffer]), true);
    for (let i = 0; i < 2; i++) {
      const [view] = receive(receiver, true);
      assert.equal(view.byteLength, i === 0 ? 50 * KIB : BLOCK);
      assert.ok(isFilled(view, (round + i) & 255));
      receiver.endViews();
      assert.equal(view.byteLength, 0);
    }
  }
});

test('what is being read is not reused', () => {
  const { sender, receiver } = pair({ store: 2 * BLOCK });
  sender.send(filled(sender, BLOCK, 1));
  const view = receive(receiver, true);
  const other = filled(sender, BLOCK, 2);
  assert.equal(sender.allocate(BLOCK), undefined);
  assert.ok(isFilled(view, 1));
  receiver.endViews();
  const next = filled(sender, BLOCK, 3);
  assert.ok(isFilled(other, 2));
  sender.send([other, next]);
  const [first, second] = receive(receiver);
  assert.ok(isFilled(first, 2) && isFilled(second, 3));
});

test('a full store has no room, nor one with too many blocks', () => {
  const { sender, receiver } = pair({ store: 2 * STORE_BLOCKS * BLOCK });
  assert.equal(sender.allocate(2 * STORE_BLOCKS * BLOCK + 1), undefined);
  const buffers = Array.from({ length: STORE_BLOCKS }, (_, i) => filled(sender, 20 * KIB, i));
  assert.equal(sender.allocate(20 * KIB), undefined);
  assert.equal(sender.send(buffers), true);
  assert.equal(sender.allocate(20 * KIB), undefined);
  assert.ok(receive(receiver).every((buffer, i) => isFilled(buffer, i)));
  assert.ok(sender.allocate(2 * STORE_BLOCKS * BLOCK) instanceof ArrayBuffer);
  const without = pair({ store: 0 });
  assert.equal(without.sender.allocate(20 * KIB), undefined);
});

test('gaps between blocks are used again', () => {
  const { sender, receiver } = pair({ store: 4 * BLOCK });
  const [a, b, c, d] = [1, 2, 3, 4].map((fill) => filled(sender, BLOCK, fill));
  sender.send([b, c]);
  receive(receiver);
  const between = filled(sender, 2 * BLOCK, 5);
  assert.equal(sender.allocate(BLOCK), undefined);
  sender.send([a, between, d]);
  assert.deepEqual(
    receive(receiver).map((buffer) => [buffer.byteLength / BLOCK, new Uint8Array(buffer)[BLOCK - 1]]),
    [
      [1, 1],
      [2, 5],
      [1, 4],
    ],
  );
});

test('a record that is abandoned leaves its buffers as they were', () => {
  const { sender, receiver } = pair();
  const buffer = filled(sender, BLOCK, 1);
  const failing = {
    buffer,
    get fails() {
      throw new Error('no');
    },
  };
  assert.throws(() => sender.send(failing), /no/);
  assert.ok(isFilled(buffer, 1) && buffer.byteLength === BLOCK);
  const shared = new SharedArrayBuffer(1);
  const unsupported = { bytes: new Uint8Array(buffer, BLOCK - 10), getter: 0, shared };
  let runs = 0;
  Object.defineProperty(unsupported, 'getter', { enumerable: true, get: () => ++runs });
  assert.equal(sender.send(unsupported), false);
  const substitute = sender.substituteFor(unsupported);
  assert.deepEqual([substitute.getter, runs, substitute.shared], [1, 1, shared]);
  assert.ok(isFilled(substitute.bytes, 1) && substitute.bytes.length === 10);
  assert.ok(isFilled(buffer, 1) && buffer.byteLength === BLOCK);
  assert.equal(sender.send(buffer), true);
  assert.ok(isFilled(receive(receiver), 1));
});

test('getters may send a buffer of their own record, allocate others, and detach', () => {
  const { sender, receiver } = pair();
  const buffer = filled(sender, BLOCK, 1);
  let other;
  const value = {
    buffer,
    get inner() {
      // Part of a record that is incomplete: copied.
      sender.send(['inner', buffer]);
      other = filled(sender, BLOCK, 2);
      sender.send(['other', other]);
      return 3;
    },
  };
  assert.equal(sender.send(value), true);
  assert.deepEqual([buffer.byteLength, other.byteLength], [0, 0]);
  for (const [name, fill] of [
    ['inner', 1],
    ['other', 2],
  ]) {
    const [text, bytes] = receive(receiver);
    assert.deepEqual([text, isFilled(bytes, fill)], [name, true]);
  }
  const outer = receive(receiver);
  assert.ok(outer.inner === 3 && isFilled(outer.buffer, 1));

  // The first allocation of a lane, from within a record.
  const fresh = pair();
  let first;
  const allocating = {
    get a() {
      return (first = filled(fresh.sender, BLOCK, 4));
    },
  };
  assert.equal(fresh.sender.send(allocating), true);
  assert.equal(first.byteLength, 0);
  assert.ok(isFilled(receive(fresh.receiver).a, 4));
});

test('a buffer that was never sent makes room once it is garbage', WATCHDOG, async () => {
  const { sender, receiver } = pair({ store: 2 * BLOCK });
  const kept = filled(sender, BLOCK, 1);
  for (let round = 0; round < 20; round++) {
    let buffer;
    while ((buffer = sender.allocate(BLOCK)) === undefined) {
      await new Promise(setImmediate);
      gc();
    }
    new Uint8Array(buffer).fill(round + 2);
    // Every other one is sent, and its buffer is collected later than its block is reused.
    if (round % 2 === 0) {
      sender.send(buffer);
      assert.ok(isFilled(receive(receiver), round + 2));
    }
    assert.ok(isFilled(kept, 1));
  }
});

test('buffers outlive the ends of their lane', () => {
  for (const closes of ['sender', 'receiver']) {
    const ends = pair();
    const buffers = [filled(ends.sender, BLOCK, 1), filled(ends.sender, BLOCK, 2)];
    ends.sender.send(buffers[0]);
    const view = receive(ends.receiver, true);
    ends[closes].close();
    assert.ok(isFilled(view, 1) && isFilled(buffers[1], 2));
    ends.sender.send(buffers[1]);
    ends.receiver.endViews();
    assert.equal(view.byteLength, 0);
    assert.equal(ends.sender.allocate(BLOCK) === undefined, closes === 'sender');
  }
});

test('unused memory is returned to the system', WATCHDOG, async () => {
  const { sender, receiver, native } = pair();
  const kept = filled(sender, BLOCK, 5);
  sender.send(filled(sender, 2 * BLOCK, 6));
  receive(receiver);
  const bytes = new Uint8Array(3 * BLOCK);
  const look = () => (native.copyFromStore(0, bytes), [0, 1, 2].map((i) => bytes[i * BLOCK]));
  assert.deepEqual(look(), [5, 6, 6]);
  while (look()[1] !== 0) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(look(), [5, 0, 0]);
  assert.ok(isFilled(kept, 5));
});

test("between processes, views are passed with the bytes they cover, as by Node's clones", () => {
  const { sender, receiver } = pair({ encoder: new AdvancedEncoder() });
  for (const isInPlace of [false, true]) {
    for (const [make, length, Class] of [
      [(buffer) => new Uint8Array(buffer), BLOCK, Uint8Array],
      [(buffer) => new Float64Array(buffer, 16, 100), 100, Float64Array],
      [(buffer) => new BigInt64Array(buffer, 8), BLOCK / 8 - 1, BigInt64Array],
      [(buffer) => Buffer.from(buffer, 800, 1000), 1000, Buffer],
      [(buffer) => Buffer.from(buffer, 3, 1000), 1000, Buffer],
      [(buffer) => new DataView(buffer, 24), BLOCK - 24, DataView],
      [(buffer) => buffer, BLOCK, ArrayBuffer],
    ]) {
      const buffer = filled(sender, BLOCK, 7);
      assert.equal(sender.send({ value: make(buffer) }), true);
      const { value } = receive(receiver, isInPlace);
      assert.equal(value.constructor, Class);
      assert.equal(value.length ?? value.byteLength, length);
      assert.equal((value.buffer ?? value).byteLength, value.byteLength);
      assert.ok(isFilled(value.buffer ?? value, 7));
      // The data of the one with an odd offset is not aligned, so it has been copied.
      assert.equal(buffer.byteLength, length === 1000 && buffer.byteLength > 0 ? BLOCK : 0);
      receiver.endViews();
    }
  }
  const buffer = filled(sender, BLOCK, 8);
  sender.send([new Uint8Array(buffer, 0, 10), new Uint8Array(buffer, 8, 10)]);
  const [first, second] = receive(receiver);
  assert.ok(isFilled(first, 8) && isFilled(second, 8) && first.buffer !== second.buffer);
});

/** Collects garbage and lets finalizers run. */
async function collect() {
  await new Promise(setImmediate);
  gc();
}

const canMove = typeof ArrayBuffer.prototype.transfer === 'function';

test(
  'a block that a getter moves to another buffer is not reused',
  { ...WATCHDOG, skip: !canMove },
  async () => {
    const { sender, receiver } = pair({ store: BLOCK });
    const buffer = filled(sender, BLOCK, 1);
    const held = { moved: null };
    const value = {
      buffer,
      get moves() {
        held.moved = buffer.transfer();
        return 2;
      },
    };
    assert.equal(sender.send(value), true);
    assert.equal(buffer.byteLength, 0);
    assert.ok(isFilled(receive(receiver).buffer, 1));
    for (let i = 0; i < 3; i++) await collect();
    assert.equal(sender.allocate(BLOCK), undefined);
    assert.ok(isFilled(held.moved, 1));
    held.moved = null;
    while (sender.allocate(BLOCK) === undefined) await collect();
  },
);

test('a closed sender does not keep the memory of its lane', WATCHDOG, async () => {
  const link = new addon.ThreadLink(64 * KIB, BLOCK);
  const end = link.takeSender();
  let memory;
  const sender = new LaneSender({
    memory() {
      const made = end.memory();
      memory = new WeakRef(made.buffer);
      return made;
    },
    mapStore: (length) => end.mapStore(length),
    goneWords: () => end.goneWords(),
    openBlock: (...details) => end.openBlock(...details),
    detach: (buffer) => end.detach(buffer),
    close: () => end.close(),
  });
  const buffer = filled(sender, BLOCK, 1);
  sender.close();
  while (memory.deref() !== undefined) await collect();
  assert.ok(isFilled(buffer, 1));
  sender.send(buffer);
  assert.equal(buffer.byteLength, 0);
});

test('buffers and records have no room where the store cannot be mapped', () => {
  const { sender, end } = pair({ store: 64 * BLOCK });
  const { mapStore } = end;
  end.mapStore = (length) => length <= 16 * BLOCK && mapStore.call(end, length);
  assert.equal(sender.allocate(17 * BLOCK), undefined);
  assert.equal(sender.allocate(16 * BLOCK).byteLength, 16 * BLOCK);
  assert.equal(sender.allocate(BLOCK), undefined);
});

test('a system that refuses to take memory back is no error', WATCHDOG, async () => {
  const { sender, receiver, end } = pair();
  let calls = 0;
  end.discardInStore = () => {
    calls++;
    throw new Error('refused');
  };
  sender.send(filled(sender, BLOCK, 1));
  receive(receiver);
  while (calls === 0) await new Promise((resolve) => setTimeout(resolve, 50));
  sender.send(filled(sender, BLOCK, 2));
  assert.ok(isFilled(receive(receiver), 2));
});

test('memory of a buffer that is collected later is returned as well', WATCHDOG, async () => {
  const { sender, receiver, native } = pair();
  const held = { buffer: filled(sender, BLOCK, 5) };
  sender.send(filled(sender, BLOCK, 6));
  receive(receiver);
  const bytes = new Uint8Array(2 * BLOCK);
  const look = () => (native.copyFromStore(0, bytes), [bytes[0], bytes[BLOCK]]);
  while (look()[1] !== 0) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(isFilled(held.buffer, 5) && look()[0] === 5);
  held.buffer = null;
  while (look()[0] !== 0) {
    await collect();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

test('timers do not keep the async context of a message', WATCHDOG, async () => {
  const { sender, receiver } = pair();
  const storage = new AsyncLocalStorage();
  for (const send of [
    () => sender.send(filled(sender, BLOCK, 1)),
    // In a buffer that the receiver lends, from the second one on.
    () => sender.send(new ArrayBuffer(100 * KIB)),
  ]) {
    const pass = () => (send(), receive(receiver));
    const context = (() => {
      const value = {};
      storage.run(value, () => (pass(), pass()));
      return new WeakRef(value);
    })();
    // The traffic keeps the timers going.
    while (context.deref() !== undefined) {
      pass();
      await collect();
    }
  }
});

test('places that are not aligned are corrupt', () => {
  const corrupt = { code: 'ERR_MANYCORE_LINK_CORRUPT' };
  for (const isInPlace of [false, true]) {
    for (const make of [(buffer) => buffer, (buffer) => new Float64Array(buffer)]) {
      for (const offset of [8, 1, 2, 4]) {
        const { sender, receiver, end } = pair({ encoder: new AdvancedEncoder() });
        sender.send(make(filled(sender, BLOCK, 1)));
        // The offset in the store is in front of the length.
        const ring = Buffer.from(end.memory().buffer, end.memory().ringOffset);
        const place = Buffer.alloc(8);
        place.writeUInt32LE(BLOCK, 4);
        ring.writeUInt32LE(offset, ring.indexOf(place));
        if (offset === 8) receive(receiver, isInPlace);
        else assert.throws(() => receive(receiver, isInPlace), corrupt);
        receiver.endViews();
      }
    }
  }
  // Data in the ring of which a view is made.
  let refused = 0;
  for (let prefix = 0; prefix < 8; prefix++) {
    const encoder = new AdvancedEncoder();
    encoder.align = () => {};
    const { sender, receiver } = pair({ encoder, ring: 256 * KIB });
    sender.send([...new Array(prefix).fill(true), new Float64Array(LARGE_LENGTH / 8)]);
    try {
      receive(receiver, true);
      receiver.endViews();
    } catch (error) {
      assert.equal(error.code, corrupt.code);
      refused++;
    }
  }
  assert.equal(refused, 7);
});

/** Address space in bytes that this process has mapped for lanes. */
function mappedForLanes() {
  let bytes = 0;
  for (const line of readFileSync('/proc/self/maps', 'utf8').split('\n')) {
    const range = /^([0-9a-f]+)-([0-9a-f]+) .*manycore-lane/.exec(line);
    if (range !== null) bytes += Number(BigInt(`0x${range[2]}`) - BigInt(`0x${range[1]}`));
  }
  return bytes;
}

test('each side maps the store as far as it uses it', WATCHDOG, () => {
  const store = 64 * KIB * KIB;
  const before = mappedForLanes();
  const mapped = () => mappedForLanes() - before;
  const { sender, receiver } = pair({ store });
  const early = filled(sender, BLOCK, 3);
  assert.ok(mapped() < store / 8);
  sender.send(filled(sender, BLOCK, 4));
  assert.ok(isFilled(receive(receiver), 4));
  assert.ok(mapped() < store / 4);
  // What was mapped before remains valid where it was.
  const late = filled(sender, store - 2 * BLOCK, 5);
  assert.ok(mapped() >= store && mapped() < 2 * store);
  assert.ok(isFilled(early, 3));
  sender.send(late);
  assert.ok(isFilled(receive(receiver), 5));
  assert.ok(mapped() >= 2 * store);
  new Uint8Array(early).fill(6);
  sender.send(early);
  assert.ok(isFilled(receive(receiver), 6));
  receiver.close();
});

test('a store that cannot be mapped', WATCHDOG, (t) => {
  const limit = (bytes) =>
    spawnSync('prlimit', ['--pid', String(process.pid), `--as=${bytes}:`]).status === 0;
  const unlimited = /Max address space +(\S+)/.exec(readFileSync('/proc/self/limits', 'utf8'))[1];
  if (!limit(unlimited)) return t.skip('no prlimit');
  const store = KIB * KIB * KIB;
  const first = pair({ store });
  const second = pair({ store });
  second.sender.send(second.sender.allocate(store));
  const used = Number(/VmSize:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * KIB;
  try {
    assert.ok(limit(used + store / 2));
    assert.equal(first.sender.allocate(store), undefined);
    second.receiver.lendsLarge = true;
    assert.throws(() => second.receiver.next(), /Cannot allocate memory/);
  } finally {
    limit(unlimited);
  }
  assert.equal(first.sender.allocate(store).byteLength, store);
  first.receiver.close();
});
