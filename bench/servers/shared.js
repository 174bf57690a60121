'use strict';

/*
 * Program of bench/shared.js:
 *
 *   node shared.js LIBRARY SCENARIO COUNT PROCESSES ENTRIES own|shared
 *
 * Starts PROCESSES processes that each perform COUNT operations on a store of ENTRIES entries; the time counts from
 * the start of the first to the end of the last. With `own`, each process has a store of its own, so that they only
 * share the machine. Prints {operations, elapsedNs, stepsPerUs, overheadBytes}.
 */

const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { fork, spawn } = require('node:child_process');
const { once } = require('node:events');
const { freePort } = require('../lib/free-port');

/** Maximum number of keys in use, spread over all entries. */
const MOST_KEYS = 100_000;
/** Number of entries stored before waiting for completion. */
const BATCH = 100_000;
/** Estimated size of an entry in a map: 64 characters, its key, and 43 bytes; doubled for uneven shards. */
const ENTRY_BYTES = 240;
const MIB = 1024 * 1024;
const CLIENTS = 100;
const LIMIT = 1_500_000;
const TEXT = 'x'.repeat(64);
const OBJECT = { id: 12_345, name: 'Ada Lovelace', tags: ['a', 'b'], ok: true };
const STEPS = 10_000;
const STEP_ROUNDS = 1000;
const keyOf = (index) => `user:${index}`;

/** By library: `open` opens the store at a place, `make` and `remove` manage the place. */
const libraries = {
  manycore: {
    async make(scenario, entries) {
      const { RateLimiter, SharedMap } = require('../..');
      if (scenario === 'limit') {
        const limiter = new RateLimiter({ limit: LIMIT / CLIENTS, windowMs: 2 ** 33 });
        return { place: limiter.handle, remove: () => limiter.close() };
      }
      const map = new SharedMap({ capacityBytes: Math.max(4 * MIB, entries * ENTRY_BYTES) });
      return { place: map.handle, remove: () => overheadOf(map) };
    },
    async open(place, scenario) {
      const { RateLimiter, SharedMap } = require('../..');
      if (scenario === 'limit') {
        const limiter = RateLimiter.from(place);
        return { consume: (client) => limiter.consume(client), end() {} };
      }
      const map = SharedMap.from(place);
      return { get: (key) => map.get(key), set: (key, value) => map.set(key, value), end() {} };
    },
  },
  lmdb: {
    async make() {
      const place = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-bench-'));
      return { place, remove: () => fs.rmSync(place, { recursive: true }) };
    },
    async open(place, scenario, entries) {
      const encoding = scenario.startsWith('object') ? 'msgpack' : 'string';
      const mapSize = Math.max(256 * MIB, entries * 1024);
      const db = require('lmdb').open({ path: place, encoding, noSync: true, mapSize });
      let last;
      return {
        get: (key) => db.get(key),
        // Batched by the library: awaited once, at the end.
        set: (key, value) => void (last = db.put(key, value)),
        consume: (client) => db.transactionSync(() => consumeFrom(db, client)),
        flush: () => last,
        end: () => db.close(),
      };
    },
  },
  redis: {
    async make() {
      const port = String(await freePort());
      const server = spawn(
        'redis-server',
        ['--port', port, '--save', '', '--appendonly', 'no', '--bind', '127.0.0.1'],
        {
          stdio: 'ignore',
        },
      );
      const ended = once(server, 'exit');
      await untilListening(port);
      return { place: port, remove: () => server.kill() && ended.then(() => {}) };
    },
    async open(port, scenario) {
      const redis = new (require('ioredis'))(Number(port));
      const isObject = scenario.startsWith('object');
      return {
        get: async (key) => (isObject ? JSON.parse(await redis.get(key)) : redis.get(key)),
        set: (key, value) => redis.set(key, isObject ? JSON.stringify(value) : value),
        consume: async (client) => (await redis.incr(`limit:${client}`)) <= LIMIT / CLIENTS,
        end: () => redis.quit(),
      };
    },
  },
};

/** Place of processes that each create their own store. */
const OWN = { place: 'own', async remove() {} };

/** A fixed window in a transaction, which is what lmdb offers for counting. */
function consumeFrom(db, client) {
  const count = Number(db.get(`limit:${client}`) ?? 0);
  if (count >= LIMIT / CLIENTS) return false;
  db.putSync(`limit:${client}`, String(count + 1));
  return true;
}

/** Memory per entry in excess of its key and value. */
function overheadOf(map) {
  const { size, usedBytes, payloadBytes, capacityBytes, segmentBytes } = map.stats();
  const blocks = (usedBytes - payloadBytes) / size;
  // Lists, buckets and headers, divided by the number of entries of this size that fit.
  const fixed = (segmentBytes - capacityBytes) / (capacityBytes / (usedBytes / size));
  return { overheadBytes: blocks + fixed };
}

async function untilListening(port) {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const socket = net.connect(Number(port), '127.0.0.1');
    try {
      await once(socket, 'connect');
      socket.destroy();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

/**
 * Performs COUNT operations and returns how many were allowed, for limits. One loop per scenario, separate for
 * synchronous libraries, since the cost of the loop is attributed to the library.
 */
function operate(store, scenario, count, isAsync, keys) {
  if (isAsync) return operateAsync(store, scenario, count, keys);
  if (scenario === 'limit') return consumeAll(store, count);
  if (scenario.endsWith('get')) return getAll(store, count, keys);
  return setAll(store, count, keys, valueOf(scenario));
}

function consumeAll(store, count) {
  let allowed = 0;
  for (let i = 0; i < count; i++) allowed += Number(store.consume(i % CLIENTS));
  return allowed;
}

function getAll(store, count, keys) {
  for (let i = 0; i < count; i++) {
    if (store.get(keys[i % keys.length]) === undefined) throw new Error('a value is missing');
  }
  return 0;
}

async function setAll(store, count, keys, value) {
  for (let i = 0; i < count; i++) store.set(keys[i % keys.length], value);
  await store.flush?.();
  return 0;
}

async function operateAsync(store, scenario, count, keys) {
  const value = valueOf(scenario);
  let allowed = 0;
  for (let i = 0; i < count; i++) {
    const key = keys[i % keys.length];
    if (scenario === 'limit') allowed += Number(await store.consume(i % CLIENTS));
    else if (scenario.endsWith('set')) await store.set(key, value);
    else if ((await store.get(key)) === undefined) throw new Error('a value is missing');
  }
  return allowed;
}

const valueOf = (scenario) => (scenario.startsWith('object') ? OBJECT : TEXT);

/** Steps of arithmetic, which use nothing but the processor. */
function arithmetic(steps) {
  let [a, b, c, d] = [1, 2, 3, 4];
  for (let i = 0; i < steps; i++) {
    a = (a + i) | 0;
    b = (b ^ i) | 0;
    c = (c + 7) | 0;
    d = (d ^ 3) | 0;
  }
  return a + b + c + d;
}

/** Number of those steps per microsecond at present. */
function stepsPerUs() {
  let sum = 0;
  const began = process.hrtime.bigint();
  for (let round = 0; round < STEP_ROUNDS; round++) sum += arithmetic(STEPS);
  const elapsedUs = Number(process.hrtime.bigint() - began) / 1000;
  // Used, so that the loop is not optimised away.
  return Number.isNaN(sum) ? sum : (STEPS * STEP_ROUNDS) / elapsedUs;
}

/** Stores all entries. */
async function fill(store, scenario, entries, isAsync) {
  const value = valueOf(scenario);
  for (let i = 0; i < entries; i++) {
    const done = store.set(keyOf(i), value);
    if (isAsync) await done;
    else if (i % BATCH === BATCH - 1) await store.flush?.();
  }
  await store.flush?.();
}

/**
 * Shuffles keys, so that each process has its own random order, the same in every run: in the order of their storage,
 * the processor would fetch the next entries ahead, and several processes would follow each other.
 * @param {string[]} keys
 * @param {number} seed
 */
function shuffled(keys, seed) {
  let state = 1 + Math.floor(seed * 1000);
  for (let left = keys.length; left > 1; left--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const at = Math.floor((state / 2 ** 32) * left);
    [keys[left - 1], keys[at]] = [keys[at], keys[left - 1]];
  }
  return keys;
}

/** One of the processes: reports when it is ready, and starts when told to. */
async function work(library, scenario, count, place, entries, share) {
  const isAsync = library === 'redis';
  const own = place === OWN.place ? await libraries[library].make(scenario, entries) : undefined;
  const store = await libraries[library].open(own?.place ?? place, scenario, entries);
  const used = Math.min(entries, MOST_KEYS);
  const keys = shuffled(
    Array.from({ length: used }, (_, index) => keyOf(Math.floor((index * entries) / used))),
    share,
  );
  if (scenario !== 'limit') {
    await fill(store, scenario, entries, isAsync);
    await operate(store, scenario, Math.min(count, Math.max(30_000, used)), isAsync, keys);
  }
  stepsPerUs();
  process.send('ready');
  await once(process, 'message');
  const before = stepsPerUs();
  const beganNs = String(process.hrtime.bigint());
  const allowed = await operate(store, scenario, count, isAsync, keys);
  const endedNs = String(process.hrtime.bigint());
  process.send({ allowed, beganNs, endedNs, stepsPerUs: (before + stepsPerUs()) / 2 });
  await store.end();
  await own?.remove();
  process.disconnect();
}

async function run(library, scenario, count, processes, entries, whose) {
  const { place, remove } = whose === 'own' ? OWN : await libraries[library].make(scenario, entries);
  const args = ['work', library, scenario, count, place, entries].map(String);
  const children = Array.from({ length: processes }, (_, index) =>
    fork(__filename, [...args, String(index / processes)], { stdio: ['ignore', 2, 2, 'ipc'] }),
  );
  const next = (child) => Promise.race([once(child, 'message'), once(child, 'exit').then(failed)]);
  const exits = children.map((child) => once(child, 'exit'));
  await Promise.all(children.map(next));
  for (const child of children) child.send('go');
  const ends = (await Promise.all(children.map(next))).map(([message]) => message);
  await Promise.all(exits);
  const told = await remove();
  const allowed = ends.reduce((sum, end) => sum + end.allowed, 0);
  const operations = count * processes;
  if (scenario === 'limit' && allowed !== Math.min(operations, LIMIT)) {
    throw new Error(`${allowed} were allowed instead of ${Math.min(operations, LIMIT)}`);
  }
  const beganNs = ends.map((end) => BigInt(end.beganNs)).reduce((one, other) => (other < one ? other : one));
  const endedNs = ends.map((end) => BigInt(end.endedNs)).reduce((one, other) => (other > one ? other : one));
  const steps = ends.reduce((sum, end) => sum + end.stepsPerUs, 0);
  console.log(
    JSON.stringify({ operations, elapsedNs: Number(endedNs - beganNs), stepsPerUs: steps, ...told }),
  );
}

function failed() {
  throw new Error('a process ended before its time');
}

const [role, ...rest] = process.argv.slice(2);
if (role === 'work') {
  const [library, scenario, count, place, entries, share] = rest;
  work(library, scenario, Number(count), place, Number(entries), Number(share));
} else {
  const [scenario, count, processes, entries, whose] = rest;
  run(role, scenario, Number(count), Number(processes), Number(entries), whose);
}
