'use strict';

/*
 * Cost of workers: time from `new Worker` to the first message, cold and with a spare; memory of a worker that has
 * exchanged a few messages, and many; duration of terminate(). In one scenario, workers load a large module, in a
 * program that has enabled Node's compile cache, which requires Node 22.8: --node /path/to/node.
 *
 *   node bench/run.js threads --scenarios cold,warm,memory,terminate
 */

const path = require('node:path');
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');

const { main, positive } = require('./lib/driver');
const { environment } = require('./lib/environment');

const PROGRAM = path.join(__dirname, 'servers', 'threads.js');
const TIMEOUT_MS = 120_000;

/** @type {import('./lib/driver').Benchmark['metrics'][number]} */
const TIME = { key: 'figure', label: 'ms', better: 'lower', digits: 2 };
/** @type {import('./lib/driver').Benchmark['metrics'][number]} */
const MEMORY = { key: 'figure', label: 'KiB', better: 'lower', digits: 0 };

/** @param {import('./lib/driver').Options} options */
function contenders({ node }) {
  const { addon } = environment(node);
  const unavailable = addon === 'loaded' ? {} : { unavailable: `no native addon: ${addon}` };
  return [
    { name: 'node', library: 'node' },
    { name: 'manycore', library: 'manycore', ...unavailable },
  ];
}

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure({ library }, { name }, { node, workers }) {
  const args = ['--expose-gc', PROGRAM, library, name, String(workers)];
  const { stdout } = await promisify(execFile)(node, args, { timeout: TIMEOUT_MS });
  return { figure: JSON.parse(stdout).figure };
}

/** @type {import('./lib/driver').Benchmark} */
const benchmark = {
  name: 'threads',
  title:
    'Workers: ms from new Worker to the first message, cold or (for manycore) with a spare at hand, of a file and of ' +
    'source, or of a file that loads much code (cold-large); KiB of resident memory per idle worker, without and with 100 messages each way; ms of terminate()',
  peer: 'node',
  metrics: [TIME],
  options: {
    workers: { help: 'workers a sample, of which the median counts', default: '15', parse: positive },
  },
  scenarios: () => [
    ...['cold', 'cold-large', 'warm', 'warm-eval', 'terminate'].map((name) => ({ name })),
    ...['memory', 'memory-lanes'].map((name) => ({ name, metrics: [MEMORY] })),
  ],
  contenders,
  measure,
};

module.exports = benchmark;

if (require.main === module) main(benchmark);
