'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const fc = require('fast-check');

const { loadAddon } = require('../lib/core/addon');
const layout = require('../lib/link/layout');
const { Encoder } = require('../lib/link/encoder');
const { JsonEncoder } = require('../lib/link/json-encoder');
const { LaneReceiver } = require('../lib/link/lane-receiver');
const { LaneSender } = require('../lib/link/lane-sender');

const { Kind } = layout;
const addon = loadAddon();
const WATCHDOG = { timeout: 300_000 };

/** Both ends of a real lane, in this thread. */
function pair(capacity = 4096, encoder = new Encoder()) {
  const link = new addon.ThreadLink(capacity);
  const other = addon.ThreadLink.attach(link.id);
  return {
    sender: new LaneSender(link.takeSender(), encoder),
    receiver: new LaneReceiver(other.takeReceiver()),
  };
}

/** Reads all records, and releases them unless told otherwise. */
function drain(receiver, isReleased = true) {
  const values = [];
  while (receiver.next()) {
    values.push(receiver.kind === Kind.VALUE ? receiver.value : { kind: receiver.kind });
  }
  if (isReleased) receiver.release();
  return values;
}

test("the lane layout matches the addon's", () => {
  const { copyBytes, storeBlocks, ...offsets } = addon.laneLayout();
  const { head, read, copied, copy, tail, asleep, unfenced, overflowed, taken, closed, waiting, returned } =
    offsets;
  assert.deepEqual(
    [
      layout.HEAD,
      layout.READ,
      layout.COPIED,
      layout.COPY,
      layout.TAIL,
      layout.ASLEEP,
      layout.UNFENCED,
      layout.OVERFLOWED,
      layout.TAKEN,
      layout.CLOSED,
      layout.WAITING,
      layout.RETURNED,
    ].map((at) => at * 4),
    [head, read, copied, copy, tail, asleep, unfenced, overflowed, taken, closed, waiting, returned],
  );
  assert.deepEqual([layout.COPY_BYTES, layout.STORE_BLOCKS], [copyBytes, storeBlocks]);
});

test('a link can be attached to only once', () => {
  const link = new addon.ThreadLink(4096);
  addon.ThreadLink.attach(link.id);
  assert.throws(() => addon.ThreadLink.attach(link.id), /no link/);
  const forgotten = new addon.ThreadLink(4096);
  forgotten.close();
  assert.throws(() => addon.ThreadLink.attach(forgotten.id), /no link/);
  assert.throws(() => forgotten.takeSender(), /closed/);
  assert.throws(() => addon.ThreadLink.attach(0), /no link/);
});

test('records are received in order however sends and drains alternate', WATCHDOG, () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ send: fc.integer({ min: 0, max: 3000 }) }) },
    { weight: 1, arbitrary: fc.record({ send: fc.integer({ min: 3000, max: 30_000 }) }) },
    { weight: 2, arbitrary: fc.record({ drain: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ bare: fc.constantFrom(Kind.MARKER, Kind.READY) }) },
    { weight: 1, arbitrary: fc.record({ refuse: fc.constant(true) }) },
  );
  let overflows = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 120 }), (steps) => {
      const { sender, receiver } = pair();
      const expected = [];
      const received = [];
      let n = 0;
      for (const { send, drain: isReleased, bare, refuse } of steps) {
        if (send !== undefined) {
          const value = {
            n: n++,
            [`key${n % 40}`]: 'x'.repeat(send % 2500),
            bytes: new Uint8Array(send >> 1),
          };
          assert.ok(sender.send(value));
          expected.push(value);
        } else if (bare !== undefined) {
          sender.sendBare(bare);
          expected.push({ kind: bare });
        } else if (refuse) {
          // Defines a shape that only a later record can transmit.
          assert.equal(sender.send({ [`late${n % 7}`]: { deep: 1 }, f: () => 1 }), false);
          expected.push({ [`late${n % 7}`]: { deep: 1 } });
          sender.send({ [`late${n % 7}`]: { deep: 1 } });
        } else {
          received.push(...drain(receiver, isReleased));
        }
        if (sender.bufferedAmount > 4096) overflows++;
      }
      received.push(...drain(receiver));
      assert.deepEqual(received, expected);
      drain(receiver);
      assert.equal(sender.bufferedAmount, 0);
    }),
    { numRuns: 300 },
  );
  assert.ok(overflows > 100);
});

/** Two sides with a lane in each direction, whose records answer each other. */
async function sides() {
  // Registers the process for the barriers that producers are spared.
  const point = new addon.CallPoint();
  for (;;) {
    const link = new addon.ThreadLink(4096);
    const other = addon.ThreadLink.attach(link.id);
    const ends = [link.takeSender(), other.takeSender()];
    const words = ends.map((end) => new Int32Array(end.memory().buffer));
    const receivers = [link.takeReceiver(), other.takeReceiver()].map((end) => new LaneReceiver(end));
    const senders = ends.map((end) => new LaneSender(end));
    senders.forEach((sender, i) => sender.copyFor(receivers[i]));
    const all = [0, 1].map((i) => ({ sender: senders[i], receiver: receivers[i], words: words[i], point }));
    if (process.arch !== 'x64' || words[0][layout.UNFENCED] === 1) return all;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Whether the last record has been copied. */
function isCopied({ words }) {
  return words[layout.COPIED] === words[layout.HEAD];
}

test(
  'a short record is copied once the other side has said that it has read all others',
  WATCHDOG,
  async () => {
    const [one, other] = await sides();
    const isPossible = process.arch === 'x64';
    one.sender.sendCall(0, 1, 'first');
    assert.equal(isCopied(one), isPossible);
    // Nothing says that the first one has been read.
    one.sender.sendCall(0, 2, 'second');
    assert.ok(!isCopied(one));
    assert.deepEqual(drain(other.receiver), [{ kind: Kind.CALL }, { kind: Kind.CALL }]);
    assert.equal(other.receiver.value, 'second');
    one.sender.sendCall(0, 3, 'third');
    assert.ok(!isCopied(one));
    drain(other.receiver);
    other.sender.sendCall(1, 3, 'answer');
    assert.equal(isCopied(other), isPossible);
    assert.ok(one.receiver.next());
    assert.equal(one.receiver.value, 'answer');
    one.sender.sendCall(0, 4, 'fourth');
    assert.equal(isCopied(one), isPossible);
    if (isPossible) {
      // The reader needs nothing but the copy.
      one.words.fill(-1, layout.WAITING + 1);
    }
    assert.ok(other.receiver.next());
    assert.deepEqual([other.receiver.callId, other.receiver.value], [4, 'fourth']);
    other.sender.sendCall(1, 4, 'x'.repeat(layout.COPY_BYTES));
    assert.ok(!isCopied(other));
    assert.ok(one.receiver.next());
    assert.equal(one.receiver.value.length, layout.COPY_BYTES);
  },
);

test('records with copies are received in order however sides alternate', WATCHDOG, async () => {
  const step = fc.record({
    by: fc.constantFrom(0, 1),
    send: fc.option(fc.oneof(fc.nat(40), fc.nat(3000)), { freq: 3 }),
    reads: fc.nat(3),
    isReleased: fc.boolean(),
  });
  let copies = 0;
  let id = 0;
  const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 150 }), async (steps) => {
    const all = await sides();
    const expected = [[], []];
    const received = [[], []];
    const read = (by) => {
      const { receiver } = all[by];
      if (!receiver.next()) return false;
      received[by].push([receiver.callId, receiver.value]);
      return true;
    };
    for (const { by, send, reads, isReleased } of steps) {
      for (let i = 0; i < reads; i++) read(by);
      if (isReleased) all[by].receiver.release();
      if (send === null) continue;
      const value = { [`key${send % 5}`]: 'y'.repeat(send) };
      all[by].sender.sendCall(0, ++id, value);
      expected[1 - by].push([id, value]);
      if (isCopied(all[by])) copies++;
    }
    for (const by of [0, 1]) while (read(by));
    assert.deepEqual(received, expected);
  });
  await fc.assert(property, { numRuns: 300 });
  assert.ok(process.arch !== 'x64' || copies > 100, `${copies} copies`);
});

test('the ring is reused after an overflow', () => {
  const { sender, receiver } = pair();
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < 300; i++) sender.send({ round, i });
    assert.ok(sender.bufferedAmount > 4096);
    assert.equal(drain(receiver).length, 300);
    for (let i = 0; i < 3; i++) sender.send(i);
    assert.deepEqual(drain(receiver), [0, 1, 2]);
    assert.ok(sender.bufferedAmount < 100);
  }
});

test('light traffic stays at the start of a large ring', () => {
  const { sender, receiver } = pair(1024 * 1024);
  const expected = [];
  const received = [];
  let longest = 0;
  for (let i = 0; i < 3000; i++) {
    const burst = i % 500 === 499 ? 400 : 1;
    for (let k = 0; k < burst; k++) {
      const value = { i, k, text: 'x'.repeat((i * 7 + k) % 3000) };
      sender.send(value);
      expected.push(value);
      // Refused right after returning to the start of the ring.
      if (k % 5 === 0) {
        assert.equal(
          sender.send(() => 1),
          false,
        );
      }
    }
    longest = Math.max(longest, sender.bufferedAmount);
    received.push(...drain(receiver));
    assert.equal(sender.bufferedAmount, 0);
  }
  assert.deepEqual(received, expected);
  assert.ok(longest > 500_000);
  for (let i = 0; i < 200; i++) {
    sender.send('x'.repeat(1000));
    drain(receiver);
    assert.equal(
      sender.send(() => 1),
      false,
    );
    assert.equal(sender.bufferedAmount, 0);
  }
});

test('the first return to the start of a large ring comes early, later ones leave room for bursts', () => {
  const capacity = 1024 * 1024;
  const link = new addon.ThreadLink(capacity);
  const end = link.takeSender();
  const words = new Int32Array(end.memory().buffer);
  const sender = new LaneSender(end);
  const receiver = new LaneReceiver(addon.ThreadLink.attach(link.id).takeReceiver());
  const offsets = [];
  for (let before = 0; offsets.length < 3;) {
    sender.send('x'.repeat(100));
    assert.deepEqual(drain(receiver), ['x'.repeat(100)]);
    const head = words[layout.HEAD];
    if (Math.floor(head / capacity) !== Math.floor(before / capacity)) offsets.push(before % capacity);
    before = head;
  }
  const [first, ...later] = offsets;
  assert.ok(first >= 4096 && first < 16_384, `${first}`);
  for (const offset of later) assert.ok(offset >= 131_072 && offset < 262_144, `${offset}`);
});

test('positions wrap around correctly', WATCHDOG, () => {
  const { sender, receiver } = pair(65_536);
  const text = 'x'.repeat(60_000);
  // Beyond 2^32 bytes, in records almost as large as the ring.
  for (let i = 0; i < 72_000; i++) {
    sender.send(text);
    if (!receiver.next() || receiver.value.length !== 60_000) assert.fail(`record ${i}`);
    receiver.release();
  }
});

test('a closed lane accepts and discards records', () => {
  const { sender, receiver } = pair();
  sender.send(1);
  receiver.close();
  receiver.close();
  assert.equal(receiver.next(), false);
  assert.ok(sender.isClosed);
  for (let i = 0; i < 10_000; i++) sender.send({ i, text: 'some text that fills the ring' });
  assert.ok(sender.bufferedAmount <= 4096);
});

for (const [name, make] of [
  ['structured clone', () => new Encoder()],
  ['JSON', () => new JsonEncoder()],
]) {
  test(`a getter may send during encoding, and its records come first (${name})`, () => {
    const { sender, receiver } = pair(65_536, make());
    let sent = 0;
    const nested = (depth) => ({
      [`before${depth}`]: { depth },
      get now() {
        if (depth < 3) assert.ok(sender.send(nested(depth + 1)));
        sender.sendBare(Kind.MARKER);
        sent++;
        return depth;
      },
      [`after${depth}`]: 'x'.repeat(3000),
    });
    for (let round = 0; round < 20; round++) {
      assert.ok(sender.send(nested(0)));
      const values = drain(receiver);
      assert.deepEqual(
        values.map((value) => value.now ?? value.kind),
        [Kind.MARKER, 3, Kind.MARKER, 2, Kind.MARKER, 1, Kind.MARKER, 0],
      );
      assert.deepEqual(values[7], { before0: { depth: 0 }, now: 0, after0: 'x'.repeat(3000) });
      assert.deepEqual(values[1].before3, { depth: 3 });
    }
    assert.equal(sent, 80);
    const thrown = new Error('on purpose');
    const throwing = {
      get a() {
        sender.send({ sent: 'first' });
        throw thrown;
      },
    };
    assert.throws(
      () => sender.send(throwing),
      (error) => error === thrown,
    );
    sender.send({ sent: 'last' });
    assert.deepEqual(drain(receiver), [{ sent: 'first' }, { sent: 'last' }]);
  });
}
