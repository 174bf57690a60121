'use strict';

const assert = require('node:assert');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const test = require('node:test');

const { SharedMap } = require('..');
const { WATCHDOG, processPeer } = require('./support/shared');

const PROGRAM = path.join(__dirname, 'fixtures', 'shared-soak.js');
/** Operations per thread; more for a longer run. */
const OPERATIONS = Number(process.env.MANYCORE_SOAK_OPERATIONS ?? 4000);

test('four processes of two threads each find exactly what each of them stored', WATCHDOG, async (t) => {
  const map = new SharedMap({ capacityBytes: 4 * 1024 * 1024, shards: 4 });
  const counts = await Promise.all(
    [0, 1, 2, 3].map(async (number) => {
      const child = fork(PROGRAM, [map.handle, String(number), String(OPERATIONS)]);
      t.after(() => child.kill('SIGKILL'));
      const exited = once(child, 'exit');
      const [raised] = await Promise.race([
        once(child, 'message'),
        exited.then(([code, signal]) => assert.fail(`exited with ${signal ?? code}`)),
      ]);
      assert.deepStrictEqual(await exited, [0, null]);
      return raised;
    }),
  );
  for (let counter = 0; counter < 5; counter++) {
    const sum = counts.reduce((sum, raised) => sum + raised[counter], 0);
    assert.strictEqual(map.get(`counter:${counter}`), sum);
  }
  assert.strictEqual([...map].length, map.size);
});

test('a map still works after its writers are killed repeatedly', WATCHDOG, async (t) => {
  const map = new SharedMap({ capacityBytes: 1024 * 1024, shards: 1 });
  map.set('kept', 'as it was');
  const write = ({ manycore }, handle) => {
    const map = manycore.SharedMap.from(handle);
    setImmediate(() => {
      for (let n = 0; ; n++) {
        map.set(n % 50, { n, text: 'x'.repeat(n % 700) });
        if (n % 3 === 0) map.delete((n * 7) % 50);
      }
    });
  };
  for (let round = 0; round < 6; round++) {
    const peers = [processPeer(t), processPeer(t)];
    await Promise.all(peers.map((peer) => peer.run(write, map.handle)));
    for (let seen = 0; seen < 300; seen++) {
      const value = map.get(seen % 50);
      if (value !== undefined) assert.strictEqual(value.text.length, value.n % 700);
    }
    for (const peer of peers) peer.child.kill('SIGKILL');
    await Promise.all(peers.map((peer) => peer.ended));
    for (const [key, value] of map) {
      if (typeof key === 'number') assert.strictEqual(value.text.length, value.n % 700);
    }
    map.set('round', round);
    assert.deepStrictEqual([map.get('kept'), map.get('round')], ['as it was', round]);
    assert.strictEqual(map.size, [...map].length);
  }
  map.clear();
  assert.strictEqual(map.stats().usedBytes, 0);
});

/*
 * Run in another process, so that a crash is detected: overwrites the memory of an object with invalid data, and
 * uses it.
 */
function damage({ manycore }, kind, seed, from) {
  const fs = process.getBuiltinModule('node:fs');
  const make = {
    map: () => new manycore.SharedMap({ capacityBytes: 65_536, evict: seed % 2 ? 'lru' : 'none' }),
    channel: () => new manycore.Channel({ capacityBytes: 2048 }),
    topic: () => new manycore.Topic({ capacityBytes: 2048 }),
    limiter: () => new manycore.RateLimiter({ limit: 5, windowMs: 1000, maxKeys: 100 }),
    histogram: () => new manycore.SharedHistogram({ highest: 1000, significantDigits: 1 }),
    counter: () => new manycore.SharedCounter(),
  };
  const use = {
    map(map, n) {
      map.set(`key:${n}`, { n, list: [n] });
      map.get(`key:${n + 1}`);
      map.incr('count');
      map.delete(`key:${n - 5}`);
      if (n % 10 === 0) [...map];
    },
    channel(channel, n) {
      channel.trySend({ n });
      channel.tryReceive();
    },
    topic(topic, n) {
      topic.publish({ n });
      topic.subscribe({ from: 'earliest' }).tryReceive();
    },
    limiter: (limiter, n) => limiter.take(n),
    histogram(histogram, n) {
      histogram.record(n);
      histogram.percentile(n);
      histogram.summary();
    },
    counter: (counter) => counter.add(1),
  };
  let state = seed + 1;
  const random = () => (state = (state * 48271) % 2147483647);
  const object = make[kind]();
  const [, fd] = /fd\/\d+\/(\d+)/.exec(object.handle);
  for (let n = 0; n < 30; n++) use[kind](object, n);
  const { size } = fs.fstatSync(Number(fd));
  for (let i = 0; i < 300; i++) {
    const bytes = Buffer.alloc(8);
    // Small numbers get further than random ones, which are rejected at the first check.
    bytes.writeUInt32LE(random() % 3 ? random() % 2000 : random());
    bytes.writeUInt32LE(random() % 4 ? 0 : random() % 2000, 4);
    const word = from + 8 * (random() % ((size - from) / 8 - 1));
    // Half of them among the words that locate everything else.
    fs.writeSync(Number(fd), bytes, 0, 8, i % 2 ? from + (word % Math.min(2048, size - from - 8)) : word);
  }
  const codes = {};
  for (let n = 0; n < 60; n++) {
    try {
      use[kind](n % 5 === 4 && from === 0 ? object.constructor.from(object.handle) : object, n);
    } catch (error) {
      codes[error.code ?? error.message] = (codes[error.code] ?? 0) + 1;
    }
  }
  return Object.keys(codes);
}

const FORESEEN =
  /^ERR_MANYCORE_(SEGMENT_\w+|FULL|CHANNEL_CLOSED|STUCK)$|^ERR_INVALID_ARG_VALUE$|^ERR_OUT_OF_RANGE$/;

for (const kind of ['map', 'channel', 'topic', 'limiter', 'histogram', 'counter']) {
  test(`arbitrary bytes in the memory of a ${kind} cause errors at most`, WATCHDOG, async (t) => {
    const peer = processPeer(t);
    for (let seed = 0; seed < 25; seed++) {
      // Including the header in every fifth round.
      const codes = await peer.run(damage, kind, seed, seed % 5 === 4 ? 0 : 4096);
      for (const code of codes) assert.match(code, FORESEEN, `seed ${seed}`);
    }
  });
}
