'use strict';

/*
 * Runs a job once per interval and machine, although every worker of the cluster has a timer. If the worker that
 * runs it dies, another one runs it again.
 *
 *   node examples/cron.js                          # every 2 s, until Ctrl-C
 *   node examples/cron.js --every 500 --jobs 10    # ten jobs, then the end
 */

const { parseArgs } = require('util');
const { cluster, runOnce } = require('manycore');

const { values } = parseArgs({ options: { every: { type: 'string' }, jobs: { type: 'string' } } });
const everyMs = Number(values.every ?? 2000);
const jobs = Number(values.jobs ?? Infinity);

if (cluster.isPrimary) {
  let done = 0;
  for (let i = 0; i < 3; i++) cluster.fork();
  cluster.on('message', (worker, { key, fencingToken }) => {
    if (++done > jobs) return;
    console.log(`job ${key} run by worker ${worker.id}, fencing token ${fencingToken}`);
    if (done === jobs) cluster.disconnect();
  });
} else {
  const timer = setInterval(async () => {
    // The interval number, on which all workers agree.
    const key = Math.floor(Date.now() / everyMs);
    const { ran, value, fencingToken } = await runOnce('example', key, () => report(key));
    if (ran && process.connected) process.send({ key: value, fencingToken });
  }, everyMs);
  process.on('disconnect', () => clearInterval(timer));
}

/** The job. A store that remembers the highest fencing token it has seen can reject a delayed write. */
async function report(/** @type {number} */ key) {
  await new Promise((resolve) => setTimeout(resolve, 20));
  return new Date(key * everyMs).toISOString();
}
