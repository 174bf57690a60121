'use strict';

/*
 * Delay from the death of a lock's holder until the lock is granted to a waiter, on its event loop or blocked.
 *
 *   node bench/run.js locks-death
 */

const { fork } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { performance } = require('node:perf_hooks');

const { main, positive } = require('./lib/driver');
const { median } = require('./lib/statistics');

const PACKAGE = JSON.stringify(path.join(__dirname, '..'));
const HOLDER = `
const { Mutex } = require(${PACKAGE});
const token = Mutex.from(process.argv[1]).lock();
process.send('holds');
setInterval(() => token.locked, 1000);`;

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure({ name }, _scenario, { node, kills }) {
  const { Mutex } = require('..');
  const mutex = new Mutex();
  const waits = [];
  for (let index = 0; index < kills; index++) {
    const holder = fork('-', { execPath: node, execArgv: ['-e', HOLDER, mutex.handle], stdio: 'ignore' });
    await once(holder, 'message');
    const waiting = name === 'lockAsync' ? mutex.lockAsync() : null;
    // A random point between two liveness checks.
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
    const start = performance.now();
    holder.kill('SIGKILL');
    const token = waiting ? await waiting : mutex.lock();
    waits.push(performance.now() - start);
    if (!token.ownerDied) throw new Error('nobody told of the death');
    token.unlock();
  }
  return { medianMs: median(waits), longestMs: Math.max(...waits) };
}

/** @type {import('./lib/driver').Benchmark} */
const benchmark = {
  name: 'locks-death',
  title: 'From the SIGKILL of the process that holds a lock until another process has it',
  peer: 'lockAsync',
  metrics: [
    { key: 'medianMs', label: 'ms', better: 'lower', digits: 1 },
    { key: 'longestMs', label: 'ms at most', better: 'lower', digits: 1 },
  ],
  options: {
    kills: { help: 'deaths per round', default: '20', parse: positive },
  },
  scenarios: () => [{ name: 'killed' }],
  contenders: () => [{ name: 'lockAsync' }, { name: 'lock' }],
  measure,
};

module.exports = benchmark;

if (require.main === module) main(benchmark);
