'use strict';

/*
 * Cost of loading manycore: time, and resident memory in excess of a process that loads nothing. The target is
 * under 15 ms and under 3 MiB (3072 KiB).
 *
 *   node bench/run.js require --processes 15
 */

const { execFileSync } = require('node:child_process');
const path = require('node:path');

const { define, positive } = require('./lib/driver');
const { median } = require('./lib/statistics');

const PACKAGE = JSON.stringify(path.join(__dirname, '..'));

/** Without a forced GC: flags would disable Node's code cache. */
const program = (/** @type {string} */ load) => `
const startNs = process.hrtime.bigint();
${load};
const ms = Number(process.hrtime.bigint() - startNs) / 1e6;
console.log(JSON.stringify({ ms, rssKiB: process.memoryUsage.rss() / 1024 }));
`;

/**
 * @param {string} node
 * @param {string} load
 * @returns {{ ms: number, rssKiB: number }}
 */
function runOnce(node, load) {
  return JSON.parse(execFileSync(node, ['-e', program(load)], { encoding: 'utf8' }));
}

/**
 * @param {import('./lib/driver').Contender} contender
 * @param {import('./lib/driver').Scenario} _scenario
 * @param {import('./lib/driver').Options} options
 */
async function measure(contender, _scenario, { node, processes }) {
  const loaded = [];
  const empty = [];
  // Alternating, so that changes of the machine's load affect both alike.
  for (let index = 0; index < processes; index++) {
    empty.push(runOnce(node, ''));
    loaded.push(runOnce(node, contender.load));
  }
  const beyondEmpty = (/** @type {'ms' | 'rssKiB'} */ key) =>
    median(loaded.map((sample) => sample[key])) - median(empty.map((sample) => sample[key]));
  return { ms: beyondEmpty('ms'), rssKiB: beyondEmpty('rssKiB') };
}

/** @type {import('./lib/driver').Benchmark} */
const benchmark = {
  name: 'require',
  title: "What require('manycore') costs, and what asking it for both of its halves costs",
  peer: "node's own",
  metrics: [
    { key: 'ms', label: 'time, ms', better: 'lower', digits: 2 },
    { key: 'rssKiB', label: 'memory, KiB', better: 'lower', digits: 0 },
  ],
  options: {
    processes: { help: 'fresh processes each, of which the median counts', default: '11', parse: positive },
  },
  scenarios: () => [{ name: 'require' }],
  contenders: () => [
    { name: "node's own", load: "require('node:cluster'); require('node:worker_threads')" },
    { name: 'manycore', load: `require(${PACKAGE})` },
    {
      name: 'manycore used',
      load: `const { cluster, Worker } = require(${PACKAGE}); if (!cluster || !Worker) throw cluster`,
    },
  ],
  measure,
};

define(benchmark, module);
