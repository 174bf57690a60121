'use strict';

/*
 * What a request to a worker thread and its answer cost, one at a time and 32 at a time.
 *
 *   node bench/run.js requests --scenarios one
 */

const path = require('node:path');
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');

const { main, positive } = require('./lib/driver');
const { environment } = require('./lib/environment');

const PROGRAM = path.join(__dirname, 'servers', 'calls', 'asker.js');
const TIMEOUT_MS = 120_000;

/** Name, how many are on the way at a time, and how many a round has at `--scale 1`. */
const SCENARIOS = [
  { name: 'one', window: 1, count: 20_000 },
  { name: 'many', window: 32, count: 60_000 },
];

/** @param {import('./lib/driver').Options} options */
function contenders({ node }) {
  const { addon } = environment(node);
  const unavailable = addon === 'loaded' ? {} : { unavailable: `no native addon: ${addon}` };
  return [
    // Messages with numbers, and a map of who waits.
    { name: 'node' },
    { name: 'comlink' },
    { name: 'manycore', ...unavailable },
  ];
}

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure({ name }, { window, count }, { node, scale }) {
  const args = [PROGRAM, name, String(window), String(Math.max(1, Math.round(count * scale)))];
  const { stdout } = await promisify(execFile)(node, args, { timeout: TIMEOUT_MS });
  const { calls, elapsedNs, cpuUs } = JSON.parse(stdout);
  return { rate: (calls * 1e9) / elapsedNs, eachUs: elapsedNs / 1000 / calls, cpuUs: cpuUs / calls };
}

/** @type {import('./lib/driver').Benchmark} */
const benchmark = {
  name: 'requests',
  title:
    'Requests to a worker thread that answers with what it got, {id, op, v: [1, 2, 3]}: one at a time, ' +
    'and 32 at a time (many)',
  peer: 'node',
  metrics: [
    { key: 'rate', label: 'per second', better: 'higher', digits: 0 },
    { key: 'eachUs', label: 'us each', better: 'lower', digits: 2 },
    { key: 'cpuUs', label: 'CPU of both sides, us each', better: 'lower', digits: 2 },
  ],
  options: {
    scale: { help: 'how many times the usual number of requests', default: '1', parse: positive },
  },
  scenarios: () => SCENARIOS,
  contenders,
  measure,
};

module.exports = benchmark;

if (require.main === module) main(benchmark);
