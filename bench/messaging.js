'use strict';

/*
 * Cost of messages between a program and its worker thread: one-way, round trips, many at a time, few and none.
 *
 *   node bench/run.js messaging --scenarios small,round-trip
 *
 * As a function of the message size, in the scenarios `bytes-16` to `bytes-67108864`:
 *
 *   node bench/run.js messaging --scenarios bytes-16,bytes-1024,bytes-65536,bytes-4194304
 */

const path = require('node:path');

const { define } = require('./lib/driver');
const { countOf, measureExchange, messagesBenchmark } = require('./lib/exchange');
const { SIZES } = require('./lib/messages');

const PROGRAM = path.join(__dirname, 'servers', 'messaging.js');

/** Bytes per round of the size curve. */
const ROUND_BYTES = 500_000_000;
/** Cost of a message apart from its size, expressed in bytes. */
const SIZE_OF_COST = 2048;

/** Name, and number of messages per round at `--scale 1`. */
const SCENARIOS = [
  { name: 'small', count: 400_000 },
  { name: 'object', count: 60_000 },
  { name: 'text', count: 16_000 },
  { name: 'short-text', count: 60_000 },
  { name: 'map', count: 60_000 },
  { name: 'binary', count: 1500 },
  { name: 'binary-view', count: 1500 },
  { name: 'binary-filled', count: 3000 },
  { name: 'round-trip', count: 120_000 },
  { name: 'round-trip-frugal', count: 20_000 },
  { name: 'round-trip-low', count: 120_000 },
  { name: 'outstanding', count: 60_000 },
  { name: 'paced', count: 10_000 },
  { name: 'idle', count: 2000 },
  ...SIZES.map((size) => ({ name: `bytes-${size}`, count: countOf(size, ROUND_BYTES, SIZE_OF_COST) })),
];

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure({ library }, { name, count }, { node, scale }) {
  return measureExchange(node, [PROGRAM, library, name], count, scale);
}

const benchmark = messagesBenchmark({
  name: 'messaging',
  title:
    'Messages to a worker thread: {id, op, v: [1, 2, 3]} (small), 907 bytes of JSON (object), 64 KiB of text, ' +
    '1 KiB of it (short-text), a Map, 1 MiB of bytes, also received as a view and, filled for each message, in ' +
    'the memory of the link (binary-filled); small ones there and back, one at a ' +
    'time (round-trip, also with the latencies frugal and low) and 32 (outstanding); one each 100 us (paced); none, ' +
    'with four workers (idle, per millisecond); a Uint8Array of so many bytes (bytes-...)',
  scenarios: SCENARIOS,
  measure,
});

define(benchmark, module);
