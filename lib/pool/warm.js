'use strict';

/**
 * `Pool.warm`: threads for pool workers, started before there is a pool, with our code and the task file loaded. A
 * thread is only missing the pool it belongs to.
 */

const { isDeepStrictEqual } = require('node:util');
const workerThreads = require('node:worker_threads');
const { requireAddon } = require('../core/addon');
const { Stock, checkCount } = require('../threads/stock');
const { announce, bootUnnoticed } = require('../threads/unnoticed');
const { load } = require('../core/own-code');
const { invalid } = require('./errors');
const { optionsOf, resolve } = require('./options');
const { ENGINE, PROGRAM, numberWorker, settingsOf, takeFrom } = require('./start');
const { codeOfWorkers, shareSoon } = require('./worker-code');

/**
 * Settings compared by identity: threads have copies of these, so equal content does not imply the same value
 * later.
 */
const BY_IDENTITY = new Set(['workerData', 'transferList']);

/**
 * @typedef {object} Spare
 * @property {any} worker
 * @property {number} workerId
 * @property {import('node:worker_threads').MessagePort} port port through which it receives its initial data
 * @property {any[]} messages messages that user code in it has sent meanwhile
 * @property {(message: any) => void} onMessage
 * @property {Record<string, string | undefined>} env environment of this process when it was started
 * @property {Map<any, any>} environmentData live environment data of this thread
 * @property {[any, any][]} environmentDataThen
 */

/**
 * @typedef {object} Kind
 * @property {string | null} filename
 * @property {string} name
 * @property {Record<string, any>} settings
 * @property {Stock<Spare>} stock
 */

/** @type {Kind[]} */
const kinds = [];
/** What the pool of a rehearsal takes. @type {import('./start').Started | null} */
let lent = null;

/**
 * @param {number} count
 * @param {any} [given] pool options
 * @returns {Promise<void>} resolves when they are ready; for 0, when they have exited
 */
async function warm(count, given) {
  checkCount(count, warm);
  if (count === 0 && given === undefined) {
    await Promise.all(kinds.splice(0).map(({ stock }) => stock.letGo()));
    return;
  }
  const options = resolve(optionsOf(given, {}) ?? {});
  if (options.runtime !== 'threads') throw invalid(`options.runtime must be 'threads'`);
  if (options.onCreateWorker !== undefined) {
    throw invalid('options.onCreateWorker is for pools that start their workers themselves');
  }
  const known = findKind(options);
  if (count === 0) {
    if (known === undefined) return;
    kinds.splice(kinds.indexOf(known), 1);
    return known.stock.letGo();
  }
  const addon = requireAddon('Pool.warm');
  shareSoon(addon);
  takeFrom(take);
  const kind = known ?? makeKind(options);
  const kept = kind.stock.keep(count);
  // While they boot. Pools need these modules as well.
  load(ENGINE);
  await kept;
}

/** @param {Record<string, any>} options */
function makeKind(options) {
  const { filename, name } = options;
  /** @type {Kind} */
  const kind = { filename, name, settings: copied(settingsOf(options)), stock: new Stock(() => boot(kind)) };
  kinds.push(kind);
  return kind;
}

/** @param {Record<string, any>} options */
function findKind(options) {
  const settings = settingsOf(options);
  return kinds.find(
    (kind) =>
      kind.filename === options.filename && kind.name === options.name && areSame(kind.settings, settings),
  );
}

/** Copies settings, since the program may modify its objects. @param {Record<string, any>} settings */
function copied(settings) {
  const copies = Object.entries(settings).map(([name, value]) => {
    if (BY_IDENTITY.has(name) || typeof value !== 'object' || value === null) return [name, value];
    return [name, Array.isArray(value) ? [...value] : { ...value }];
  });
  return Object.fromEntries(copies);
}

/**
 * @param {Record<string, any>} some
 * @param {Record<string, any>} others
 */
function areSame(some, others) {
  const names = Object.keys({ ...some, ...others });
  return names.every((name) => {
    const [one, other] = [some[name], others[name]];
    return Object.is(one, other) || (!BY_IDENTITY.has(name) && isDeepStrictEqual(one, other));
  });
}

/**
 * @param {Kind} kind
 * @returns {Spare}
 */
function boot({ filename, name, settings, stock }) {
  const env = { ...process.env };
  const { worker, environmentData } = bootUnnoticed(() => new workerThreads.Worker(PROGRAM, settings));
  const { port1, port2 } = new workerThreads.MessageChannel();
  const workerId = numberWorker();
  const ahead = { workerId, filename, name, code: codeOfWorkers(), port: port2 };
  worker.postMessage({ ahead }, [port2]);
  /** @type {any[]} */
  const messages = [];
  /** @type {Spare} */
  const spare = {
    worker,
    workerId,
    port: port1,
    messages,
    onMessage: (message) => messages.push(message),
    env,
    environmentData,
    environmentDataThen: [...environmentData],
  };
  worker.on('message', spare.onMessage);
  port1.once('message', () => {
    const tell = (/** @type {any} */ message, /** @type {any[]} */ list) => port1.postMessage(message, list);
    const lend = (/** @type {import('./start').Started} */ started) => {
      lent = started;
      // Called before a thread is taken, so that it is compiled as well.
      isUpToDate(spare, settings);
      areSame(settings, settings);
    };
    void require('./rehearsal')
      .rehearse(worker, tell, lend)
      .then(() => stock.ready(spare));
  });
  port1.unref();
  return spare;
}

/**
 * Takes a thread for a worker of a pool, if there is one that was started with the same settings.
 * @param {Record<string, any>} options of the pool
 * @returns {import('./start').Started | null}
 */
function take(options) {
  const kind = findKind(options);
  if (lent !== null) {
    const started = lent;
    lent = null;
    return started;
  }
  if (kind === undefined) return null;
  const { settings, stock } = kind;
  for (let spare = stock.first; spare !== undefined; spare = stock.first) {
    stock.take(spare);
    if (isUpToDate(spare, settings)) return become(spare, settings);
    void spare.worker.terminate();
  }
  return null;
}

/**
 * Whether a thread started now would have the same environment.
 * @param {Spare} spare
 * @param {Record<string, any>} settings
 */
function isUpToDate({ env, environmentData, environmentDataThen }, settings) {
  const isAsThen = environmentDataThen.every(
    ([key, value]) => environmentData.has(key) && Object.is(environmentData.get(key), value),
  );
  if (!isAsThen || environmentData.size !== environmentDataThen.length) return false;
  return settings.env !== undefined || areVariables(env);
}

/** Whether this equals the environment of this process. @param {Record<string, string | undefined>} env */
function areVariables(env) {
  const names = Object.keys(process.env);
  return names.length === Object.keys(env).length && names.every((name) => process.env[name] === env[name]);
}

/**
 * @param {Spare} spare
 * @param {Record<string, any>} settings
 */
function become({ worker, workerId, port, messages, onMessage }, settings) {
  announce(worker);
  process.nextTick(() => {
    worker.removeListener('message', onMessage);
    for (const message of messages) worker.emit('message', message);
  });
  const post = (/** @type {any} */ message, /** @type {any[]} */ transferList) => {
    port.postMessage(message, transferList);
    port.close();
  };
  return { workerId, settings, worker, post };
}

module.exports.warm = warm;
