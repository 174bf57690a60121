'use strict';

/*
 * Breakdown of a round trip between two spinning threads: a word there and back, that is, the exchange of a cache
 * line between processors; a value and its reply through the lanes alone; as messages; and as a blocking call.
 *
 * And the minimum cost of a message of 1 MiB: one copy if it is lent, two copies by two threads if it is handed
 * over.
 *
 *   node bench/run.js floor
 */

const path = require('node:path');

const { define } = require('./lib/driver');
const { availability, measureExchange, metrics, scaleOption } = require('./lib/exchange');

const PROGRAM = path.join(__dirname, 'servers', 'floor.js');

/** Name, and number of repetitions per round at `--scale 1`. */
const SCENARIOS = [
  { name: 'round-trip', count: 100_000, contenders: ['word', 'lanes', 'messages', 'calls'] },
  { name: 'mebibyte', count: 2000, contenders: ['copy', 'copies'], peer: 'copy' },
];

/** @param {import('./lib/driver').Options} options */
function contenders({ node }) {
  const ours = availability(node);
  return [
    ...['word', 'copy'].map((name) => ({ name })),
    ...['lanes', 'messages', 'calls', 'copies'].map((name) => ({ name, ...ours })),
  ];
}

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure({ name }, { count }, { node, scale }) {
  return measureExchange(node, [PROGRAM, name], count, scale);
}

/** @type {import('./lib/driver').Benchmark} */
const benchmark = {
  name: 'floor',
  title:
    'A round trip between two threads that poll: a word of shared memory, {id, op, v: [1, 2, 3]} and its id through ' +
    'the lanes without an event loop, the same as messages, and the object as a blocking call; 1 MiB copied once ' +
    '(copy), and once more by another thread, to memory that is as cold as what a program receives (copies)',
  peer: 'word',
  metrics,
  options: { scale: scaleOption('round trips') },
  scenarios: () => SCENARIOS,
  contenders,
  measure,
};

define(benchmark, module);
