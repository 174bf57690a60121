'use strict';

/*
 * Cost per operation of data shared between processes: a SharedMap compared with lmdb, memory-mapped and on disk,
 * and with Redis on localhost, one command at a time; and a rate limiter used by two processes at once.
 *
 *   node bench/run.js shared --scenarios get,set
 *   node bench/run.js shared --scenarios get --entries 1000000 --contenders manycore,lmdb
 */

const path = require('node:path');
const { execFile, spawnSync } = require('node:child_process');
const { promisify } = require('node:util');

const { main, positive } = require('./lib/driver');
const { environment } = require('./lib/environment');

const PROGRAM = path.join(__dirname, 'servers', 'shared.js');
const TIMEOUT_MS = 300_000;

const LIBRARIES = ['manycore', 'lmdb', 'redis'];
/** Scaling to a second process that does the same amount of work; `apart`: each with a store of its own. */
const TEAMS = [
  { name: 'alone', library: 'manycore', processes: 1 },
  { name: 'together', library: 'manycore', processes: 2 },
  { name: 'apart', library: 'manycore', processes: 2, own: true },
];
/** @type {import('./lib/driver').Metric[]} */
const METRICS = [
  { key: 'rate', label: 'per second', better: 'higher', digits: 0 },
  { key: 'eachNs', label: 'ns each', better: 'lower', digits: 0 },
];
/**
 * Arithmetic throughput of the processors, all busy at once, right before and after: the upper bound of any
 * scaling.
 */
const STEPS = { key: 'stepsPerUs', label: 'steps of arithmetic per us', better: 'higher', digits: 0 };
const OVERHEAD = { key: 'overheadBytes', label: 'bytes beyond key and value', better: 'lower', digits: 1 };
const SCALING = {
  contenders: TEAMS.map(({ name }) => name),
  peer: 'alone',
  metrics: /** @type {import('./lib/driver').Metric[]} */ ([...METRICS, STEPS]),
};
/**
 * Name, number of operations per process at `--scale 1`, and number of concurrent processes.
 * @type {import('./lib/driver').Scenario[]}
 */
const SCENARIOS = [
  { name: 'get', count: 2_000_000, processes: 1 },
  { name: 'set', count: 1_000_000, processes: 1 },
  { name: 'get-2', count: 2_000_000, processes: 2 },
  { name: 'set-2', count: 1_000_000, processes: 2 },
  { name: 'get-scaling', operation: 'get', count: 2_000_000, ...SCALING },
  { name: 'set-scaling', operation: 'set', count: 1_000_000, ...SCALING },
  { name: 'object-get', count: 300_000, processes: 1 },
  { name: 'object-set', count: 300_000, processes: 1 },
  { name: 'limit-2', count: 1_000_000, processes: 2 },
  {
    name: 'overhead',
    operation: 'set',
    count: 1,
    processes: 1,
    contenders: ['manycore'],
    metrics: /** @type {import('./lib/driver').Metric[]} */ ([OVERHEAD]),
  },
];
/** Fraction of the operations for slow ones: commands over a socket, and one transaction per limit. */
const SLOW_SHARE = 1 / 80;

/** @param {string} module */
function hasModule(module) {
  try {
    require.resolve(module);
    return true;
  } catch {
    return false;
  }
}

/** @param {import('./lib/driver').Options} options */
function contenders({ node }) {
  const { addon } = environment(node);
  const hasRedis = spawnSync('redis-server', ['--version']).status === 0;
  const missing = (/** @type {boolean} */ has, /** @type {string} */ what) =>
    has ? {} : { unavailable: what };
  return [
    { name: 'manycore', ...missing(addon === 'loaded', `no native addon: ${addon}`) },
    { name: 'lmdb', ...missing(hasModule('lmdb'), 'the package lmdb is not installed') },
    {
      name: 'redis',
      ...missing(hasRedis && hasModule('ioredis'), 'redis-server or ioredis is not installed'),
    },
    ...TEAMS.map((team) => ({ ...team, ...missing(addon === 'loaded', `no native addon: ${addon}`) })),
  ];
}

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure(contender, scenario, { node, scale, entries }) {
  const { library, processes, own } = { library: contender.name, ...scenario, ...contender };
  const { name, count, operation = name.replace(/-2$/, '') } = scenario;
  const isSlow = library === 'redis' || (library === 'lmdb' && name === 'limit-2');
  const share = isSlow ? SLOW_SHARE : 1;
  const each = String(Math.max(1, Math.round(count * scale * share)));
  const args = [
    PROGRAM,
    library,
    operation,
    each,
    String(processes),
    String(entries),
    own ? 'own' : 'shared',
  ];
  const { stdout, stderr } = await promisify(execFile)(node, args, { timeout: TIMEOUT_MS });
  if (stderr) process.stderr.write(stderr);
  const { operations, elapsedNs, ...told } = JSON.parse(stdout);
  return { rate: (operations * 1e9) / elapsedNs, eachNs: elapsedNs / operations, ...told };
}

/** @type {import('./lib/driver').Benchmark} */
const benchmark = {
  name: 'shared',
  title:
    'Operations on --entries keys in random order, with values of 64 characters (get, set) or {id, name, tags: [2], ok} ' +
    '(object-get, object-set), in one process and in two at once (-2); what a second process adds (-scaling), to the same map ' +
    '(together) or with one of its own (apart), and to what the processors do without any; consuming from one of 100 rate limits (limit-2); memory per entry (overhead)',
  peer: 'lmdb',
  metrics: METRICS,
  options: {
    entries: {
      help: 'keys there are; at most 100,000 of them, spread out, are used',
      default: '10000',
      parse: positive,
    },
    scale: { help: 'how many times the usual number of operations', default: '1', parse: positive },
  },
  scenarios: () => SCENARIOS.map((scenario) => ({ contenders: LIBRARIES, ...scenario })),
  contenders,
  measure,
};

module.exports = benchmark;

if (require.main === module) main(benchmark);
