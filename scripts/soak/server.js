'use strict';

/*
 * Cluster worker of the soak test: serves, counts, locks, sends messages and requests, and is killed at any
 * instant. Each of its guarantees can be verified from what others observe.
 */

const http = require('node:http');
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
  locks,
  runOnce,
} = require('../..');
const { ALLOWED, KEYS, PERMITS, RAN } = require('./layout');

const { SOAK_NAME: name = '', SOAK_SERIALIZATION: serialization } = process.env;
// A worker told to end before it has started must not create them again.
const known = { create: false };
const served = SharedCounter.open(`${name}-served`, known);
const map = SharedMap.open(`${name}-map`, known);
const mutex = Mutex.open(`${name}-mutex`, known);
const channel = Channel.open(`${name}-channel`, known);
const topic = Topic.open(`${name}-topic`, known);
const limiter = RateLimiter.open(`${name}-limiter`, known);
const numbers = SharedArray.open(`${name}-numbers`, { ...known, type: 'float64' });
const latency = SharedHistogram.open(`${name}-latency`, known);
const words = new Int32Array(SharedBuffer.open(`${name}-bytes`, known).buffer);
const pair = RwLock.open(`${name}-rwlock`, known);
const permits = Semaphore.open(`${name}-permits`, PERMITS, known);
const host = new BroadcastChannel(name, { scope: 'host' });

let sequence = 0;

/** Two entries that are equal whenever the lock is free, unless its holder died. */
async function changePair() {
  const token = await mutex.lockAsync();
  try {
    const [first, second] = [map.get('first'), map.get('second')];
    if (first !== second && !token.ownerDied) throw new Error(`the pair is ${first}, ${second}`);
    const next = Math.max(first, second) + 1;
    map.set('first', next);
    map.set('second', next);
  } finally {
    token.unlock();
  }
}

/** Locks with readers, permits and names, whose holders die at any point. */
async function useLocks() {
  const writer = await pair.lockAsync();
  const next = Math.max(words[0], words[1]) + 1;
  words.fill(next, 0, 2);
  writer.unlock();
  const reader = await pair.lockSharedAsync();
  reader.unlock();
  const token = await permits.acquireAsync();
  await locks.request(`${name}-named`, () => locks.query());
  token.unlock();
}

/** Slow operations, done rarely. */
async function seldom() {
  const { ran } = await runOnce(name, Math.floor(Date.now() / 1000), () => {});
  if (ran) numbers.add(RAN);
  if (serialization === 'advanced') process.send?.({ large: new Uint8Array(200_000).fill(sequence) });
  const doubled = await cluster.worker?.request(sequence);
  if (doubled !== sequence * 2) throw new Error(`${doubled} is not twice ${sequence}`);
  host.postMessage({ by: process.pid, sequence });
}

async function work() {
  for (;;) {
    await changePair();
    await useLocks();
    map.set(`entry-${sequence % 500}`, { by: process.pid, sequence, text: 'x'.repeat(sequence % 300) });
    if (limiter.consume(`key-${sequence % KEYS}`)) numbers.add(ALLOWED);
    latency.record(sequence % 1000);
    const item = { by: process.pid, sequence: sequence++ };
    channel.trySend(item);
    topic.publish(item);
    if (process.connected) process.send?.(item);
    if (sequence % 20 === 0) await seldom();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// Otherwise, its endless work would keep it alive.
process.once('disconnect', () => process.exit());
process.on('message', (message) => process.send?.({ echo: message }));
configureLink(process, { views: true });
cluster.worker?.onRequest((value) => value * 2);
leader(name, ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve)));
http
  .createServer((_request, response) => {
    served.add();
    response.end(`${process.pid}`);
  })
  .listen(Number(process.env.SOAK_PORT));

work().catch((error) => {
  // A request gets no reply if the primary disconnects this worker.
  if (error.code === 'ERR_MANYCORE_PEER_GONE') return;
  // Reported by a message, since its exit would be one of many.
  process.send?.({ failure: String(error.stack) }, () => process.exit(1));
});

// For the type checker: this always runs in a worker.
if (cluster.isPrimary) throw new Error('this is a worker of the soak');
