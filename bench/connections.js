'use strict';

/*
 * Connections per second of a clustered HTTP server, their cost, and their latency.
 *
 *   node bench/run.js connections                                  # new connections, and requests on kept ones
 *   node bench/run.js connections --rate 1000 --ipc 1 --scenarios 'paced,paced + ipc'  # beside messages
 *   node bench/run.js connections --curve workers --warm 5000      # 1 to 64 workers
 *   node bench/run.js connections --curve listeners                # 1 to 256 servers in each worker
 *   node bench/run.js connections --peer reuseport --scenarios close --node NODE24
 *   node bench/run.js connections --contenders 'node rr,pm2,manycore'  # PM2 is fetched for it
 */

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { cachedPackage } = require('../scripts/lib/cache');
const { UsageError, define, positive, wholeNumber } = require('./lib/driver');
const { ask, environment } = require('./lib/environment');
const { paced } = require('./lib/paced');
const { Server } = require('./lib/processes');
const { requireWrk, wrk } = require('./lib/wrk');

const PROGRAM = path.join(__dirname, 'servers', 'hello.js');
const PM2_PROGRAM = path.join(__dirname, 'servers', 'hello-pm2.js');
const PM2_MAJOR = 7;

/** @type {{ folder?: string, unavailable?: string }} */
let pm2 = { unavailable: 'it is fetched when named' };

/**
 * Time limit per worker for its share of the requests before the measurement. Until it has served enough of them,
 * V8's compilers are measured, and the more workers there are, the longer that takes.
 */
const WARM_LIMIT_MS_EACH = 40;

/** A paced client further behind its schedule than this does not apply the intended load. */
const LATE_MS = 100;

/** Prints whether two servers can listen on one port with SO_REUSEPORT: older versions ignore the option. */
const REUSEPORT_PROBE = `
  const net = require('node:net');
  const listen = (port) => net.createServer().listen({ port, host: '127.0.0.1', reusePort: true });
  const say = (able) => { console.log(able); process.exit(); };
  const first = listen(0).on('error', () => say(false)).on('listening', () => {
    listen(first.address().port).on('error', () => say(false)).on('listening', () => say(true));
  });
`;

/** @param {import('./lib/driver').Options} options */
function contenders({ node }) {
  const { addon } = environment(node);
  const manycore = addon === 'loaded' ? {} : { unavailable: `no native addon: ${addon}` };
  const reuseport = ask(node, REUSEPORT_PROBE)
    ? {}
    : { unavailable: 'this Node.js has no listen({ reusePort })' };
  return [
    { name: 'node rr', args: ['node'], policy: 'rr' },
    { name: 'node none', args: ['node'], policy: 'none' },
    { name: 'manycore', args: ['manycore'], ...manycore },
    { name: 'manycore rr', args: ['manycore'], policy: 'rr', ...manycore },
    { name: 'manycore none', args: ['manycore'], policy: 'none', ...manycore },
    { name: 'reuseport', args: ['node'], listen: 'reuseport', ...reuseport },
    { name: 'pm2', args: [], ...pm2 },
  ];
}

/** @param {import('./lib/driver').Options} options */
async function prepare({ contenders: named }) {
  requireWrk();
  if (named.includes('pm2')) pm2 = await findPm2();
}

/** Not a dependency of the project because of its licence: run as a separate program. */
async function findPm2() {
  try {
    return { folder: await cachedPackage('pm2', PM2_MAJOR, 'peers', `pm2-${PM2_MAJOR}`) };
  } catch (error) {
    return { unavailable: `it cannot be fetched: ${/** @type {Error} */ (error).message}` };
  }
}

/**
 * @param {import('./lib/driver').Contender} contender
 * @param {import('./lib/driver').Options} options
 * @param {Record<string, string | undefined>} env
 * @returns {Promise<{ server: Server, close: () => Promise<void> }>}
 */
async function start({ args, folder, listen }, { node, workers }, env) {
  if (folder === undefined) {
    const server = await Server.start(node, [PROGRAM, ...args, String(workers), listen ?? ''], env);
    return { server, close: () => server.stop() };
  }
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-pm2-'));
  const remove = () => fs.promises.rm(home, { recursive: true, force: true });
  try {
    const program = [PM2_PROGRAM, folder, String(workers)];
    const server = await Server.start(node, program, { ...env, PM2_HOME: home, PM2_SILENT: 'true' });
    return { server, close: () => server.stop().finally(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Values for each curve; the other parameter stays at its default. @type {Record<string, number[]>} */
const CURVES = { workers: [1, 2, 4, 16, 64], listeners: [1, 4, 16, 64, 256] };

/** @param {import('./lib/driver').Options} options */
function scenarios({ rate, ipc, curve }) {
  if (curve) {
    return CURVES[curve].map((count) => ({
      name: `${count} ${curve}`,
      close: true,
      kept: true,
      [curve]: count,
    }));
  }
  const all = [
    { name: 'close', close: true },
    { name: 'keep-alive', close: false, kept: true },
    ...(rate ? [{ name: 'paced', rate }] : []),
  ];
  const loads = all.filter(({ name }) => name !== 'keep-alive');
  return ipc ? [...all, ...loads.map((each) => ({ ...each, name: `${each.name} + ipc`, ipc }))] : all;
}

/**
 * Starts a server and loads it until all its workers are warm.
 * @param {import('./lib/driver').Contender} contender
 * @param {import('./lib/driver').Scenario} scenario
 * @param {import('./lib/driver').Options} options
 */
async function startWarm(contender, scenario, options) {
  const sizes = { ...options, ...scenario };
  const started = await start(contender, sizes, {
    NODE_CLUSTER_SCHED_POLICY: contender.policy,
    BENCH_LISTENERS: String(sizes.listeners),
    BENCH_IPC: scenario.ipc ? '1' : undefined,
  });
  try {
    const limitMs = performance.now() + options.warm * WARM_LIMIT_MS_EACH;
    do await load(started.server, scenario, options, options.warmup);
    while (Math.min(...(await started.server.counts())) < options.warm && performance.now() < limitMs);
    return started;
  } catch (error) {
    await started.close();
    throw error;
  }
}

/**
 * @param {Server} server
 * @param {import('./lib/driver').Scenario} scenario
 * @param {import('./lib/driver').Options} options
 * @param {number} durationS
 * @returns {Promise<import('./lib/wrk').Load & { lateMs?: number }>}
 */
function load({ port }, { rate, close }, { connections, threads }, durationS) {
  if (rate) return paced({ port, rate, durationS });
  return wrk({ port, connections, threads, durationS, close });
}

/**
 * A server that stays for all rounds, or for those of `--renew`: the more workers there are, the longer the warm-up
 * takes. A new server's code for the end of a connection is discarded by V8 when the first connections end, and
 * compiled again in the next round, which is therefore dropped.
 * @type {NonNullable<import('./lib/driver').Benchmark['open']>}
 */
async function open(contender, scenario, options) {
  return scenario.kept ? startWarm(contender, scenario, options) : undefined;
}

/** @type {import('./lib/driver').Benchmark['measure']} */
async function measure(contender, scenario, options, opened) {
  const { server, close } = opened ?? (await startWarm(contender, scenario, options));
  try {
    const [cpuBefore, countsBefore] = [server.cpu(), await server.counts()];
    const result = await load(server, scenario, options, options.duration);
    const [cpuAfter, countsAfter] = [server.cpu(), await server.counts()];
    if (result.lateMs !== undefined && result.lateMs > LATE_MS) {
      console.error(
        `The client was up to ${Math.round(result.lateMs)} ms behind: the rate is too high for it.`,
      );
    }
    const counts = countsAfter.map((/** @type {number} */ count, /** @type {number} */ index) => {
      return count - countsBefore[index];
    });
    return figures(result, cpuBefore, cpuAfter, counts);
  } finally {
    if (opened === undefined) await close();
  }
}

/**
 * @param {import('./lib/wrk').Load} load
 * @param {ReturnType<Server['cpu']>} before
 * @param {ReturnType<Server['cpu']>} after
 * @param {number[]} counts number of requests by worker
 */
function figures({ requests, durationUs, errors, latencyUs }, before, after, counts) {
  if (requests === 0) throw new Error('The server answered nothing');
  const primaryUs = (after.primaryUs - before.primaryUs) / requests;
  const workersUs = (after.workersUs - before.workersUs) / requests;
  return {
    rate: (requests * 1e6) / durationUs,
    cpuUs: primaryUs + workersUs,
    primaryUs,
    workersUs,
    p50Ms: latencyUs.p50 / 1000,
    p99Ms: latencyUs.p99 / 1000,
    evenness: Math.min(...counts) / Math.max(...counts),
    errors,
  };
}

/** @type {import('./lib/driver').Benchmark} */
const benchmark = {
  name: 'connections',
  title: 'HTTP "Hello!" from a cluster: connections (scenario close, paced) or requests (keep-alive)',
  peer: 'node rr',
  metrics: [
    { key: 'rate', label: 'per second', better: 'higher', digits: 0 },
    { key: 'cpuUs', label: 'server CPU, us each', unit: 'us', better: 'lower', digits: 1 },
    { key: 'primaryUs', label: 'of it in the primary, us', unit: 'us', better: 'lower', digits: 1 },
    { key: 'workersUs', label: 'of it in the workers, us', unit: 'us', better: 'lower', digits: 1 },
    { key: 'p50Ms', label: 'latency p50, ms', unit: 'ms', better: 'lower', digits: 2 },
    { key: 'p99Ms', label: 'latency p99, ms', unit: 'ms', better: 'lower', digits: 2 },
    { key: 'evenness', label: 'least / most by a worker', better: 'higher', digits: 3 },
    { key: 'errors', label: 'errors', better: 'lower', digits: 0 },
  ],
  options: {
    workers: { help: 'worker processes', default: String(os.availableParallelism()), parse: positive },
    listeners: { help: 'servers in each worker, one of them loaded', default: '1', parse: positive },
    ipc: {
      help: '1 adds scenarios + ipc, in which workers report metrics',
      default: '0',
      parse: wholeNumber,
    },
    curve: { help: 'workers or listeners: scenarios with 1 and more of them', default: '', parse: curveName },
    connections: { help: 'connections at a time', default: '64', parse: positive },
    threads: { help: "wrk's threads", default: '1', parse: positive },
    duration: { help: 'seconds measured', default: '5', parse: positive },
    warmup: {
      help: 'seconds of load before, again until all workers are warm',
      default: '1',
      parse: positive,
    },
    warm: { help: 'requests that each worker answers before', default: '1000', parse: positive },
    rate: { help: 'adds the scenario paced: connections per second', default: '0', parse: wholeNumber },
  },
  prepare,
  scenarios,
  contenders,
  open,
  measure,
};

/** @param {string} text */
function curveName(text) {
  if (text !== '' && !Object.hasOwn(CURVES, text)) {
    throw new UsageError(`no curve '${text}', there are ${Object.keys(CURVES).join(', ')}`);
  }
  return text;
}

define(benchmark, module);
