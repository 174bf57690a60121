'use strict';

/*
 * Cost of a blocking call to a worker thread: the caller's thread stands still until the reply arrives.
 *
 *   node bench/run.js calls --scenarios small
 */

const path = require('node:path');
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');

const { main, positive } = require('./lib/driver');
const { environment } = require('./lib/environment');

const PROGRAM = path.join(__dirname, 'servers', 'calls', 'caller.js');
const TIMEOUT_MS = 120_000;

/** Name, and number of calls per round at `--scale 1`. */
const SCENARIOS = [
  { name: 'small', count: 60_000 },
  { name: 'object', count: 10_000 },
  { name: 'text', count: 5000 },
];

/** @param {import('./lib/driver').Options} options */
function contenders({ node }) {
  const { addon } = environment(node);
  const unavailable = addon === 'loaded' ? {} : { unavailable: `no native addon: ${addon}` };
  return [
    { name: 'synckit' },
    // The mechanism of synckit without the library.
    { name: 'atomics-wait' },
    { name: 'manycore', ...unavailable },
  ];
}

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure({ name }, scenario, { node, scale }) {
  const count = String(Math.max(1, Math.round(scenario.count * scale)));
  const args = [PROGRAM, name, scenario.name, count];
  const { stdout } = await promisify(execFile)(node, args, { timeout: TIMEOUT_MS });
  const { calls, elapsedNs, cpuUs } = JSON.parse(stdout);
  return { eachUs: elapsedNs / 1000 / calls, cpuUs: cpuUs / calls };
}

/** @type {import('./lib/driver').Benchmark} */
const benchmark = {
  name: 'calls',
  title:
    'Blocking calls to a worker thread that answers with what it got: {id, op, v: [1, 2, 3]} (small), ' +
    'about 900 bytes of JSON (object), 16 KiB of text',
  peer: 'synckit',
  metrics: [
    { key: 'eachUs', label: 'us each', better: 'lower', digits: 2 },
    { key: 'cpuUs', label: 'CPU of both sides, us each', unit: 'us', better: 'lower', digits: 2 },
  ],
  options: {
    scale: { help: 'how many times the usual number of calls', default: '1', parse: positive },
  },
  scenarios: () => SCENARIOS,
  contenders,
  measure,
};

module.exports = benchmark;

if (require.main === module) main(benchmark);
