'use strict';

/*
 * Runs the workers of hello.js in PM2's cluster mode, with PM2's daemon in this process, which behaves like the
 * primary of hello.js.
 *
 *   node hello-pm2.js FOLDER_OF_PM2 WORKERS
 */

const cluster = require('node:cluster');
const path = require('node:path');

const [folder, workers] = process.argv.slice(2);
const tell = /** @type {(message: any) => void} */ (process.send?.bind(process));
// With an IPC channel, PM2 assumes that it is a daemon started by its own command.
process.send = undefined;
const pm2 = require(folder);

/** @type {Map<number, (count: number) => void>} pending requests for counts, by worker id */
const counting = new Map();
/** @type {Map<number, import('node:cluster').Worker>} workers by id */
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
