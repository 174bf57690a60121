'use strict';

/**
 * Starts worker threads. Loads almost nothing itself: the threads of a pool boot while the rest of its code is
 * loaded.
 */

const path = require('node:path');
const workerThreads = require('node:worker_threads');

const PROGRAM = path.join(__dirname, 'worker.js');
/** Modules that a pool needs once its threads have been started. */
const ENGINE = [path.join(__dirname, 'engine.js'), path.join(__dirname, 'thread-member.js')];
const SETTINGS = ['env', 'argv', 'execArgv', 'resourceLimits', 'workerData', 'trackUnmanagedFds'];

/** Number of the last worker of this process. */
let workers = 0;
/** Takes a warm thread; set by `Pool.warm`. @type {((options: Record<string, any>) => Started | null) | null} */
let takeWarm = null;

/**
 * @typedef {object} Beginning
 * @property {number} workerId
 * @property {Record<string, any>} settings settings it is started with
 */

/**
 * @typedef {Beginning & { worker: any, post: (message: any, transferList: any[]) => void }} Started a thread, and
 * the function that sends it messages
 */

function numberWorker() {
  return ++workers;
}

/** Returns the minimum number of workers of a pool. @param {Record<string, any>} options of the pool */
function leastOf({ minThreads, maxThreads, warmSpares }) {
  return Math.min(minThreads + warmSpares, Math.max(maxThreads, minThreads));
}

/**
 * Returns the number of a worker and the settings to start it with: the given ones, modified by the user's
 * `onCreateWorker`.
 * @param {Record<string, any>} options of the pool
 * @param {Record<string, any>} settings
 * @param {(created: any) => Record<string, any>} known translates the result of workerpool's hook into our names
 * @returns {Beginning}
 */
function begin(options, settings, known) {
  const workerId = numberWorker();
  const created = options.onCreateWorker?.({ ...settings, workerId });
  if (typeof created === 'object' && created !== null) Object.assign(settings, known(created));
  return { workerId, settings };
}

/**
 * Returns the settings of a thread.
 * @param {Record<string, any>} options of the pool
 */
function settingsOf(options) {
  const settings = Object.assign(pick(options, SETTINGS), options.workerThreadOpts);
  if (options.emitStdStreams || options.stdio !== 'inherit') settings.stdout = settings.stderr = true;
  return settings;
}

/**
 * @param {Record<string, any>} options of the pool
 * @returns {Started}
 */
function startThread(options) {
  const taken = options.onCreateWorker === undefined ? takeWarm?.(options) : null;
  if (taken) return taken;
  const beginning = begin(
    options,
    settingsOf(options),
    ({ forkArgs, forkOpts: _, workerThreadOpts, ...rest }) => ({
      ...(forkArgs === undefined ? {} : { argv: forkArgs }),
      ...workerThreadOpts,
      ...rest,
    }),
  );
  const worker = new workerThreads.Worker(PROGRAM, beginning.settings);
  return { ...beginning, worker, post: (message, transferList) => worker.postMessage(message, transferList) };
}

/**
 * Starts the minimum number of threads of a pool.
 * @param {Record<string, any>} options of the pool
 */
function startThreads(options) {
  /** @type {Started[]} */
  const started = [];
  try {
    while (started.length < leastOf(options)) started.push(startThread(options));
  } catch (error) {
    drop(started);
    throw error;
  }
  return started;
}

/** @param {Started[]} started threads that are not needed */
function drop(started) {
  for (const { worker } of started) void worker.terminate();
}

/**
 * @param {Record<string, any>} options
 * @param {readonly string[]} names
 */
function pick(options, names) {
  /** Null prototype, so that a polluted Object.prototype adds no settings. @type {Record<string, any>} */
  const settings = Object.create(null);
  for (const name of names) if (options[name] !== undefined) settings[name] = options[name];
  return settings;
}

module.exports.ENGINE = ENGINE;
module.exports.PROGRAM = PROGRAM;
module.exports.begin = begin;
module.exports.drop = drop;
module.exports.leastOf = leastOf;
module.exports.numberWorker = numberWorker;
module.exports.pick = pick;
module.exports.settingsOf = settingsOf;
module.exports.startThread = startThread;
module.exports.startThreads = startThreads;
module.exports.takeFrom = (/** @type {typeof takeWarm} */ take) => {
  takeWarm = take;
};
