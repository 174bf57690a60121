'use strict';

/*
 * The HTTP server that bench/connections.js loads: the same program for all contenders, but for the module that
 * `cluster` comes from and, for SO_REUSEPORT, how it listens.
 *
 *   node hello.js node|manycore WORKERS [reuseport]
 */

const http = require('node:http');
const net = require('node:net');

const [source, workers, reusePort] = process.argv.slice(2);
/** @type {import('manycore').Cluster} */
const cluster =
  source === 'manycore' ? require('manycore').cluster : /** @type {any} */ (require('node:cluster'));

if (cluster.isPrimary) primary();
else worker();

async function primary() {
  // Without cluster nobody hands out the port: all workers are told the same one.
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
  return new Promise((resolve) => each.once('message', resolve));
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = /** @type {net.AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
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
    process.send?.({ listening: /** @type {net.AddressInfo} */ (server.address()).port });
  });
  process.on('message', () => process.send?.({ count }));
}
