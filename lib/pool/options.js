'use strict';

/** Options of a pool: validated, with the names of other pools translated and defaults filled in. */

const { isBuiltin } = require('node:module');
const { availableParallelism } = require('node:os');
const { fileURLToPath } = require('node:url');
const { SHARE_ENV } = require('node:worker_threads');

const parallelism = availableParallelism();

const DEFAULTS = {
  filename: null,
  name: 'default',
  minThreads: Math.max(Math.floor(parallelism / 2), 1),
  maxThreads: parallelism * 1.5,
  idleTimeout: 0,
  maxQueue: Infinity,
  concurrentTasksPerWorker: 1,
  atomics: 'sync',
  niceIncrement: 0,
  trackUnmanagedFds: true,
  closeTimeout: 30_000,
  recordTiming: true,
  stricterFIFO: false,
  workerHistogram: false,
  runtime: 'threads',
  abortGraceMs: 100,
  taskTimeoutMs: 0,
  maxRetries: 0,
  maxTasksPerWorker: 0,
  maxWorkerAgeMs: 0,
  maxMemoryLimitBeforeRecycle: 0,
  warmSpares: 0,
  teardown: null,
  terminateTimeout: 1000,
  emitStdStreams: false,
  stdio: 'inherit',
  batch: 16,
  taskStealing: true,
  agingFactor: 0,
  restartWorkerOnError: true,
  setupArgs: null,
};

/** What the native queue can count to. */
const MOST_CONCURRENT = 2 ** 31 - 1;
const STDIO = ['inherit', 'pipe', 'ignore'];

/**
 * Validators by option; the messages are those of piscina.
 * @type {[string, (value: any) => boolean, string | (() => string)][]}
 */
const TESTS = [
  ['filename', (v) => typeof v === 'string' || v === null, 'must be a string or null'],
  ['name', (v) => typeof v === 'string' || v === null, 'must be a string or null'],
  ['minThreads', (v) => typeof v === 'number' && v >= 0, 'must be a non-negative integer'],
  ['maxThreads', (v) => typeof v === 'number' && v >= 1, 'must be a positive integer'],
  ['idleTimeout', (v) => typeof v === 'number' && v >= 0, 'must be a non-negative integer'],
  ['maxQueue', (v) => v === 'auto' || (typeof v === 'number' && v >= 0), 'must be a non-negative integer'],
  ['concurrentTasksPerWorker', (v) => typeof v === 'number' && v >= 1, 'must be a positive integer'],
  [
    'atomics',
    (v) => v === null || ['sync', 'async', 'disabled'].includes(v),
    'should be a value of sync, sync or disabled.',
  ],
  ['resourceLimits', (v) => typeof v === 'object' && v !== null, 'must be an object'],
  ['taskQueue', isTaskQueue, 'must be a TaskQueue object'],
  ['niceIncrement', (v) => typeof v === 'number' && v >= 0, 'must be a non-negative integer on Unix systems'],
  ['trackUnmanagedFds', (v) => typeof v === 'boolean', 'must be a boolean value'],
  ['closeTimeout', (v) => typeof v === 'number' && v >= 0, 'must be a non-negative integer'],
  [
    'loadBalancer',
    (v) => typeof v === 'function' && v.length >= 1,
    'must be a function with at least two args',
  ],
  ['workerHistogram', (v) => typeof v === 'boolean', 'must be a boolean'],
  ['stricterFIFO', (v) => typeof v === 'boolean', 'must be a boolean'],
  ['recordTiming', (v) => typeof v === 'boolean', 'must be a boolean'],
  ['runtime', (v) => Object.hasOwn(RUNTIMES, v), `must be 'threads' or 'processes'`],
  ['cwd', (v) => typeof v === 'string' || v instanceof URL, 'must be a string or a URL'],
  ['forkOpts', (v) => typeof v === 'object' && v !== null, 'must be an object'],
  ...[
    'abortGraceMs',
    'taskTimeoutMs',
    'maxWorkerAgeMs',
    'maxMemoryLimitBeforeRecycle',
    'terminateTimeout',
  ].map(
    (name) =>
      /** @type {[string, (value: any) => boolean, string]} */ ([
        name,
        (v) => typeof v === 'number' && v >= 0,
        'must be a non-negative number',
      ]),
  ),
  ...['maxRetries', 'maxTasksPerWorker', 'warmSpares'].map(
    (name) =>
      /** @type {[string, (value: any) => boolean, string]} */ ([
        name,
        (v) => Number.isInteger(v) && v >= 0,
        'must be a non-negative integer',
      ]),
  ),
  ['isolateWorkers', (v) => typeof v === 'boolean', 'must be a boolean'],
  ['teardown', (v) => typeof v === 'string' || v === null, 'must be a string or null'],
  ['emitStdStreams', (v) => typeof v === 'boolean', 'must be a boolean'],
  ['computeWorkerKey', (v) => typeof v === 'function', 'must be a function'],
  [
    'queueStrategy',
    (v) => v === 'fifo' || v === 'lifo' || isTaskQueue(v),
    "must be 'fifo', 'lifo' or a TaskQueue object",
  ],
  ['onCreateWorker', (v) => typeof v === 'function', 'must be a function'],
  ['onTerminateWorker', (v) => typeof v === 'function', 'must be a function'],
  ['stdio', (v) => STDIO.includes(v) || Array.isArray(v), `must be one of ${STDIO.join(', ')}`],
  ['batch', (v) => Number.isInteger(v) && v >= 1 && v <= 1024, 'must be an integer from 1 to 1024'],
  ['taskStealing', (v) => typeof v === 'boolean', 'must be a boolean'],
  ['agingFactor', (v) => typeof v === 'number' && v >= 0 && v <= 1, 'must be a number from 0 to 1'],
  ['restartWorkerOnError', (v) => typeof v === 'boolean', 'must be a boolean'],
  ['setupArgs', (v) => Array.isArray(v) || v === null, 'must be an array'],
  [
    'workerChoiceStrategy',
    (v) => strategies().includes(v),
    () => `must be one of ${strategies().join(', ')}`,
  ],
  ['workerThreadOpts', (v) => typeof v === 'object' && v !== null, 'must be an object'],
];

/** All options, including those of other pools, and those that only other pools have or once had. */
const NAMES = new Set([
  ...Object.keys(DEFAULTS),
  ...TESTS.map(([name]) => name),
  ...['argv', 'env', 'execArgv', 'workerData', 'minWorkers', 'maxWorkers', 'maxQueueSize', 'forkArgs'],
  ...[
    'workerTerminateTimeout',
    'abortListenerTimeout',
    'workerType',
    'serialization',
    'workerOpts',
    'useAtomics',
  ],
]);

/**
 * Warns of misspelt options. What finds them is loaded only if one is unknown: a pool's threads wait for this.
 * @param {Record<string, any>} given
 */
function checkSpelling(given) {
  for (const name in given) {
    if (NAMES.has(name)) continue;
    const { OptionNames } = require('../core/option-names');
    return new OptionNames('Pool', NAMES).checkSpelling(given);
  }
}

/** Loaded on demand, for the same reason. @param {string} message */
function invalid(message) {
  return require('./errors').invalid(message);
}

/** Runtimes by the names used here and in other pools. @type {Record<string, string>} */
const RUNTIMES = {
  threads: 'threads',
  worker_threads: 'threads',
  processes: 'processes',
  child_process: 'processes',
};

/** workerpool's `workerType`. @type {Record<string, string>} */
const WORKER_TYPES = { auto: 'threads', thread: 'threads', process: 'processes' };

/**
 * Translates workerpool's option names.
 * @param {Record<string, any>} given
 */
function translate(given) {
  const options = Object.assign(Object.create(null), given);
  const rename = (
    /** @type {string} */ from,
    /** @type {string} */ to,
    /** @type {any} */ value = options[from],
  ) => {
    if (options[from] !== undefined && options[to] === undefined) options[to] = value;
  };
  rename('maxWorkers', 'maxThreads');
  const atMost = options.maxThreads ?? Math.max(parallelism - 1, 1);
  rename('minWorkers', 'minThreads', options.minWorkers === 'max' ? atMost : options.minWorkers);
  rename('maxQueueSize', 'maxQueue');
  rename('workerTerminateTimeout', 'terminateTimeout');
  rename('abortListenerTimeout', 'abortGraceMs');
  rename('workerType', 'runtime', WORKER_TYPES[options.workerType] ?? options.workerType);
  rename('forkArgs', 'argv');
  const { queueStrategy } = options;
  if (queueStrategy === 'lifo') {
    rename('queueStrategy', 'taskQueue', new (require('./task-queues').LifoTaskQueue)());
  } else if (typeof queueStrategy === 'object') rename('queueStrategy', 'taskQueue');
  if (options.isolateWorkers === true) options.maxTasksPerWorker = 1;
  if (isFileURL(options.filename)) options.filename = toPath(options.filename);
  return options;
}

/**
 * Returns the options of a constructor call with options, or with a file and optional options.
 * @param {any} options
 * @param {any} further
 */
function optionsOf(options, further) {
  return typeof options === 'string' || isFileURL(options) ? { ...further, filename: options } : options;
}

/**
 * @param {Record<string, any>} given
 * @throws TypeError, RangeError
 */
function resolve(given) {
  checkSpelling(given);
  const options = translate(given);
  for (const [name, test, message] of TESTS) {
    const value = options[name];
    if (value === undefined) continue;
    if (test(value)) continue;
    throw invalid(`options.${name} ${typeof message === 'string' ? message : message()}`);
  }
  const { minThreads, maxThreads } = options;
  if (minThreads !== undefined && maxThreads !== undefined && minThreads > maxThreads) {
    const conflict = new RangeError('options.minThreads and options.maxThreads must not conflict');
    throw Object.assign(conflict, { code: 'ERR_OUT_OF_RANGE' });
  }
  const runtime = RUNTIMES[options.runtime ?? DEFAULTS.runtime];
  checkRuntime(runtime, options);
  // Made as other objects are: one that begins without a prototype is a dictionary, slow to read for each task.
  const filled = /** @type {Record<string, any>} */ (
    Object.setPrototypeOf({ ...DEFAULTS, ...options }, null)
  );
  if (options.taskQueue === undefined) makeQueueWhenAsked(filled);
  filled.filename = toPath(options.filename ?? null);
  filled.name ??= 'default';
  if (maxThreads !== undefined && filled.minThreads >= maxThreads) filled.minThreads = maxThreads;
  if (minThreads !== undefined && filled.maxThreads <= minThreads) filled.maxThreads = minThreads;
  filled.maxQueue = options.maxQueue === 'auto' ? filled.maxThreads ** 2 : (options.maxQueue ?? Infinity);
  filled.runtime = runtime;
  // A number to calculate with, which Infinity is not.
  filled.concurrentTasksPerWorker = Math.min(filled.concurrentTasksPerWorker, MOST_CONCURRENT);
  return filled;
}

/** Loaded only for pools that use a strategy. */
function strategies() {
  return require('./strategies').STRATEGIES;
}

/** Creates the JavaScript queue on demand, as most pools need none. @param {Record<string, any>} options */
function makeQueueWhenAsked(options) {
  const descriptor = { configurable: true, enumerable: true };
  Object.defineProperty(options, 'taskQueue', {
    ...descriptor,
    get() {
      const value = new (require('./task-queues').ArrayTaskQueue)();
      Object.defineProperty(options, 'taskQueue', { ...descriptor, writable: true, value });
      return value;
    },
  });
}

/** @param {any} value */
function isTaskQueue(value) {
  return (
    typeof value === 'object' &&
    value !== null &&
    'size' in value &&
    typeof value.shift === 'function' &&
    typeof value.remove === 'function' &&
    typeof value.push === 'function'
  );
}

/**
 * Rejects options that the kind of worker does not support.
 * @param {string} runtime
 * @param {Record<string, any>} options
 */
function checkRuntime(runtime, options) {
  if (runtime === 'processes') {
    if (options.env === SHARE_ENV) throw invalid('options.env cannot be shared with processes');
    if (options.forkOpts?.execPath === undefined) checkExecutable();
    return;
  }
  if (options.cwd !== undefined) throw invalid(`options.cwd is only for runtime 'processes'`);
  if (Array.isArray(options.stdio)) throw invalid(`options.stdio must be one of ${STDIO.join(', ')}`);
}

/**
 * Rejects processes in a single executable application: it runs its own program, whatever it is given, so each worker
 * would be the whole program again, with workers of its own.
 */
function checkExecutable() {
  if (!isBuiltin('node:sea') || !require('node:sea').isSea()) return;
  const { makeError } = require('../core/errors');
  const why = 'a single executable application starts itself instead of a worker; set forkOpts.execPath';
  throw makeError(
    'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM',
    [`Pool({ runtime: 'processes' })`, why],
    checkExecutable,
  );
}

/**
 * Returns the kind of workers by our name for it.
 * @param {any} runtime
 * @param {Record<string, any>} options resolved options of the pool
 * @throws TypeError
 */
function resolveRuntime(runtime, options) {
  if (!Object.hasOwn(RUNTIMES, runtime)) {
    throw invalid(`options.runtime must be 'threads' or 'processes'`);
  }
  const known = RUNTIMES[runtime];
  checkRuntime(known, options);
  return known;
}

/**
 * Whether the program decides which task is next, or which worker takes it.
 * @param {Record<string, any>} options
 * @param {any} given
 */
function hasOwnScheduling(options, given) {
  return (
    options.loadBalancer !== undefined ||
    options.workerChoiceStrategy !== undefined ||
    (given.taskQueue ?? null) !== null ||
    given.queueStrategy === 'lifo' ||
    (typeof given.queueStrategy === 'object' && given.queueStrategy !== null)
  );
}

/** @param {any} value may come from another realm */
function isFileURL(value) {
  return (
    typeof value === 'object' &&
    value !== null &&
    value.protocol === 'file:' &&
    typeof value.href === 'string'
  );
}

/**
 * @template {string | URL | null} T
 * @param {T} filename
 * @returns {T extends null ? string | null : string}
 */
function toPath(filename) {
  const text = /** @type {any} */ (isFileURL(filename) ? /** @type {any} */ (filename).href : filename);
  return text !== null && text.startsWith('file:') ? fileURLToPath(text) : text;
}

module.exports.NAMES = NAMES;
module.exports.hasOwnScheduling = hasOwnScheduling;
module.exports.isFileURL = isFileURL;
module.exports.optionsOf = optionsOf;
module.exports.resolve = resolve;
module.exports.resolveRuntime = resolveRuntime;
module.exports.toPath = toPath;
