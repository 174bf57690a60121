'use strict';

// Options that do not exist have no effect, as in Node, but are reported with a warning.

const assert = require('node:assert/strict');
const test = require('node:test');
const {
  BroadcastChannel,
  Channel,
  Condition,
  LockManager,
  MessageChannel,
  Mutex,
  Pool,
  RateLimiter,
  SharedArray,
  SharedBuffer,
  SharedCounter,
  SharedHistogram,
  SharedMap,
  Topic,
  cluster,
  configureLink,
  configureLinks,
  shared,
} = require('..');
const { TASKS, WATCHDOG } = require('./support/pool');

const CODE = 'MANYCORE_UNKNOWN_OPTION';

/**
 * Returns the messages of the warnings that a function causes.
 * @param {() => unknown} fn
 */
async function warningsOf(fn) {
  /** @type {string[]} */
  const messages = [];
  const onWarning = (/** @type {any} */ { code, message }) => code === CODE && messages.push(message);
  process.on('warning', onWarning);
  try {
    await fn();
    // Warnings are emitted in the next tick.
    await new Promise((resolve) => setImmediate(resolve));
    return messages;
  } finally {
    process.off('warning', onWarning);
  }
}

/** @type {[string, () => unknown, RegExp][]} */
const MISSPELT = [
  [
    'a letter too few',
    () => new SharedMap(opt({ capacityByte: 1 })),
    /^SharedMap has no option 'capacityByte'.*did you mean 'capacityBytes'\?$/,
  ],
  ['no unit', () => new SharedMap(opt({ ttl: 1 })), /did you mean 'ttlMs'\?$/],
  ['letters swapped', () => new SharedMap(opt({ sahrds: 1 })), /did you mean 'shards'\?$/],
  ['case', () => new SharedMap(opt({ EVICT: 'lru' })), /did you mean 'evict'\?$/],
  [
    'no similar option',
    () => new SharedMap(opt({ entries: 1 })),
    /there are capacityBytes, shards, .*, create, scope$/,
  ],
  [
    'of a method',
    () => new SharedMap().set('a', 1, opt({ ttl: 5 })),
    /^A change of a SharedMap .*'ttlMs'\?$/,
  ],
  ['array', () => new SharedArray(opt({ capacity: 1, valueByte: 8 })), /'valueBytes'\?$/],
  ['buffer', () => new SharedBuffer(opt({ byteLength: 1, bytelength: 1 })), /'byteLength'\?$/],
  ['counter', () => new SharedCounter(opt({ inital: 1 })), /'initial'\?$/],
  ['histogram', () => new SharedHistogram(opt({ hihgest: 100 })), /'highest'\?$/],
  ['limiter', () => new RateLimiter(opt({ limit: 1, windowMs: 1, bursts: 1 })), /'burst'\?$/],
  ['channel', () => new Channel(opt({ capacityByte: 1 })), /'capacityBytes'\?$/],
  ['topic', () => new Topic(opt({ capacity: 1 })), /'capacityBytes'\?$/],
  ['channel, blocking', () => withValue((channel) => channel.receiveSync({ timeout: 1 })), /'timeoutMs'\?$/],
  ['lock', () => new Mutex(opt({ maxRequest: 1 })), /'maxRequests'\?$/],
  [
    'request for a lock',
    () => new Mutex().lock(opt({ timeout: 1 })).unlock(),
    /^A request for a lock .*'timeoutMs'\?$/,
  ],
  ['named locks', () => locks().request('a', opt({ timeOut: 1 }), () => {}), /'timeoutMs'\?$/],
  ['manager of locks', () => new LockManager(opt({ nameSpace: 'a' })), /'namespace'\?$/],
  ['request', () => askPort(opt({ timeout: 1 })), /^A request has no option 'timeout'/],
  [
    'pool',
    () => withPool((pool) => pool.exec(() => 1), { maxThread: 1 }),
    /^Pool has no option .*'maxThreads'\?$/,
  ],
  [
    'pool, several',
    () => withPool((pool) => pool.exec(() => 1), { threads: 1 }),
    /'minThreads' or 'maxThreads'\?$/,
  ],
  ['task', () => withPool((pool) => pool.exec(() => 1, [], opt({ timeout: 5 }))), /^A task .*'timeoutMs'\?$/],
  [
    'items',
    () => withPool((pool) => pool.map([1], opt({ filename: TASKS, name: 'echo', prioriti: 5 }))),
    /'priority'\?$/,
  ],
  ['subscription', () => new Topic().subscribe(opt({ form: 'earliest' })), /^subscribe\(\) .*'from'\?$/],
  [
    'removal of a name',
    () => shared.unlink('settings-options', opt({ scop: 'process' })),
    /^shared\.unlink\(\) .*'scope'\?$/,
  ],
  [
    'condition',
    () => waitFor(opt({ sginal: undefined, signals: AbortSignal.timeout(1000) })),
    /^waitForAsync\(\) .*'signal'\?$/,
  ],
  [
    'channel of the host',
    () => new BroadcastChannel('settings-options', opt({ scopes: 'host' })).close(),
    /^BroadcastChannel .*'scope'\?$/,
  ],
  ['links', () => configureLinks(opt({ latncy: 'low' })), /^configureLinks\(\) .*'latency'\?$/],
  [
    'link',
    () => configureLink({}, opt({ highWaterMark: 1 })),
    /^configureLink\(\) .*'highWaterMarkBytes'\?$/,
  ],
  [
    'cluster',
    () => cluster.setupPrimary(opt({ stallLimit: 5 })),
    /^cluster\.setupPrimary\(\) .*'stallLimitMs'\?$/,
  ],
];

/** Options that the types do not allow. @param {any} options */
function opt(options) {
  return options;
}

const locks = () => new LockManager({ scope: 'process', namespace: 'settings-options' });

/** @param {(channel: any) => unknown} fn */
function withValue(fn) {
  const channel = new Channel();
  channel.trySend(1);
  return fn(channel);
}

/** @param {any} options */
async function askPort(options) {
  const { port1, port2 } = new MessageChannel();
  port2.onRequest((value) => value);
  assert.equal(await port1.request(1, options), 1);
  port1.close();
}

/** @param {any} options */
async function waitFor(options) {
  const token = new Mutex().lock();
  await new Condition().waitForAsync(token, 0, () => true, options);
  token.unlock();
}

/**
 * @param {(pool: Pool) => unknown} fn
 * @param {any} [options]
 */
async function withPool(fn, options) {
  const pool = new Pool({ minThreads: 1, maxThreads: 1, ...options });
  try {
    await fn(pool);
  } finally {
    await pool.destroy();
  }
}

for (const [what, fn, message] of MISSPELT) {
  test(`a misspelt option is reported, once: ${what}`, WATCHDOG, async () => {
    const [first, ...more] = await warningsOf(async () => {
      await fn();
      await fn();
    });
    assert.match(first, message);
    assert.deepEqual(more, []);
  });
}

test(
  'options that exist, are undefined, or are those of other pools are not reported',
  WATCHDOG,
  async () => {
    const messages = await warningsOf(async () => {
      new SharedMap(
        opt({
          capacityBytes: 65_536,
          shards: 1,
          averageEntryBytes: 64,
          evict: 'lru',
          ttlMs: 5,
          tll: undefined,
        }),
      );
      new SharedMap().set('a', 1, { ttlMs: 5 });
      new Mutex({ maxRequests: 4 }).lock({ timeoutMs: 5 }).unlock();
      await locks().request('a', { mode: 'shared', timeoutMs: 5 }, () => {});
      await askPort({ timeoutMs: 60_000 });
      const others = { useAtomics: true, workerOpts: {}, serialization: 'json', script: 'x', fancy: 1 };
      await withPool((pool) => pool.broadcast(1).catch(() => {}), others);
      await withPool((pool) =>
        pool.exec(() => 1, [], { on: () => {}, transfer: [], metadata: 1, retries: 1 }),
      );
    });
    assert.deepEqual(messages, []);
  },
);
