'use strict';

const { inspect } = require('node:util');

/*
 * Output and shutdown of examples/cluster.js.
 *
 * The primary decides when to stop and the workers follow: a terminal sends Ctrl-C to the whole process group, so a
 * worker may be stopped by its own signal, by the primary's message, or by both. Each worker reports how many
 * requests it has served before it disconnects; the primary exits after the last one.
 */

/** How long a worker may take to finish its requests before it is killed. */
const GRACE_MS = 5000;

const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM']);

/**
 * Reports on all workers from the primary; stops them on SIGINT and SIGTERM.
 * @param {import('manycore').Cluster} cluster
 */
function primary(cluster) {
  /** @type {Map<number, number>} requests answered, by worker id */
  const served = new Map();
  const forked = Object.keys(cluster.workers ?? {}).length;
  let listening = 0;
  let stopping = false;

  const stop = () => {
    stopping = true;
    for (const worker of Object.values(cluster.workers ?? {})) {
      if (!worker) continue;
      // A worker that received the signal itself may already have closed its channel, which is not an error.
      if (worker.isConnected()) worker.send('stop', () => {});
      setTimeout(() => worker.process.kill('SIGKILL'), GRACE_MS).unref();
    }
  };
  for (const signal of SIGNALS) process.on(signal, stop);

  cluster.on('listening', (worker, address) => {
    if (listening++ === 0) console.log(`http://localhost:${address.port} (primary ${process.pid})`);
    console.log(`worker ${worker.process.pid} listening`);
    if (listening === forked) console.log(`${forked} workers ready, Ctrl-C to stop`);
  });
  cluster.on('message', (worker, message) => {
    if (typeof message?.served === 'number') served.set(worker.id, message.served);
    if (typeof message?.failed === 'string' && process.exitCode === undefined) {
      console.error(message.failed);
      process.exitCode = 1;
      stop();
    }
  });
  cluster.on('exit', (worker, code, signal) => {
    const { pid } = worker.process;
    const count = served.get(worker.id);
    if (process.exitCode !== undefined) return;
    if (count !== undefined) console.log(`worker ${pid} served ${count}`);
    else console.log(`worker ${pid} ended early (${signal ?? `exit code ${code}`})`);
    if (!stopping && Object.keys(cluster.workers ?? {}).length === 0) process.exitCode = 1;
  });
}

/**
 * Counts the requests of this worker; disconnects on a message from the primary, on a signal, or if it cannot
 * listen.
 * @param {import('manycore').Cluster} cluster
 * @param {import('node:http').Server} server
 * @param {() => void} [letGo] closes connections that would stay open
 */
function worker(cluster, server, letGo = () => {}) {
  let served = 0;
  let leaving = false;
  /** @param {{ served: number } | { failed: string }} lastWord */
  const leave = (lastWord) => process.send?.(lastWord, () => cluster.worker?.disconnect());
  const stop = () => {
    if (leaving) return;
    leaving = true;
    // Requests in progress are completed and counted.
    const finish = () => {
      server.close(() => leave({ served }));
      letGo();
    };
    if (server.listening) finish();
    else server.once('listening', finish);
  };

  server.on('request', () => served++);
  server.on('error', (error) => leave({ failed: inspect(error) }));
  process.on('message', (message) => message === 'stop' && stop());
  for (const signal of SIGNALS) process.on(signal, stop);
}

module.exports.primary = primary;
module.exports.worker = worker;
