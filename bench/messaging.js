'use strict';

/*
 * What messages between a program and a worker thread of it cost: one way, there and back, many at a time, few and
 * none.
 *
 *   node bench/run.js messaging --scenarios small,round-trip
 */

const path = require('node:path');

const { define } = require('./lib/driver');
const { contenders, measureExchange, metrics, scaleOption } = require('./lib/exchange');

const PROGRAM = path.join(__dirname, 'servers', 'messaging.js');

/** Name, and how many messages a round has at `--scale 1`. */
const SCENARIOS = [
  { name: 'small', count: 400_000 },
  { name: 'object', count: 60_000 },
  { name: 'text', count: 8000 },
  { name: 'short-text', count: 60_000 },
  { name: 'map', count: 60_000 },
  { name: 'binary', count: 500 },
  { name: 'binary-view', count: 500 },
  { name: 'round-trip', count: 20_000 },
  { name: 'round-trip-frugal', count: 20_000 },
  { name: 'round-trip-low', count: 20_000 },
  { name: 'outstanding', count: 60_000 },
  { name: 'paced', count: 10_000 },
  { name: 'idle', count: 2000 },
];

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure({ library }, { name, count }, { node, scale }) {
  return measureExchange(node, [PROGRAM, library, name], count, scale);
}

/** @type {import('./lib/driver').Benchmark} */
const benchmark = {
  name: 'messaging',
  title:
    'Messages to a worker thread: {id, op, v: [1, 2, 3]} (small), 907 bytes of JSON (object), 64 KiB of text, ' +
    '1 KiB of it (short-text), a Map, 1 MiB of bytes, also received as a view; small ones there and back, one at a ' +
    'time (round-trip, also with the latencies frugal and low) and 32 (outstanding); one each 100 us (paced); none ' +
    '(idle, per millisecond)',
  peer: 'node',
  metrics,
  options: { scale: scaleOption('messages') },
  scenarios: () => SCENARIOS,
  contenders,
  measure,
};

define(benchmark, module);
