'use strict';

/**
 * What `require('manycore')` costs a process: time and resident memory, each as the median over fresh
 * processes that load it minus the median over fresh processes that do not.
 *
 *   node bench/require.js [rounds]     default 15, at least 11
 */

const { execFileSync } = require('node:child_process');
const path = require('node:path');

const MIN_ROUNDS = 11;
const LIMIT_MS = 15;
const LIMIT_BYTES = 3 * 1024 * 1024;

const SCRIPT = `
const target = process.argv[1];
const startNs = process.hrtime.bigint();
if (target) require(target);
const elapsedNs = process.hrtime.bigint() - startNs;
console.log(JSON.stringify({ ms: Number(elapsedNs) / 1e6, rssBytes: process.memoryUsage.rss() }));
`;

/** @param {string} target what to require, or '' */
function measure(target) {
  const args = ['-e', SCRIPT, '--', target];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }));
}

/** @param {number[]} values */
function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function main() {
  const rounds = Math.max(MIN_ROUNDS, Number(process.argv[2]) || 15);
  const target = path.join(__dirname, '..');
  const samples = { with: [], without: [] };
  // Alternating, so that a change of the machine's load meets both alike.
  for (let round = 0; round < rounds; round++) {
    samples.without.push(measure(''));
    samples.with.push(measure(target));
  }
  const of = (kind, field) => median(samples[kind].map((sample) => sample[field]));
  const ms = of('with', 'ms') - of('without', 'ms');
  const bytes = of('with', 'rssBytes') - of('without', 'rssBytes');
  console.log(`require('manycore') on Node ${process.version}, medians of ${rounds} processes each`);
  console.log(`time    ${ms.toFixed(2)} ms (limit ${LIMIT_MS})`);
  console.log(`memory  ${(bytes / 1024).toFixed(0)} KiB (limit ${LIMIT_BYTES / 1024})`);
  process.exitCode = ms < LIMIT_MS && bytes < LIMIT_BYTES ? 0 : 1;
}

main();
