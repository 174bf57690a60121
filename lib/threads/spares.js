'use strict';

/**
 * Spares are workers that have booted and wait for a job. The program asks for them; a spare that has run a
 * program's code is an ordinary worker and never becomes a spare again.
 *
 * A spare's thread blocks inside Node's own start-up, right before the main script is looked up (`spare.js`), so
 * that everything after that is Node's own. The job is posted on the worker's port, with the program's transfer
 * list, and the thread is woken.
 */

const { AsyncLocalStorage } = require('node:async_hooks');
const path = require('node:path');
const { fileURLToPath } = require('node:url');
const vm = require('node:vm');
const { makeError } = require('../core/errors');
const launch = require('./launch');
const { kOnMessage, publicPortOf } = require('./node-internals');
const { MessagePort, SHARE_ENV } = require('./preload').nodes;
const { Stock, checkCount } = require('./stock');
const { bootUnnoticed, announce } = require('./unnoticed');

const SPARE = path.join(__dirname, 'spare.js');

/** Options that a booted spare can still be given; all others must equal those it was booted with. */
const GIVEN_LATER = new Set(['warm', 'argv', 'eval', 'workerData', 'transferList', 'env']);
/** @type {Record<string, (value: any) => any>} */
const FIXED_AT_BOOT = {
  execArgv: (value) => value || null,
  name: (value) => (value ? String(value).trim() : ''),
  resourceLimits: (value) => (value ? Object.entries(value).sort() : []),
  stdin: Boolean,
  stdout: Boolean,
  stderr: Boolean,
  trackUnmanagedFds: (value) => Boolean(value ?? true),
};
/** Variables that Node reads while it boots. */
const LOOKED_AT_BY_NODE = /^(NODE_(?!ENV$|TEST_|UNIQUE_ID$)|WATCH_REPORT_DEPENDENCIES$)/;

const mayImportInEval = /** @type {any} */ (vm).constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER !== undefined;

/**
 * @typedef {object} Spare
 * @property {any} worker
 * @property {Int32Array} wakeUp
 * @property {Record<string, string>} env environment it was booted with
 * @property {Map<any, any>} environmentData live environment data of this thread
 * @property {any[]} environmentKeys keys it was booted with
 * @property {any} online the message announcing that it is online, held back until it is taken
 */

/**
 * @typedef {Stock<Spare>} Kind spares that were booted with the same options
 */

/** @type {Map<string, Kind>} */
const kinds = new Map();

/** Wake-up word of the worker being created; only set while a spare boots. @type {Int32Array | undefined} */
let wakeUpOfBooting;

/** Not set if all starts are cold. @type {(new (filename: string, options?: any) => any) | undefined} */
let WorkerClass;

/**
 * Returns the key shared by spares for these options; undefined for options that do not allow spares.
 * @param {any} options
 */
function keyOf(options) {
  if (options !== undefined && (typeof options !== 'object' || options === null)) return undefined;
  for (const name in options) {
    if (!GIVEN_LATER.has(name) && !Object.hasOwn(FIXED_AT_BOOT, name)) return undefined;
  }
  const { env } = options ?? {};
  if (env !== SHARE_ENV && env !== undefined && typeof env !== 'object') return undefined;
  const fixed = Object.entries(FIXED_AT_BOOT).map(([name, normal]) => normal(options?.[name]));
  return JSON.stringify([env === SHARE_ENV, launch.state.installed, launch.state.commandLine, ...fixed]);
}

/**
 * `Worker.warm`: keeps `count` spares for workers made with `{ warm: true }` and these options.
 * @param {number} count
 * @param {any} [options]
 * @returns {Promise<void>} resolves when they have booted; for 0, when they have exited
 */
async function warm(count, options) {
  checkCount(count, warm);
  if (count === 0 && options === undefined) {
    await Promise.all([...kinds.values()].map((kind) => kind.letGo()));
    return;
  }
  const key = keyOf(options);
  if (key === undefined) {
    throw makeError('ERR_INVALID_ARG_VALUE', ['options', options, 'are not those of a worker'], warm);
  }
  if (WorkerClass === undefined) return;
  let kind = kinds.get(key);
  if (count === 0) return kind?.letGo();
  if (kind === undefined) {
    const kept = { ...options };
    for (const name of GIVEN_LATER) delete kept[name];
    if (options?.env === SHARE_ENV) kept.env = SHARE_ENV;
    /** @type {Kind} */
    const made = new Stock(() => boot(made, kept));
    kind = made;
    kinds.set(key, kind);
  }
  await kind.keep(count);
}

/**
 * @param {Kind} kind
 * @param {any} options
 * @returns {Spare}
 */
function boot(kind, options) {
  const wakeUp = new Int32Array(new SharedArrayBuffer(4));
  wakeUpOfBooting = wakeUp;
  let booted;
  try {
    booted = bootUnnoticed(() => new /** @type {any} */ (WorkerClass)(SPARE, options));
  } finally {
    wakeUpOfBooting = undefined;
  }
  const { worker, environmentData } = booted;
  /** @type {Spare} */
  const spare = {
    worker,
    wakeUp,
    env: { .../** @type {Record<string, string>} */ (process.env) },
    environmentData,
    environmentKeys: [...environmentData.keys()],
    online: undefined,
  };
  const receive = worker[kOnMessage];
  own(worker, kOnMessage, (/** @type {any} */ message) => {
    if (message.type !== 'upAndRunning') return receive.call(worker, message);
    spare.online = message;
    kind.ready(spare);
  });
  return spare;
}

/**
 * Returns a worker that has taken over a spare, if the program wants one and there is one.
 * @param {any} filename
 * @param {any} options
 */
function take(filename, options) {
  if (options?.warm !== true) return null;
  const kind = kinds.get(keyOf(options) ?? '');
  const spare = kind?.first;
  const job = spare === undefined ? null : jobOf(filename, options, spare);
  if (kind === undefined || spare === undefined || job === null) return null;
  const port = publicPortOf(spare.worker);
  // Throws to the caller if something cannot be cloned; the spare stays available.
  MessagePort.prototype.postMessage.call(port, job, [...(options.transferList ?? [])]);
  kind.take(spare);
  become(spare);
  Atomics.store(spare.wakeUp, 0, 1);
  Atomics.notify(spare.wakeUp, 0);
  return spare.worker;
}

/**
 * @typedef {object} Job what a spare is given to run
 * @property {string} filename path of the script, or its source code
 * @property {boolean} eval
 * @property {string[]} argv
 * @property {any} workerData
 * @property {Record<string, string> | null} env null: unchanged since boot
 * @property {Map<any, any>} environmentData
 * @property {any[]} dropped keys of environment data that have been removed
 */

/**
 * Returns null if a cold start is needed: for arguments that Node rejects, or scripts that only its regular start
 * can run.
 * @param {any} filename
 * @param {any} options
 * @param {Spare} spare
 * @returns {Job | null}
 */
function jobOf(filename, options, spare) {
  const script = options.eval ? evaluable(filename) : scriptOf(filename);
  const { argv, env } = options;
  if (script === null || (argv && !Array.isArray(argv)) || inspectorIsActive()) return null;
  let given = null;
  if (env !== SHARE_ENV) {
    given = variablesOf(env ?? process.env);
    const changed = differing(given, spare.env);
    if (changed.some((name) => LOOKED_AT_BY_NODE.test(name))) return null;
    if (changed.length === 0) given = null;
  }
  const { environmentData } = spare;
  return {
    filename: script,
    eval: Boolean(options.eval),
    argv: argv ? argv.map(String) : [],
    workerData: options.workerData,
    env: given,
    environmentData,
    dropped: spare.environmentKeys.filter((key) => !environmentData.has(key)),
  };
}

/** @param {any} filename */
function scriptOf(filename) {
  if (filename instanceof URL) return filename.protocol === 'file:' ? fileURLToPath(filename) : null;
  if (typeof filename !== 'string') return null;
  return path.isAbsolute(filename) || /^\.\.?[\\/]/.test(filename) ? path.resolve(filename) : null;
}

/**
 * Returns source code that is a CommonJS script. Modules, TypeScript and syntax errors are left to Node.
 * @param {any} source
 */
function evaluable(source) {
  if (typeof source !== 'string' || !mayImportInEval) return null;
  if (launch.state.commandLine.some((word) => /^--(input-type|experimental-default-type)/.test(word))) {
    return null;
  }
  try {
    new vm.Script(source, { filename: '[worker eval]' });
    return source;
  } catch {
    return null;
  }
}

/** An inspector has been told of the spare under the script it was booted with. */
function inspectorIsActive() {
  try {
    return require('node:inspector').url() !== undefined;
  } catch {
    return false;
  }
}

/** @param {any} env */
function variablesOf(env) {
  return Object.fromEntries(Object.entries(env).map(([name, value]) => [name, `${value}`]));
}

/**
 * @param {Record<string, string>} some
 * @param {Record<string, string>} others
 */
function differing(some, others) {
  return Object.keys({ ...others, ...some }).filter((name) => some[name] !== others[name]);
}

/**
 * Turns a spare into the worker that the program has just created.
 * @param {Spare} spare
 */
function become({ worker, online }) {
  worker.ref();
  const { [kOnMessage]: onMessage } = Object.getPrototypeOf(worker);
  delete worker[kOnMessage];
  // Its events belong to the async context in which the program creates the worker, not to that of the boot.
  const inContext = AsyncLocalStorage.snapshot();
  const { emit } = worker;
  own(worker, 'emit', (/** @type {any[]} */ ...args) => inContext(() => emit.apply(worker, args)));
  process.nextTick(() => {
    onMessage.call(worker, online);
    countFromNow(worker);
  });
  announce(worker);
}

/**
 * Excludes the time as a spare from the worker's event loop utilization.
 * @param {any} worker
 */
function countFromNow(worker) {
  const { eventLoopUtilization: original } = worker.performance;
  const base = original();
  worker.performance.eventLoopUtilization = (/** @type {any} */ one, /** @type {any} */ other) => {
    if (one !== undefined && other !== undefined) return original(one, other);
    const now = original();
    if (now.idle + now.active === 0) return original();
    const idle = now.idle - base.idle - (one?.idle ?? 0);
    // Values read from another thread's loop are not one consistent snapshot, so a slightly negative difference
    // counts as zero.
    const active = Math.max(0, now.active - base.active - (one?.active ?? 0));
    return { idle, active, utilization: active === 0 ? 0 : active / (idle + active) };
  };
}

/**
 * @param {any} object
 * @param {PropertyKey} name
 * @param {Function} value
 */
function own(object, name, value) {
  Object.defineProperty(object, name, { configurable: true, writable: true, value });
}

module.exports.warm = warm;
module.exports.take = take;
module.exports.wakeUpOfBooting = () => wakeUpOfBooting;
module.exports.useClass = (/** @type {typeof WorkerClass} */ Class) => {
  WorkerClass = Class;
};
