'use strict';

/* What benchmarks of messages have in common: who is compared, what is measured, how a round is run. */

const { execFile } = require('node:child_process');
const { promisify } = require('node:util');

const { environment } = require('./environment');
const { positive } = require('./driver');

const TIMEOUT_MS = 300_000;

/** @type {import('./driver').Benchmark['metrics']} */
const metrics = [
  { key: 'rate', label: 'per second', better: 'higher', digits: 0 },
  { key: 'eachUs', label: 'us each', better: 'lower', digits: 2 },
  { key: 'cpuUs', label: 'CPU of both sides, us each', unit: 'us', better: 'lower', digits: 2 },
];

/** The benchmarks' own option: how much a round does. @param {string} what */
function scaleOption(what) {
  return { help: `how many times the usual number of ${what}`, default: '1', parse: positive };
}

/** Why manycore cannot be measured with a Node, as a property of its contender; nothing where it can. @param {string} node */
function availability(node) {
  const { addon } = environment(node);
  return addon === 'loaded' ? {} : { unavailable: `no native addon: ${addon}` };
}

/** Node's own and ours. @param {import('./driver').Options} options */
function contenders({ node }) {
  return [
    { name: 'node', library: 'node' },
    { name: 'manycore', library: 'manycore', ...availability(node) },
  ];
}

/**
 * Runs a program that prints `{ elapsedNs, cpuUs }` and how many exchanges there were, told last how many to make.
 * @param {string} node
 * @param {string[]} args the program and its arguments but for the number
 * @param {number} count at `--scale 1`
 * @param {number} scale
 */
async function measureExchange(node, args, count, scale) {
  const total = String(Math.max(1, Math.round(count * scale)));
  const { stdout } = await promisify(execFile)(node, [...args, total], { timeout: TIMEOUT_MS });
  const { messages, calls, elapsedNs, cpuUs } = JSON.parse(stdout);
  const made = messages ?? calls;
  return { rate: (made * 1e9) / elapsedNs, eachUs: elapsedNs / 1000 / made, cpuUs: cpuUs / made };
}

/**
 * So many messages of a size as take about as long as those of another.
 * @param {number} size in bytes
 * @param {number} roundBytes of a round
 * @param {number} sizeOfCost what a message costs beside its bytes, in bytes
 */
function countOf(size, roundBytes, sizeOfCost) {
  return Math.max(8, Math.round(roundBytes / (size + sizeOfCost)));
}

/**
 * A benchmark of messages, Node's own against ours.
 * @param {Pick<import('./driver').Benchmark, 'name' | 'title' | 'measure'> & { scenarios: import('./driver').Scenario[] }} own
 * @returns {import('./driver').Benchmark}
 */
function messagesBenchmark({ name, title, scenarios, measure }) {
  return {
    name,
    title,
    peer: 'node',
    metrics,
    options: { scale: scaleOption('messages') },
    scenarios: () => scenarios,
    contenders,
    measure,
  };
}

module.exports.messagesBenchmark = messagesBenchmark;
module.exports.countOf = countOf;
module.exports.metrics = metrics;
module.exports.scaleOption = scaleOption;
module.exports.availability = availability;
module.exports.measureExchange = measureExchange;
