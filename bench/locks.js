'use strict';

/*
 * Cost of locking and unlocking: uncontended, and contended by a second process.
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
const BEYOND = { key: 'beyondNs', label: 'ns beyond two N-API calls', better: 'lower', digits: 0 };
/** @type {import('./lib/driver').Scenario[]} */
const SCENARIOS = [
  { name: 'alone', processes: 1 },
  { name: 'contended', processes: 2 },
  {
    name: 'beyond-calls',
    processes: 1,
    contenders: ['manycore'],
    program: 'beyond',
    metrics: /** @type {import('./lib/driver').Metric[]} */ ([BEYOND]),
  },
];

/** @param {import('./lib/driver').Options} options */
function contenders({ node }) {
  const { addon } = environment(node);
  const unavailable = addon === 'loaded' ? {} : { unavailable: `no native addon: ${addon}` };
  return [{ name: 'calls', ...unavailable }, { name: 'manycore', ...unavailable }, { name: 'mkdir' }];
}

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure({ name }, { processes, program = name }, { node, ms }) {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-bench-'));
  // Kept until the end, since its handle is only valid that long.
  const mutex = name === 'manycore' ? new (require('..').Mutex)() : undefined;
  const args = [program, String(ms), mutex?.handle ?? place];
  const children = Array.from({ length: processes }, () => fork(PROGRAM, args, { execPath: node }));
  try {
    await Promise.all(children.map((child) => once(child, 'message')));
    for (const child of children) child.send('go');
    const results = await Promise.all(children.map((child) => once(child, 'message')));
    if (program === 'beyond') return results[0][0];
    const rate = results.reduce((sum, [{ rounds, elapsedNs }]) => sum + (rounds * 1e9) / elapsedNs, 0);
    return { eachNs: 1e9 / rate, rate };
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
    ms: { help: 'milliseconds of each measurement', default: '1000', parse: positive },
  },
  scenarios: () => SCENARIOS,
  contenders,
  measure,
};

module.exports = benchmark;

if (require.main === module) main(benchmark);
