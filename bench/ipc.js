'use strict';

/*
 * What messages between a cluster's primary and a worker cost, under both serializations: one way, there and back,
 * many at a time.
 *
 *   node bench/run.js ipc --scenarios json-small,json-round-trip
 */

const path = require('node:path');
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');

const { main, positive } = require('./lib/driver');
const { environment } = require('./lib/environment');

const PROGRAM = path.join(__dirname, 'servers', 'ipc.js');
const TIMEOUT_MS = 300_000;

/** Name, and how many messages a round has at `--scale 1`. */
const COUNTS = {
  small: 200_000,
  object: 30_000,
  text: 2000,
  binary: 400,
  'round-trip': 10_000,
  outstanding: 40_000,
};

/** As JSON, bytes are an object with a property for each. */
const SCENARIOS = ['json', 'advanced'].flatMap((serialization) =>
  Object.entries(COUNTS)
    .filter(([name]) => serialization === 'advanced' || name !== 'binary')
    .map(([name, count]) => ({ name: `${serialization}-${name}`, serialization, scenario: name, count })),
);

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
async function measure({ library }, { serialization, scenario, count }, { node, scale }) {
  const total = String(Math.max(1, Math.round(count * scale)));
  const args = [PROGRAM, library, serialization, scenario, total];
  const { stdout } = await promisify(execFile)(node, args, { timeout: TIMEOUT_MS });
  const { messages, elapsedNs, cpuUs } = JSON.parse(stdout);
  return {
    rate: (messages * 1e9) / elapsedNs,
    eachUs: elapsedNs / 1000 / messages,
    cpuUs: cpuUs / messages,
  };
}

/** @type {import('./lib/driver').Benchmark} */
const benchmark = {
  name: 'ipc',
  title:
    'Messages to a cluster worker: {id, op, v: [1, 2, 3]} (small), 907 bytes of JSON (object), 64 KiB of text, ' +
    '1 MiB of bytes; small ones there and back, one at a time (round-trip) and 32 (outstanding)',
  peer: 'node',
  metrics: [
    { key: 'rate', label: 'per second', better: 'higher', digits: 0 },
    { key: 'eachUs', label: 'us each', better: 'lower', digits: 2 },
    { key: 'cpuUs', label: 'CPU of both sides, us each', better: 'lower', digits: 2 },
  ],
  options: {
    scale: { help: 'how many times the usual number of messages', default: '1', parse: positive },
  },
  scenarios: () => SCENARIOS,
  contenders,
  measure,
};

module.exports = benchmark;

if (require.main === module) main(benchmark);
