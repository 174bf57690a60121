'use strict';

/* Scenarios in which pools are compared. Each uses a pool for a while and returns figures. */

const MIB = 1024 * 1024;
const BURST = 2000;
/** Duration of a measurement, and of the warm-up before it. */
const MEASURE_MS = 700;
const WARM_UP_MS = 300;
/** Number of outstanding buffers. */
const BUFFERS = 8;

const PEERS = ['piscina', 'tinypool', 'workerpool', 'manycore'];

const METRICS = /** @type {const} */ ({
  rate: { key: 'rate', label: 'tasks per second', better: 'higher', digits: 0 },
  eachUs: { key: 'eachUs', label: 'us per task', better: 'lower', digits: 2 },
  peakMiB: { key: 'peakMiB', label: 'MiB resident at most', better: 'lower', digits: 0 },
  firstMs: { key: 'firstMs', label: 'ms to the first result', better: 'lower', digits: 2 },
});
const { rate, eachUs, peakMiB, firstMs } = METRICS;

/**
 * @typedef {import('./contenders').Contender} Contender
 * @typedef {{ key: string, label: string, better: 'higher' | 'lower', digits: number }} Metric
 * @typedef {object} Scenario
 * @property {string} name
 * @property {string} what short description
 * @property {'add' | 'echo' | 'spin'} task
 * @property {number} workers
 * @property {string[]} contenders
 * @property {string} peer contender that the others are compared with
 * @property {Metric[]} metrics
 * @property {boolean} [isWarm] whether workers may be started before the pool is created
 * @property {boolean} [hasProcesses] whether workers are processes, for libraries that support it
 * @property {(pool: Contender, rounds: number) => Promise<Record<string, number>>} [measure] absent if only the
 * start is measured
 */

const now = () => performance.now();

/**
 * Repeats something that counts as `many` tasks, after a warm-up.
 * @param {() => any} repeat
 * @param {number} many
 */
async function paced(repeat, many) {
  const warmUntil = now() + WARM_UP_MS;
  do await repeat();
  while (now() < warmUntil);
  const start = now();
  let tasks = 0;
  do {
    await repeat();
    tasks += many;
  } while (now() - start < MEASURE_MS);
  const elapsedMs = now() - start;
  return { rate: (tasks * 1000) / elapsedMs, eachUs: (elapsedMs * 1000) / tasks };
}

/** @param {Contender} pool */
async function add(pool) {
  const sum = await pool.run({ a: 4, b: 6 });
  if (sum !== 10) throw new Error(`4 + 6 is not ${sum}`);
}

/**
 * @param {number} count
 * @param {(i: number) => any} run
 */
function all(count, run) {
  return Promise.all(Array.from({ length: count }, (_, i) => run(i)));
}

/** @type {Scenario[]} */
const OVER_THREADS = [
  {
    name: 'burst',
    what: `${BURST} trivial tasks at a time, 1 worker`,
    task: 'add',
    workers: 1,
    contenders: PEERS,
    peer: 'piscina',
    metrics: [rate],
    measure: (pool) => paced(() => all(BURST, (i) => pool.run({ a: i, b: 1 })), BURST),
  },
  {
    name: 'sequential',
    what: 'one trivial task after the other, 1 worker',
    task: 'add',
    workers: 1,
    contenders: PEERS,
    peer: 'piscina',
    metrics: [rate],
    measure: (pool) => paced(() => add(pool), 1),
  },
  {
    name: 'cpu',
    what: '1,000 tasks of about 1 ms of work, 2 workers; at most what 2 threads without a pool do',
    task: 'spin',
    workers: 2,
    contenders: ['threads', ...PEERS],
    peer: 'threads',
    metrics: [rate],
    async measure(pool, rounds) {
      const spinAll = (/** @type {number} */ count) =>
        pool.spinAll?.(rounds, count) ?? all(count, () => pool.run(rounds));
      await spinAll(200);
      const start = now();
      await spinAll(1000);
      return { rate: 1_000_000 / (now() - start) };
    },
  },
  {
    name: 'buffers',
    what: `1 MiB there and back, ${BUFFERS} at a time, 1 worker`,
    task: 'echo',
    workers: 1,
    contenders: PEERS,
    peer: 'piscina',
    metrics: [rate],
    measure: (pool) => {
      const bytes = new Uint8Array(MIB).fill(7);
      const check = (/** @type {any} */ back) => {
        if (back.length !== MIB || back[MIB - 1] !== 7) throw new Error('the buffer came back changed');
      };
      return paced(async () => (await all(BUFFERS, () => pool.run(bytes))).forEach(check), BUFFERS);
    },
  },
  {
    name: 'sync',
    what: 'one trivial task after the other, without the event loop, 1 worker',
    task: 'add',
    workers: 1,
    contenders: ['synckit', 'manycore'],
    peer: 'synckit',
    metrics: [eachUs],
    async measure(pool) {
      await pool.run({ a: 1, b: 2 });
      return paced(() => {
        for (let i = 0; i < 100; i++) pool.runSync?.({ a: i, b: 1 });
      }, 100);
    },
  },
  {
    name: 'cold',
    what: 'from loading the library to the first result, 1 worker',
    task: 'add',
    workers: 1,
    contenders: PEERS,
    peer: 'piscina',
    metrics: [firstMs],
  },
  {
    name: 'warm',
    what: 'from making the pool to the first result, where a library can have a worker ready before, 1 worker',
    task: 'add',
    workers: 1,
    isWarm: true,
    contenders: PEERS,
    peer: 'piscina',
    metrics: [firstMs],
  },
];

const SCENARIOS = [
  ...OVER_THREADS,
  ...['burst', 'sequential', 'cpu'].map(overProcesses),
  ...[2, 3, 4, 5, 6].map((power) => queued(10 ** power)),
];

/**
 * Derives a scenario with worker processes; piscina only has threads.
 * @param {string} name name of the scenario with threads
 * @returns {Scenario}
 */
function overProcesses(name) {
  const scenario = /** @type {Scenario} */ (OVER_THREADS.find((each) => each.name === name));
  return {
    ...scenario,
    name: `${name}-processes`,
    what: `${scenario.what}; over processes, piscina over threads`,
    contenders: PEERS,
    peer: 'piscina',
    hasProcesses: true,
  };
}

/**
 * @param {number} count
 * @returns {Scenario}
 */
function queued(count) {
  return {
    name: `queue-${count}`,
    what: `${count.toLocaleString('en-US')} trivial tasks at a time, 1 worker`,
    task: 'add',
    workers: 1,
    // The others take most of a minute for a million.
    contenders: count < 1_000_000 ? PEERS : ['piscina', 'manycore'],
    peer: 'piscina',
    metrics: [eachUs, peakMiB],
    async measure(pool) {
      await add(pool);
      const start = now();
      // Not `Promise.all()`, which needs more memory per task than most queues.
      const results = Array.from({ length: count }, (_, i) => pool.run({ a: i, b: 1 }));
      for (const result of results) await result;
      const elapsedMs = now() - start;
      return { eachUs: (elapsedMs * 1000) / count, peakMiB: process.resourceUsage().maxRSS / 1024 };
    },
  };
}

/**
 * Returns the number of rounds of `spin` that take a millisecond on this machine.
 * @param {number} [ms]
 */
function calibrate(ms = 1) {
  const { spin } = require('./tasks');
  let fastest = Infinity;
  for (let i = 0; i < 50; i++) {
    const start = now();
    spin(100_000);
    fastest = Math.min(fastest, now() - start);
  }
  return Math.round((100_000 * ms) / fastest);
}

module.exports.METRICS = METRICS;
module.exports.SCENARIOS = SCENARIOS;
module.exports.add = add;
module.exports.calibrate = calibrate;
