'use strict';

const assert = require('node:assert');
const { setImmediate: turn } = require('node:timers/promises');
const test = require('node:test');

const { Channel, SharedMap, Topic } = require('..');
const { WATCHDOG, nameFor, processPeer, threadPeer } = require('./support/shared');

const VALUES = [
  'text',
  1.5,
  { a: [1, new Date(3)] },
  undefined,
  null,
  new Uint8Array([1, 2]),
  'x'.repeat(100_000),
];
const LARGE = { x: 'y'.repeat(150_000) };

test('a channel delivers cloneable values in order', () => {
  const channel = new Channel();
  assert.strictEqual(channel.tryReceive(), undefined);
  for (const value of [...VALUES, LARGE]) assert.strictEqual(channel.trySend(value), true);
  assert.strictEqual(channel.size, VALUES.length + 1);
  for (const value of [...VALUES, LARGE]) assert.deepStrictEqual(channel.tryReceive(), { value });
  assert.strictEqual(channel.tryReceive(), undefined);
  assert.throws(() => channel.trySend(() => {}), { name: 'DataCloneError' });
  assert.throws(() => channel.trySend('x'.repeat(2_000_000)), { code: 'ERR_MANYCORE_FULL' });
});

test('receivers wait for a value, senders wait for room', WATCHDOG, async () => {
  const channel = new Channel({ capacity: 1 });
  const received = channel.receive();
  await channel.send('first');
  assert.strictEqual(await received, 'first');
  assert.strictEqual(channel.trySend('second'), true);
  assert.strictEqual(channel.trySend('third'), false);
  const value = { n: 3 };
  const sent = channel.send(value);
  value.n = 4;
  assert.strictEqual(await channel.receive(), 'second');
  await sent;
  // The value at the time of sending is received.
  assert.deepStrictEqual(await channel.receive(), { n: 3 });
});

test('values sent while the channel is full arrive in order', WATCHDOG, async () => {
  const channel = new Channel({ capacity: 1 });
  channel.trySend('first');
  const sent = [channel.send('second'), channel.send(Buffer.from('third'))];
  assert.strictEqual(channel.tryReceive().value, 'first');
  // There is room, but earlier senders are waiting.
  sent.push(channel.send({ n: 4 }));
  assert.strictEqual(await channel.receive(), 'second');
  assert.deepStrictEqual(await channel.receive(), new Uint8Array(Buffer.from('third')));
  assert.deepStrictEqual(await channel.receive(), { n: 4 });
  await Promise.all(sent);
});

test('a waiting receiver is served before later ones', WATCHDOG, async () => {
  const channel = new Channel();
  const first = channel.receive();
  channel.trySend(1);
  const second = channel.receive();
  channel.trySend(2);
  assert.deepStrictEqual(await Promise.all([first, second]), [1, 2]);
});

test('a sender that gives up lets the next one proceed', WATCHDOG, async () => {
  const channel = new Channel({ capacityBytes: 1024 });
  assert.strictEqual(channel.trySend('x'.repeat(500)), true);
  const controller = new AbortController();
  const large = channel.send('y'.repeat(800), { signal: controller.signal });
  const small = channel.send('z');
  controller.abort(new Error('enough'));
  await assert.rejects(large, { message: 'enough' });
  await small;
  assert.strictEqual(channel.size, 2);
  await assert.rejects(
    channel.send(() => {}),
    { name: 'DataCloneError' },
  );
});

test('a shared object sent while the channel is full arrives as a shared object', WATCHDOG, async () => {
  const channel = new Channel({ capacity: 1 });
  channel.trySend(0);
  const map = new SharedMap();
  map.set('a', 1);
  const sent = channel.send({ map });
  assert.strictEqual(channel.tryReceive().value, 0);
  await sent;
  const received = await channel.receive();
  assert.ok(received.map instanceof SharedMap);
  assert.strictEqual(received.map.get('a'), 1);
});

test('waiting can be cancelled', WATCHDOG, async () => {
  const channel = new Channel({ capacity: 1 });
  await assert.rejects(channel.receive({ signal: AbortSignal.abort() }), { name: 'AbortError' });
  const controller = new AbortController();
  const received = channel.receive({ signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(received, { message: 'enough' });
  assert.throws(() => channel.receiveSync({ timeoutMs: 1 }), { code: 'ERR_MANYCORE_TIMEOUT' });
  channel.trySend(1);
  assert.throws(() => channel.sendSync(2, { timeoutMs: 1 }), { code: 'ERR_MANYCORE_TIMEOUT' });
  await assert.rejects(channel.receive({ signal: 1 }), { code: 'ERR_INVALID_ARG_TYPE' });
});

test('waiting without blocking has a time limit', WATCHDOG, async () => {
  const channel = new Channel({ capacity: 1 });
  const late = channel.receive({ timeoutMs: 1, signal: new AbortController().signal });
  await assert.rejects(late, { code: 'ERR_MANYCORE_TIMEOUT' });
  const received = channel.receive({ timeoutMs: 2 ** 40 });
  channel.trySend(1);
  assert.strictEqual(await received, 1);
  channel.trySend(2);
  // One that gives up lets those behind it proceed.
  const sent = [channel.send(3, { timeoutMs: 1 }), channel.send(4, { timeoutMs: Infinity })];
  await assert.rejects(sent[0], { code: 'ERR_MANYCORE_TIMEOUT' });
  assert.deepStrictEqual([await channel.receive(), await channel.receive()], [2, 4]);
  await sent[1];
  await assert.rejects(channel.receive({ timeoutMs: '1' }), { code: 'ERR_INVALID_ARG_TYPE' });
  await assert.rejects(channel.receive({ timeoutMs: -1 }), { code: 'ERR_OUT_OF_RANGE' });
  const subscription = new Topic().subscribe();
  await assert.rejects(subscription.receive({ timeoutMs: 1 }), { code: 'ERR_MANYCORE_TIMEOUT' });
});

test('iteration ends when the channel is closed and empty', WATCHDOG, async () => {
  const channel = new Channel();
  for (const value of [1, 2, 3]) channel.trySend(value);
  channel.close();
  assert.strictEqual(channel.closed, true);
  assert.throws(() => channel.trySend(4), { code: 'ERR_MANYCORE_CHANNEL_CLOSED' });
  const received = [];
  for await (const value of channel) received.push(value);
  assert.deepStrictEqual(received, [1, 2, 3]);
  assert.throws(() => channel.tryReceive(), { code: 'ERR_MANYCORE_CHANNEL_CLOSED' });
  await assert.rejects(channel.receive(), { code: 'ERR_MANYCORE_CHANNEL_CLOSED' });
});

test('closing a channel ends all waits in other threads and processes', WATCHDOG, async (t) => {
  const [empty, full] = [Channel.open(nameFor(t)), Channel.open(nameFor(t), { capacity: 1 })];
  full.trySend('full');
  const peers = [processPeer(t), processPeer(t), threadPeer(t)];
  const wait = ({ manycore, kept }, receiveFrom, sendTo) => {
    const code = (error) => error.code;
    kept.received = manycore.Channel.from(receiveFrom).receive().catch(code);
    kept.sent = manycore.Channel.from(sendTo).send('more').catch(code);
  };
  await Promise.all(peers.map((peer) => peer.run(wait, empty.handle, full.handle)));
  empty.close();
  full.close();
  const ends = peers.map((peer) => peer.run(({ kept }) => Promise.all([kept.received, kept.sent])));
  const closed = 'ERR_MANYCORE_CHANNEL_CLOSED';
  assert.deepStrictEqual(
    await Promise.all(ends),
    peers.map(() => [closed, closed]),
  );
  // Values in it can still be received.
  assert.strictEqual(await full.receive(), 'full');
  await assert.rejects(full.receive(), { code: closed });
});

test('each value reaches exactly one of many receivers in threads and processes', WATCHDOG, async (t) => {
  const channel = Channel.open(nameFor(t), { capacity: 16 });
  const [consumers, producers] = [
    [processPeer(t), threadPeer(t)],
    [processPeer(t), threadPeer(t), processPeer(t)],
  ];
  const consume = async ({ manycore }, handle) => {
    let [sum, count] = [0, 0];
    for await (const { n } of manycore.Channel.from(handle)) {
      sum += n;
      count++;
    }
    return { sum, count };
  };
  const produce = async ({ manycore }, handle, from, blocking) => {
    const channel = manycore.Channel.from(handle);
    for (let n = from; n < from + 1000; n++) {
      if (blocking) channel.sendSync({ n });
      else await channel.send({ n });
    }
  };
  const received = consumers.map((peer) => peer.run(consume, channel.handle));
  await Promise.all(
    producers.map((peer, index) => peer.run(produce, channel.handle, index * 1000, index === 2)),
  );
  channel.close();
  const results = await Promise.all(received);
  assert.strictEqual(results[0].count + results[1].count, 3000);
  assert.strictEqual(results[0].sum + results[1].sum, (2999 * 3000) / 2);
});

test('a channel still works after senders and receivers are killed', WATCHDOG, async (t) => {
  const channel = Channel.open(nameFor(t), { capacity: 8 });
  const busy = ({ manycore }, handle) => {
    const channel = manycore.Channel.from(handle);
    setImmediate(() => {
      for (let n = 0; ; n++) {
        channel.trySend({ n, text: 'x'.repeat(n % 500) });
        const received = channel.tryReceive();
        if (received && received.value.text.length !== received.value.n % 500) process.exit(1);
      }
    });
  };
  for (let round = 0; round < 5; round++) {
    const peers = [processPeer(t), processPeer(t)];
    await Promise.all(peers.map((peer) => peer.run(busy, channel.handle)));
    for (let i = 0; i < 200; i++) await turn();
    for (const peer of peers) peer.child.kill('SIGKILL');
    const ends = await Promise.all(peers.map((peer) => peer.ended));
    assert.deepStrictEqual(
      ends.map(({ signal }) => signal),
      ['SIGKILL', 'SIGKILL'],
    );
    while (channel.tryReceive());
    channel.sendSync(round);
    assert.strictEqual(channel.receiveSync(), round);
  }
});

test('a thread blocked on a channel can be terminated', WATCHDOG, async (t) => {
  const channel = new Channel();
  const peer = threadPeer(t);
  await peer.run(({ manycore, kept }, handle) => {
    kept.channel = manycore.Channel.from(handle);
    setImmediate(() => {
      kept.channel.trySend('blocking now');
      kept.channel.tryReceive();
      manycore.Channel.from(handle).receiveSync();
    });
  }, channel.handle);
  await peer.worker.terminate();
});

test('each subscriber receives everything published after it subscribed', WATCHDOG, async (t) => {
  const topic = Topic.open(nameFor(t));
  const subscribe = async ({ manycore, kept }, handle) => {
    kept.subscription = manycore.Topic.from(handle).subscribe();
  };
  const collect = async ({ kept }) => {
    const received = [];
    for await (const value of kept.subscription) received.push(value);
    return received;
  };
  topic.publish('before');
  const peers = [processPeer(t), threadPeer(t)];
  await Promise.all(peers.map((peer) => peer.run(subscribe, topic.handle)));
  const collected = peers.map((peer) => peer.run(collect));
  for (const value of VALUES) topic.publish(value);
  topic.close();
  for (const received of await Promise.all(collected)) assert.deepStrictEqual(received, VALUES);
  assert.throws(() => topic.publish(1), { code: 'ERR_MANYCORE_CHANNEL_CLOSED' });
});

test('a slow subscriber is told its lag and how many messages it missed', () => {
  const topic = new Topic({ capacityBytes: 4096 });
  const slow = topic.subscribe();
  for (let n = 0; n < 10; n++) topic.publish(n);
  assert.strictEqual(slow.lag, 10);
  assert.deepStrictEqual(slow.tryReceive(), { value: 0 });
  assert.deepStrictEqual([slow.lag, slow.missed], [9, 0]);
  for (let n = 10; n < 1000; n++) topic.publish(n);
  const { value } = slow.tryReceive();
  assert.ok(value > 500);
  assert.strictEqual(slow.missed, value - 1);
  assert.strictEqual(slow.lag, 999 - value);
  const early = topic.subscribe({ from: 'earliest' });
  assert.strictEqual(early.tryReceive().value, value);
  assert.throws(() => topic.subscribe({ from: 'x' }), { code: 'ERR_INVALID_ARG_VALUE' });
  slow.release();
  assert.throws(() => slow.tryReceive(), { code: 'ERR_MANYCORE_CLOSED' });
});
