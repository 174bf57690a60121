'use strict';

/*
 * HTTP server of bench/connections.js: the same program for all contenders, except for the module that `cluster`
 * comes from and, for SO_REUSEPORT, how it listens.
 *
 *   node hello.js node|manycore WORKERS [reuseport]
 *
 * BENCH_LISTENERS: number of servers per worker; requests go to the first. BENCH_IPC: workers report metrics.
 */

const http = require('node:http');
const { freePort } = require('../lib/free-port');

/** Metrics that each worker reports to the primary if BENCH_IPC is set. */
const SAMPLES = 20_000;
const REPORT_MS = 100;

const [source, workers, reusePort] = process.argv.slice(2);
/** @type {import('manycore').Cluster} */
const cluster =
  source === 'manycore' ? require('manycore').cluster : /** @type {any} */ (require('node:cluster'));

if (cluster.isPrimary) primary();
else worker();

async function primary() {
  // Without cluster, no port is assigned by the primary: all workers get the same one.
  const port = reusePort ? await freePort() : 0;
  const all = Array.from({ length: Number(workers) }, () => cluster.fork({ BENCH_PORT: String(port) }));
  const ready = await Promise.all(all.map((each) => answer(each)));
  const pids = all.map((each) => each.process.pid);
  process.send?.({ port: ready[0].listening, workers: pids });

  process.on('message', async () => {
    const answers = all.map((each) => answer(each));
    for (const each of all) each.send('count');
    process.send?.({ counts: (await Promise.all(answers)).map(({ count }) => count) });
  });
  process.on('disconnect', () => process.exit());
  cluster.on('exit', (each, code, signal) => {
    process.send?.({ failed: `Worker ${each.process.pid} ended (${signal ?? code})` });
  });
}

/**
 * @param {import('node:cluster').Worker} each
 * @returns {Promise<any>} its next message
 */
function answer(each) {
  return new Promise((resolve) => {
    const onMessage = (/** @type {any} */ message) => {
      if (message.samples !== undefined) return;
      each.off('message', onMessage);
      resolve(message);
    };
    each.on('message', onMessage);
  });
}

function worker() {
  let count = 0;
  const server = http.createServer((request, response) => {
    count++;
    response.end('Hello!');
  });
  const port = Number(process.env.BENCH_PORT);
  server.listen({ port, host: '127.0.0.1', ...(reusePort && { reusePort: true }) }, () => {
    process.send?.({ listening: /** @type {import('node:net').AddressInfo} */ (server.address()).port });
  });
  process.on('message', () => process.send?.({ count }));
  for (let n = 1; n < Number(process.env.BENCH_LISTENERS ?? 1); n++) {
    http.createServer((request, response) => response.end()).listen(0, '127.0.0.1');
  }
  if (process.env.BENCH_IPC) reportMetrics();
}

/** Sends the primary many numbers ten times a second, like a metrics library. */
function reportMetrics() {
  const samples = Array.from({ length: SAMPLES }, (_, index) => index / 7);
  setInterval(() => process.send?.({ samples }), REPORT_MS);
}
