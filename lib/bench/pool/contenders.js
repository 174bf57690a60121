'use strict';

/* The pools under comparison, behind a common interface. Each runs in a process of its own. */

const path = require('node:path');
const { once } = require('node:events');
const { createRequire } = require('node:module');
const { pathToFileURL } = require('node:url');
const { Worker } = require('node:worker_threads');

const TASKS = path.join(__dirname, 'tasks.js');
const OTHERS = path.join(__dirname, 'others.js');

/**
 * @typedef {object} Contender a pool under test
 * @property {(task: any) => Promise<any>} run
 * @property {(task: any) => any} [runSync]
 * @property {(rounds: number, count: number) => Promise<void>} [spinAll] runs all tasks, without a pool
 */

/**
 * @typedef {object} Settings
 * @property {'add' | 'echo' | 'spin'} name name of the task
 * @property {number} workers
 * @property {boolean} isWarm whether workers may be started before the pool is created
 * @property {boolean} hasProcesses whether workers are processes, for libraries that support it
 * @property {() => void} whenLoaded called right before the pool is created
 */

/**
 * Resolves a library from the current folder; null if it is not installed.
 * @param {string} name
 * @param {string} [folder]
 */
function find(name, folder = process.cwd()) {
  try {
    return createRequire(path.join(folder, 'noop.js')).resolve(name);
  } catch {
    return null;
  }
}

/** @param {string} name */
function locate(name) {
  const file = find(name);
  if (file === null) throw new Error(`${name} is not installed in ${process.cwd()} or above`);
  return file;
}

/** @type {Record<string, (settings: Settings) => Promise<Contender>>} */
const CONTENDERS = {
  async manycore({ name, workers, isWarm, hasProcesses, whenLoaded }) {
    const { Pool } = require('../../..');
    /** @type {'processes' | 'threads'} */
    const runtime = hasProcesses ? 'processes' : 'threads';
    const options = { filename: TASKS, name, minThreads: workers, maxThreads: workers, runtime };
    if (isWarm) await Pool.warm(workers, options);
    whenLoaded();
    const pool = new Pool(options);
    return { run: (task) => pool.run(task), runSync: (task) => pool.runSync(task) };
  },

  async piscina({ name, workers, whenLoaded }) {
    const { Piscina } = require(locate('piscina'));
    whenLoaded();
    const pool = new Piscina({ filename: TASKS, name, minThreads: workers, maxThreads: workers });
    return { run: (task) => pool.run(task) };
  },

  async tinypool({ name, workers, hasProcesses, whenLoaded }) {
    const { Tinypool } = await import(pathToFileURL(locate('tinypool')).href);
    whenLoaded();
    const runtime = hasProcesses ? 'child_process' : 'worker_threads';
    const pool = new Tinypool({ filename: TASKS, name, minThreads: workers, maxThreads: workers, runtime });
    return { run: (task) => pool.run(task) };
  },

  async workerpool({ name, workers, hasProcesses, whenLoaded }) {
    const file = locate('workerpool');
    const env = { ...process.env, MANYCORE_BENCH_KIND: 'workerpool', MANYCORE_BENCH_LIBRARY: file };
    const limits = { minWorkers: workers, maxWorkers: workers };
    const workerpool = require(file);
    whenLoaded();
    const pool = hasProcesses
      ? workerpool.pool(OTHERS, { workerType: 'process', ...limits, forkOpts: { env } })
      : workerpool.pool(OTHERS, { workerType: 'thread', ...limits, workerThreadOpts: { env } });
    return { run: (task) => pool.exec(name, [task]) };
  },

  async synckit() {
    const file = locate('synckit');
    Object.assign(process.env, { MANYCORE_BENCH_KIND: 'synckit', MANYCORE_BENCH_LIBRARY: file });
    const runSync = require(file).createSyncFn(OTHERS);
    return { run: async (task) => runSync(task), runSync };
  },

  /** Upper bound: plain threads without a pool. */
  async threads({ workers }) {
    const all = Array.from({ length: workers }, () => new Worker(OTHERS));
    return {
      run: async () => {},
      async spinAll(rounds, count) {
        for (const worker of all) worker.postMessage({ rounds, count: count / workers });
        await Promise.all(all.map((worker) => once(worker, 'message')));
      },
    };
  },
};

module.exports.CONTENDERS = CONTENDERS;
module.exports.find = find;
