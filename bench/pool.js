'use strict';

/*
 * Thread pools: tasks per second in bursts and sequentially, CPU-bound work on two processors, large buffers,
 * blocking calls, time to the first result, and long queues.
 *
 *   node bench/run.js pool --scenarios burst,sequential
 *
 * The scenarios are in lib/bench/pool, shared with `manycore bench pool`.
 */

const path = require('node:path');
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');

const { METRICS, SCENARIOS, calibrate } = require('../lib/bench/pool/scenarios');
const { define } = require('./lib/driver');
const { ROOT } = require('./lib/environment');
const { availability } = require('./lib/exchange');

const PROGRAM = path.join(ROOT, 'lib', 'bench', 'pool', 'program.js');
const TIMEOUT_MS = 120_000;

/** Same amount of work for all contenders: rounds that take about a millisecond. */
let rounds = 0;

/** @param {import('./lib/driver').Options} options */
function contenders({ node }) {
  return [
    // Upper bound: two threads without a pool.
    { name: 'threads' },
    { name: 'piscina' },
    { name: 'tinypool' },
    { name: 'workerpool' },
    { name: 'synckit' },
    { name: 'manycore', ...availability(node) },
  ];
}

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure({ name }, scenario, { node }) {
  rounds ||= calibrate();
  const args = [PROGRAM, name, scenario.name, String(rounds)];
  const { stdout } = await promisify(execFile)(node, args, { timeout: TIMEOUT_MS, cwd: ROOT });
  return JSON.parse(stdout);
}

/** @type {import('./lib/driver').Benchmark} */
const benchmark = {
  name: 'pool',
  title: 'Pools of threads. ' + SCENARIOS.map(({ name, what }) => `${name}: ${what}`).join('. '),
  peer: 'piscina',
  metrics: Object.values(METRICS),
  options: {},
  scenarios: () => SCENARIOS,
  contenders,
  measure,
};

define(benchmark, module);
