'use strict';

/*
 * A cluster worker of the soak: serves, counts, takes the lock, sends, asks and is asked, and is ended at any instant.
 * Each of its promises can be told afterwards from what others see.
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
// One that was told to end before it had begun must not make them anew.
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

/** Two entries that are equal whenever nobody has the lock, unless its holder died. */
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

/** The locks that have readers, permits and names: what holds them dies at any point of it. */
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

/** What takes long. */
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

// Its endless work would keep it alive.
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
  // Whoever asks when the primary lets go of this one gets no answer.
  if (error.code === 'ERR_MANYCORE_PEER_GONE') return;
  // Told by the message, as an exit alone would be one of many.
  process.send?.({ failure: String(error.stack) }, () => process.exit(1));
});

// Only for the type: what is started here is always a worker.
if (cluster.isPrimary) throw new Error('this is a worker of the soak');
