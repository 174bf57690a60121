'use strict';

/* Common part of the message benchmarks: contenders, metrics, and how a round is run. */

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

/** Common option: amount of work per round. @param {string} what */
function scaleOption(what) {
  return { help: `how many times the usual number of ${what}`, default: '1', parse: positive };
}

/** Returns `{ unavailable: reason }` if manycore cannot be measured with a Node, else `{}`. @param {string} node */
function availability(node) {
  const { addon } = environment(node);
  return addon === 'loaded' ? {} : { unavailable: `no native addon: ${addon}` };
}

/** Node's own implementation and ours. @param {import('./driver').Options} options */
function contenders({ node }) {
  return [
    { name: 'node', library: 'node' },
    { name: 'manycore', library: 'manycore', ...availability(node) },
  ];
}

/**
 * Runs a program that prints `{ elapsedNs, cpuUs }` and the number of exchanges; its last argument is the number to
 * make.
 * @param {string} node
 * @param {string[]} args the program and its arguments, without the number
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
 * Returns the number of messages of a size that take about the same time as those of other sizes.
 * @param {number} size in bytes
 * @param {number} roundBytes bytes per round
 * @param {number} sizeOfCost cost of a message apart from its size, expressed in bytes
 */
function countOf(size, roundBytes, sizeOfCost) {
  return Math.max(8, Math.round(roundBytes / (size + sizeOfCost)));
}

/**
 * Defines a benchmark of messages that compares Node's with ours.
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
