'use strict';

const assert = require('node:assert');
const test = require('node:test');
const hdr = require('hdr-histogram-js');

const { RateLimiter, SharedCounter, SharedHistogram } = require('..');
const { WATCHDOG, nameFor, processPeer, threadPeer } = require('./support/shared');

test('a counter counts exactly in all threads and processes', WATCHDOG, async (t) => {
  const name = nameFor(t);
  const counter = SharedCounter.open(name, { initial: 5 });
  const add = ({ manycore }, name, count) => {
    const counter = manycore.SharedCounter.open(name);
    for (let i = 0; i < count; i++) counter.add(2);
  };
  await Promise.all(
    [processPeer(t), processPeer(t), threadPeer(t)].map((peer) => peer.run(add, name, 20_000)),
  );
  assert.strictEqual(counter.value, 120_005);
});

test('a counter supports add, subtract, exchange and compareExchange', () => {
  const counter = new SharedCounter();
  assert.strictEqual(counter.add(), 1);
  assert.strictEqual(counter.add(2 ** 52), 2 ** 52 + 1);
  assert.strictEqual(counter.subtract(2 ** 52), 1);
  assert.strictEqual(counter.subtract(), 0);
  assert.strictEqual(counter.exchange(-7), 0);
  assert.strictEqual(counter.compareExchange(1, 2), -7);
  assert.strictEqual(counter.compareExchange(-7, 2), -7);
  assert.strictEqual(SharedCounter.from(counter).value, 2);
  for (const by of [0.5, NaN, 2 ** 53]) assert.throws(() => counter.add(by), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => counter.add('1'), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => counter.exchange(), { code: 'ERR_INVALID_ARG_TYPE' });
  counter.close();
  assert.throws(() => counter.add(), { code: 'ERR_MANYCORE_CLOSED' });
});

test('a counter counts exactly beyond the integers that it can return', () => {
  const most = Number.MAX_SAFE_INTEGER;
  const counter = new SharedCounter({ initial: most });
  // The last of these is 2^53 + 1.
  assert.deepStrictEqual([counter.add(), counter.add()], [2 ** 53, 2 ** 53]);
  assert.strictEqual(counter.subtract(most), 2);
  counter.exchange(-most);
  assert.strictEqual(counter.subtract(2), -(2 ** 53));
  assert.strictEqual(counter.add(most), -2);
});

test('a histogram reports the same values as hdr-histogram-js', () => {
  for (const [highest, digits] of [
    [3_600_000, 3],
    [1_000_000_000, 2],
    [100_000, 5],
  ]) {
    const ours = new SharedHistogram({ highest, significantDigits: digits });
    const theirs = hdr.build({
      lowestDiscernibleValue: 1,
      highestTrackableValue: highest,
      numberOfSignificantValueDigits: digits,
      autoResize: false,
    });
    let state = 1;
    for (let i = 0; i < 5000; i++) {
      state = (state * 48271) % 2147483647;
      const value = Math.floor(highest ** (state / 2147483647));
      ours.record(value);
      theirs.recordValue(value);
      if (i % 50 === 0) {
        ours.recordCorrected(value, 1000);
        theirs.recordValueWithExpectedInterval(value, 1000);
      }
    }
    ours.record(3, 10);
    theirs.recordValueWithCount(3, 10);
    for (const percent of [0, 1, 10, 25, 50, 75, 90, 99, 99.9, 99.99, 100]) {
      assert.strictEqual(ours.percentile(percent), theirs.getValueAtPercentile(percent), `${percent} %`);
    }
    assert.strictEqual(ours.count, theirs.totalCount);
    assert.strictEqual(ours.min, theirs.minNonZeroValue);
    assert.strictEqual(ours.max, theirs.maxValue);
    const near = (one, other) => assert.ok(Math.abs(one - other) <= other * 1e-9, `${one} and ${other}`);
    near(ours.mean, theirs.mean);
    near(ours.stddev, theirs.stdDeviation);
    const sum = ours.buckets().reduce((sum, { count }) => sum + count, 0);
    assert.strictEqual(sum, ours.count);
  }
});

test('processes record into one histogram, and histograms can be merged', WATCHDOG, async (t) => {
  const histogram = SharedHistogram.open(nameFor(t), { highest: 10_000 });
  const record = ({ manycore }, handle) => {
    const histogram = manycore.SharedHistogram.from(handle);
    for (let value = 1; value <= 10_000; value++) histogram.record(value);
  };
  await Promise.all([processPeer(t), threadPeer(t)].map((peer) => peer.run(record, histogram.handle)));
  const { count, min, max } = histogram.summary();
  assert.deepStrictEqual([count, min], [20_000, 1]);
  assert.ok(max >= 10_000 && max < 10_010);
  const sum = new SharedHistogram({ highest: 10_000 }).merge(histogram).merge(histogram);
  assert.strictEqual(sum.count, 40_000);
  assert.throws(() => sum.merge(new SharedHistogram()), { code: 'ERR_INVALID_ARG_VALUE' });
  sum.reset();
  assert.deepStrictEqual(sum.summary(), { count: 0, min: 0, max: 0, mean: 0, stddev: 0 });
  assert.throws(() => sum.record(10_001), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => sum.record(-1), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => sum.record('1'), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => sum.percentile(101), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => sum.percentile(), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => sum.recordCorrected(1), { code: 'ERR_INVALID_ARG_TYPE' });
});

for (const algorithm of ['token-bucket', 'sliding-window']) {
  test(`a ${algorithm} limiter allows exactly its limit across all processes`, WATCHDOG, async (t) => {
    // With such a long window, nothing is refilled during the test.
    const options = { algorithm, limit: 30_000, windowMs: 2 ** 33 };
    const limiter = RateLimiter.open(nameFor(t), options);
    const consume = ({ manycore }, handle) => {
      const limiter = manycore.RateLimiter.from(handle);
      let allowed = 0;
      for (let i = 0; i < 20_000; i++) allowed += Number(limiter.consume('client'));
      return allowed;
    };
    const peers = [processPeer(t), processPeer(t), threadPeer(t)];
    const counts = await Promise.all(peers.map((peer) => peer.run(consume, limiter.handle)));
    assert.strictEqual(
      counts.reduce((sum, count) => sum + count),
      30_000,
    );
    assert.strictEqual(limiter.consume('client'), false);
    assert.strictEqual(limiter.consume('another'), true);
  });

  test(`a ${algorithm} limiter reports the remaining allowance and when to retry`, () => {
    const limiter = new RateLimiter({ algorithm, limit: 10, windowMs: 3_600_000 });
    assert.deepStrictEqual(limiter.take('k', 4), { allowed: true, remaining: 6, retryAfterMs: 0 });
    const denied = limiter.take('k', 7);
    assert.deepStrictEqual([denied.allowed, denied.remaining], [false, 6]);
    assert.ok(denied.retryAfterMs > 0 && denied.retryAfterMs <= 7_200_000);
    assert.deepStrictEqual(limiter.peek('k', 6), { allowed: true, remaining: 6, retryAfterMs: 0 });
    assert.deepStrictEqual(limiter.peek('k', 7).remaining, 6);
    assert.deepStrictEqual(limiter.peek('fresh'), { allowed: true, remaining: 10, retryAfterMs: 0 });
    assert.strictEqual(limiter.consume('k', 6), true);
    assert.strictEqual(limiter.consume('k'), false);
    limiter.reset('k');
    assert.strictEqual(limiter.consume('k', 10), true);
    assert.strictEqual(limiter.rules.algorithm, algorithm);
  });

  test(
    `a ${algorithm} limiter allows requests again once its allowance is replenished`,
    WATCHDOG,
    async () => {
      const limiter = new RateLimiter({ algorithm, limit: 2, windowMs: 20 });
      for (let allowed = 0; allowed < 7;) {
        if (limiter.consume(7)) allowed++;
        else await new Promise(setImmediate);
      }
    },
  );
}

test('a limiter holds at most maxKeys active keys', () => {
  const limiter = new RateLimiter({ limit: 1, windowMs: 2 ** 33, maxKeys: 100 });
  for (let key = 0; key < 100; key++) assert.strictEqual(limiter.consume(`key:${key}`), true);
  for (let key = 0; key < 100; key++) assert.strictEqual(limiter.consume(`key:${key}`), false);
  const fill = () => {
    for (let key = 0; ; key++) limiter.consume(key);
  };
  assert.throws(fill, { code: 'ERR_MANYCORE_FULL' });
});

test('a cost that can never be consumed is told from one that can later', () => {
  const rules = [
    { limit: 10, windowMs: 60_000 },
    { limit: 2, windowMs: 60_000, burst: 10 },
    { limit: 10, windowMs: 60_000, algorithm: 'sliding-window' },
  ];
  for (const rule of rules) {
    const limiter = new RateLimiter(rule);
    const never = { allowed: false, remaining: 10, retryAfterMs: Infinity };
    assert.deepStrictEqual(limiter.take('k', 11), never);
    assert.deepStrictEqual(limiter.peek('k', 11), never);
    assert.strictEqual(limiter.take('k', 10).allowed, true);
    assert.ok(Number.isFinite(limiter.take('k', 10).retryAfterMs));
    assert.strictEqual(limiter.take('k', 11).retryAfterMs, Infinity);
  }
});

test('invalid limiter rules are rejected', () => {
  const missing = { code: 'ERR_INVALID_ARG_TYPE', message: /Received undefined/ };
  assert.throws(() => new RateLimiter(), missing);
  assert.throws(() => new RateLimiter({ limit: 1 }), missing);
  assert.throws(() => new RateLimiter({ limit: 0, windowMs: 1 }), { code: 'ERR_OUT_OF_RANGE' });
  const slides = { algorithm: 'sliding-window', limit: 2 ** 20, windowMs: 1 };
  assert.throws(() => new RateLimiter(slides), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => new RateLimiter({ algorithm: 'x' }), { code: 'ERR_INVALID_ARG_VALUE' });
  const limiter = new RateLimiter({ limit: 1, windowMs: 1 });
  assert.throws(() => limiter.consume('k', 0.5), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => limiter.consume({}), { code: 'ERR_INVALID_ARG_TYPE' });
});
