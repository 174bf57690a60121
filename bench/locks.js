'use strict';

/*
 * What it costs to take a lock and give it back: alone, and with a second process that wants it all the time.
 *
 *   node bench/run.js locks --scenarios alone
 */

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { fork } = require('node:child_process');
const { once } = require('node:events');

const { main, positive } = require('./lib/driver');
const { environment } = require('./lib/environment');

const PROGRAM = path.join(__dirname, 'servers', 'locks.js');
const SCENARIOS = [
  { name: 'alone', processes: 1 },
  { name: 'contended', processes: 2 },
];

/** @param {import('./lib/driver').Options} options */
function contenders({ node }) {
  const { addon } = environment(node);
  const unavailable = addon === 'loaded' ? {} : { unavailable: `no native addon: ${addon}` };
  return [
    { name: 'calls', counts: [2_000_000, 2_000_000], ...unavailable },
    { name: 'manycore', counts: [2_000_000, 20_000], ...unavailable },
    { name: 'mkdir', counts: [20_000, 2000] },
  ];
}

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure({ name, counts }, { processes }, { node, scale }) {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-bench-'));
  const count = String(Math.max(1, Math.round(counts[processes - 1] * scale)));
  // Kept until the end: its handle is good for that long.
  const mutex = name === 'manycore' ? new (require('..').Mutex)() : undefined;
  const args = [name, count, mutex?.handle ?? place];
  const children = Array.from({ length: processes }, () => fork(PROGRAM, args, { execPath: node }));
  try {
    await Promise.all(children.map((child) => once(child, 'message')));
    for (const child of children) child.send('go');
    const results = await Promise.all(children.map((child) => once(child, 'message')));
    const slowest = Math.max(...results.map(([{ elapsedNs }]) => elapsedNs));
    return {
      eachNs: slowest / (Number(count) * processes),
      rate: (Number(count) * processes * 1e9) / slowest,
    };
  } finally {
    for (const child of children) child.kill();
    fs.rmSync(place, { recursive: true });
  }
}

/** @type {import('./lib/driver').Benchmark} */
const benchmark = {
  name: 'locks',
  title:
    'Taking a lock and giving it back, by one process (alone) and by two at once (contended). calls: two N-API calls ' +
    'that do nothing; mkdir: a folder made and removed, as proper-lockfile does',
  peer: 'mkdir',
  metrics: [
    { key: 'eachNs', label: 'ns each', better: 'lower', digits: 0 },
    { key: 'rate', label: 'per second', better: 'higher', digits: 0 },
  ],
  options: {
    scale: { help: 'how many times the usual number of rounds', default: '1', parse: positive },
  },
  scenarios: () => SCENARIOS,
  contenders,
  measure,
};

module.exports = benchmark;

if (require.main === module) main(benchmark);
