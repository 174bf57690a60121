'use strict';

/*
 * Cost of a request to a worker thread and its reply, one and 32 at a time.
 *
 *   node bench/run.js requests --scenarios one
 */

const path = require('node:path');

const { define } = require('./lib/driver');
const { availability, measureExchange, metrics, scaleOption } = require('./lib/exchange');

const PROGRAM = path.join(__dirname, 'servers', 'calls', 'asker.js');

/** Name, number of outstanding requests, and number of requests per round at `--scale 1`. */
const SCENARIOS = [
  { name: 'one', window: 1, count: 60_000 },
  { name: 'many', window: 32, count: 60_000 },
];

/** @param {import('./lib/driver').Options} options */
function contenders({ node }) {
  return [
    // Messages with ids, and a map of pending requests.
    { name: 'node' },
    { name: 'comlink' },
    { name: 'manycore', ...availability(node) },
  ];
}

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure({ name }, { window, count }, { node, scale }) {
  return measureExchange(node, [PROGRAM, name, String(window)], count, scale);
}

/** @type {import('./lib/driver').Benchmark} */
const benchmark = {
  name: 'requests',
  title:
    'Requests to a worker thread that answers with what it got, {id, op, v: [1, 2, 3]}: one at a time, ' +
    'and 32 at a time (many)',
  peer: 'node',
  metrics,
  options: { scale: scaleOption('requests') },
  scenarios: () => SCENARIOS,
  contenders,
  measure,
};

define(benchmark, module);
