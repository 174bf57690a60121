'use strict';

/*
 * Cost of messages between a cluster's primary and a worker, with both serializations: one-way, round trips, many
 * at a time, few and none.
 *
 *   node bench/run.js ipc --scenarios json-small,json-round-trip
 *
 * As a function of the message size, in the scenarios `json-text-16` to `json-text-4194304`, and
 * `advanced-bytes-16` to `advanced-bytes-67108864`:
 *
 *   node bench/run.js ipc --scenarios json-text-16,json-text-1024,advanced-bytes-65536
 */

const path = require('node:path');

const { define } = require('./lib/driver');
const { countOf, measureExchange, messagesBenchmark } = require('./lib/exchange');
const { SIZES, TEXT_SIZES } = require('./lib/messages');

const PROGRAM = path.join(__dirname, 'servers', 'ipc.js');

/** Bytes per round of the size curves; with fewer, V8 still compiles the code for messages of 64 KiB. */
const ROUND_BYTES = 500_000_000;
/** Cost of a message apart from its size, expressed in bytes. */
const SIZE_OF_COST = 8192;

/**
 * Name, and number of messages per round at `--scale 1`: no fewer than it takes until V8 has compiled the hot path, see
 * servers/messaging.js. As many are sent beforehand.
 */
const COUNTS = {
  small: 400_000,
  object: 60_000,
  text: 8000,
  'round-trip': 120_000,
  'round-trip-frugal': 10_000,
  outstanding: 40_000,
};
/** Scenarios for which the serialization makes no difference. */
const JSON_COUNTS = { paced: 10_000, idle: 2000 };
/** With JSON, bytes would be sent as an object with a property for each. */
const ADVANCED_COUNTS = { binary: 800, 'binary-view': 800, 'binary-filled': 800 };

/**
 * @param {string} serialization
 * @param {Record<string, number>} counts
 */
function scenariosOf(serialization, counts) {
  return Object.entries(counts).map(([scenario, count]) => ({
    name: `${serialization}-${scenario}`,
    serialization,
    scenario,
    count,
  }));
}

/** @param {string} kind @param {number[]} sizes */
function curveOf(kind, sizes) {
  return Object.fromEntries(
    sizes.map((size) => [`${kind}-${size}`, countOf(size, ROUND_BYTES, SIZE_OF_COST)]),
  );
}

const SCENARIOS = [
  ...scenariosOf('json', { ...COUNTS, ...JSON_COUNTS }),
  ...scenariosOf('advanced', { ...COUNTS, ...ADVANCED_COUNTS }),
  ...scenariosOf('json', curveOf('text', TEXT_SIZES)),
  ...scenariosOf('advanced', curveOf('bytes', SIZES)),
];

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure({ library }, { serialization, scenario, count }, { node, scale }) {
  return measureExchange(node, [PROGRAM, library, serialization, scenario], count, scale);
}

const benchmark = messagesBenchmark({
  name: 'ipc',
  title:
    'Messages to a cluster worker: {id, op, v: [1, 2, 3]} (small), 907 bytes of JSON (object), 64 KiB of text, ' +
    '1 MiB of bytes, also received as a view and, filled for each message, in the memory of the link; small ones there and back, one at a time (round-trip, also with the ' +
    'latency frugal) and 32 (outstanding); one each 100 us (paced); none, with four workers (idle, per millisecond); ' +
    'so many characters or bytes (text-..., bytes-...)',
  scenarios: SCENARIOS,
  measure,
});

define(benchmark, module);
