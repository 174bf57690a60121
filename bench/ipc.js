'use strict';

/*
 * What messages between a cluster's primary and a worker cost, under both serializations: one way, there and back,
 * many at a time.
 *
 *   node bench/run.js ipc --scenarios json-small,json-round-trip
 */

const path = require('node:path');

const { define } = require('./lib/driver');
const { measureExchange, messagesBenchmark } = require('./lib/exchange');

const PROGRAM = path.join(__dirname, 'servers', 'ipc.js');

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

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure({ library }, { serialization, scenario, count }, { node, scale }) {
  return measureExchange(node, [PROGRAM, library, serialization, scenario], count, scale);
}

const benchmark = messagesBenchmark({
  name: 'ipc',
  title:
    'Messages to a cluster worker: {id, op, v: [1, 2, 3]} (small), 907 bytes of JSON (object), 64 KiB of text, ' +
    '1 MiB of bytes; small ones there and back, one at a time (round-trip) and 32 (outstanding)',
  scenarios: SCENARIOS,
  measure,
});

define(benchmark, module);
