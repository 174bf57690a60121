'use strict';

/*
 * The workers of hello.js under PM2's cluster mode, with PM2's daemon in this process, which answers as the primary
 * of hello.js does.
 *
 *   node hello-pm2.js FOLDER_OF_PM2 WORKERS
 */

const cluster = require('node:cluster');
const path = require('node:path');

const [folder, workers] = process.argv.slice(2);
const tell = /** @type {(message: any) => void} */ (process.send?.bind(process));
// With a parent to talk to, PM2 takes itself for a daemon that PM2's own command has started.
process.send = undefined;
const pm2 = require(folder);

/** @type {Map<number, (count: number) => void>} whose numbers are waited for */
const counting = new Map();
/** @type {Map<number, import('node:cluster').Worker>} by their numbers in the cluster */
const listening = new Map();

cluster.on('message', (worker, message) => {
  if (message.listening !== undefined) onListening(worker, message.listening);
  if (message.count !== undefined) counting.get(worker.id)?.(message.count);
});

/**
 * @param {import('node:cluster').Worker} worker
 * @param {number} port
 */
function onListening(worker, port) {
  listening.set(worker.id, worker);
  worker.on('exit', (code, signal) => fail(`Worker ${worker.process.pid} ended (${signal ?? code})`));
  if (listening.size < Number(workers)) return;
  tell({ port, workers: [...listening.values()].map((each) => each.process.pid) });
}

process.on('message', async () => {
  const counts = [...listening.values()].map((worker) => {
    const answer = new Promise((resolve) => counting.set(worker.id, resolve));
    worker.send('count');
    return answer;
  });
  tell({ counts: await Promise.all(counts) });
});
process.on('disconnect', () => process.exit());

/** @param {string} reason */
const fail = (reason) => tell({ failed: reason });

const app = {
  name: 'hello',
  script: path.join(__dirname, 'hello.js'),
  args: ['node', workers],
  instances: Number(workers),
  exec_mode: 'cluster',
  autorestart: false,
  env: { BENCH_PORT: '0' },
};

pm2.connect(true, (/** @type {Error | null} */ error) => {
  if (error) return fail(error.message);
  pm2.start(app, (/** @type {Error | null} */ failure) => failure && fail(failure.message));
});
