'use strict';

/* Cluster, shared data and locks under load, with workers that die in every way. */

const http = require('node:http');
const path = require('node:path');
const { once } = require('node:events');
const { setTimeout: delay } = require('node:timers/promises');

const {
  cluster,
  BroadcastChannel,
  Channel,
  Mutex,
  RateLimiter,
  RwLock,
  Semaphore,
  SharedArray,
  SharedBuffer,
  SharedCounter,
  SharedHistogram,
  SharedMap,
  Topic,
  configureLink,
  leader,
  shared,
} = require('../..');
const { freePort } = require('../../bench/lib/free-port');
const { accounts, check, count } = require('./accounts');
const { ALLOWED, KEYS, LIMIT, PERMITS, RAN } = require('./layout');

const WORKERS = 3;
const REQUESTS_AT_ONCE = 8;
/** Time limit for a connection to be served; workers are stopped for much less. */
const STUCK_MS = 30_000;
const HARMS = ['SIGKILL', 'SIGKILL', 'SIGTERM', 'disconnect', 'SIGSTOP'];

const name = `soak-${process.pid}`;

/** @param {number} port @returns {Promise<'answered' | 'cut' | 'refused'>} */
function ask(port) {
  return new Promise((resolve, reject) => {
    const request = http.get({ port, host: '127.0.0.1', agent: false }, (response) => {
      response.resume();
      response.once('end', () => resolve('answered'));
      response.once('error', () => resolve('cut'));
    });
    request.setTimeout(STUCK_MS, () => reject(new Error('a connection is stuck')));
    request.once('error', (/** @type {NodeJS.ErrnoException} */ { code }) =>
      resolve(code === 'ECONNREFUSED' ? 'refused' : 'cut'),
    );
  });
}

/** Checks that messages from each worker arrive in order, each at most once. */
function inOrder(/** @type {string} */ what) {
  /** @type {Map<number, number>} */
  const last = new Map();
  return (/** @type {{ by: number, sequence: number }} */ { by, sequence }) => {
    check((last.get(by) ?? -1) < sequence, `${what} of ${by} came twice or out of order: ${sequence}`);
    last.set(by, sequence);
    count(what);
  };
}

/** @param {import('node:cluster').Worker} worker */
async function harm(worker) {
  const kind = HARMS[Math.floor(Math.random() * HARMS.length)];
  count(kind);
  if (kind === 'disconnect') worker.disconnect();
  else worker.process.kill(/** @type {NodeJS.Signals} */ (kind));
  if (kind === 'SIGSTOP') {
    await delay(300);
    worker.process.kill('SIGCONT');
  }
}

/** Objects used only by the workers, checked at the end. */
function makeShared() {
  return {
    topic: Topic.open(`${name}-topic`),
    limiter: RateLimiter.open(`${name}-limiter`, LIMIT),
    numbers: SharedArray.open(`${name}-numbers`, { type: 'float64', length: 2 }),
    latency: SharedHistogram.open(`${name}-latency`),
    bytes: SharedBuffer.open(`${name}-bytes`, { byteLength: 64 }),
    pair: RwLock.open(`${name}-rwlock`),
    permits: Semaphore.open(`${name}-permits`, PERMITS),
  };
}

/**
 * Checks that everything held by dead workers has been freed, and that limits were respected.
 * @param {ReturnType<typeof makeShared>} objects
 * @param {number} seconds duration of the run
 */
async function checkShared({ topic, limiter, numbers, latency, bytes, pair, permits }, seconds) {
  permits.acquire(PERMITS, { timeoutMs: STUCK_MS }).unlock();
  pair.lock({ timeoutMs: STUCK_MS }).unlock();
  await leader(name, () => count('leaders in the end'), { timeoutMs: STUCK_MS });
  const allowed = numbers.get(ALLOWED) ?? 0;
  const most = KEYS * LIMIT.limit * (1 + (seconds * 1000) / LIMIT.windowMs) + KEYS;
  check(allowed <= most, `${allowed} were allowed, of ${most} at most`);
  check(allowed > 0 && latency.count > 0, 'the workers used nothing of what they share');
  const ran = numbers.get(RAN) ?? 0;
  check(ran <= seconds + 2, `${ran} jobs ran in ${seconds} seconds`);
  count('jobs', ran);
  for (const object of [limiter, numbers, latency, bytes]) object.close();
  topic.release();
}

/** @param {import('../..').ClusterWorker} worker */
async function askWorker(worker) {
  try {
    const doubled = await worker.request(21, { timeoutMs: STUCK_MS });
    check(doubled === 42, `a worker answered ${doubled}`);
    count('requests');
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    check(code === 'ERR_MANYCORE_PEER_GONE', `a request failed: ${error}`);
  }
}

/**
 * @param {AbortSignal} signal ends the run
 * @param {'json' | 'advanced'} serialization
 * @returns {Promise<void>} rejects if the accounts do not balance
 */
async function clusterPart(signal, serialization) {
  const startMs = Date.now();
  const objects = makeShared();
  const answeredBefore = accounts().answered ?? 0;
  const served = SharedCounter.open(`${name}-served`);
  const map = SharedMap.open(`${name}-map`, { capacityBytes: 4 * 1024 * 1024, evict: 'lru' });
  const mutex = Mutex.open(`${name}-mutex`);
  const channel = Channel.open(`${name}-channel`, { capacity: 1000 });
  map.set('first', 0);
  map.set('second', 0);

  cluster.setupPrimary({ exec: path.join(__dirname, 'server.js'), serialization });
  const message = inOrder('messages');
  // One for the whole run: port 0 would change whenever no worker is left.
  const port = await freePort();
  const start = () => {
    const worker = cluster.fork({
      SOAK_NAME: name,
      SOAK_PORT: String(port),
      SOAK_SERIALIZATION: serialization,
    });
    configureLink(worker, { views: true });
    worker.onRequest((value) => value * 2);
    worker.on('message', (value) => {
      if (value.large) {
        const [first] = value.large;
        check(
          value.large.length === 200_000 && value.large.every((/** @type {number} */ byte) => byte === first),
          'torn bytes',
        );
        count('large messages');
      } else if (value.failure) check(false, value.failure);
      else if (value.echo) count('echoes');
      else message(value);
    });
    // A send to a dying worker is reported by its callback or this event.
    worker.on('error', () => count('failed sends'));
    return worker;
  };
  const listening = once(cluster, 'listening');
  for (let i = 0; i < WORKERS; i++) start();
  cluster.on('exit', () => !signal.aborted && start());
  await listening;

  const load = Array.from({ length: REQUESTS_AT_ONCE }, async () => {
    while (!signal.aborted) {
      const outcome = await ask(port);
      count(outcome);
      // Waits until another worker has started.
      if (outcome === 'refused') await delay(50);
    }
  });
  const received = inOrder('received');
  const published = inOrder('published');
  const subscription = objects.topic.subscribe();
  const host = new BroadcastChannel(name, { scope: 'host' });
  const broadcast = inOrder('broadcasts');
  host.onmessage = ({ data }) => broadcast(/** @type {any} */ (data));
  const consume = (async () => {
    while (!signal.aborted) {
      for (let item = channel.tryReceive(); item; item = channel.tryReceive()) received(item.value);
      for (let item = subscription.tryReceive(); item; item = subscription.tryReceive()) {
        published(item.value);
      }
      for (const worker of Object.values(cluster.workers ?? {})) {
        if (!worker?.isConnected()) continue;
        worker.send({ text: 'ping' }, () => {});
        void askWorker(worker);
      }
      await delay(20);
    }
  })();
  const chaos = (async () => {
    while (!signal.aborted) {
      await delay(200 + Math.random() * 600);
      const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker?.isConnected());
      const victim = workers[Math.floor(Math.random() * workers.length)];
      if (victim) await harm(victim);
    }
  })();
  await Promise.all([...load, consume, chaos]);

  await end();
  host.close();
  subscription.release();
  await checkShared(objects, (Date.now() - startMs) / 1000);
  const answered = (accounts().answered ?? 0) - answeredBefore;
  check(served.value >= answered, `${answered} answers, but only ${served.value} requests served`);
  const token = mutex.lock({ timeoutMs: STUCK_MS });
  check(token.ownerDied || map.get('first') === map.get('second'), 'the pair differs in the end');
  token.unlock();
  served.close();
  map.close();
  channel.release();
  for (const { name: known } of shared.list()) if (known.startsWith(`${name}-`)) shared.unlink(known);
}

/** Kills workers until none is left. */
async function end() {
  for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGKILL');
  while (Object.keys(cluster.workers ?? {}).length > 0) await once(cluster, 'exit');
}

module.exports.clusterPart = clusterPart;
