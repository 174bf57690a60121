'use strict';

/** Validates arguments of pool methods and converts them for the engine. */

const { makeError } = require('../core/errors');
const { OptionNames } = require('../core/option-names');
const { wrongType } = require('./errors');
const { isFileURL } = require('./options');

/** Base of priorities with `agingFactor`: they stay above 0 and below this, so that all can be compared. */
const AGELESS = 2 ** 40;

/** Options of a task, of `map()` and `exec()`, and those that other pools have for them. */
const NAMES = new OptionNames('A task', [
  ...['filename', 'name', 'transferList', 'signal', 'timeoutMs', 'priority', 'key', 'retries', 'onProgress'],
  ...['channel', 'metadata', 'concurrency', 'ordered', 'onResult', 'on', 'transfer', 'runtime'],
  // Ours, between methods.
  ...['place', 'isForced'],
]);

/** @param {any} options */
function checkRunOptions(options) {
  if (options === undefined) return null;
  if (options === null || typeof options !== 'object') return wrongType('options must be an object');
  NAMES.checkSpelling(options);
  const { transferList, filename = null, name = null, signal = null } = options;
  if (transferList !== undefined && !Array.isArray(transferList)) {
    return wrongType('transferList argument must be an Array');
  }
  if (filename !== null && typeof filename !== 'string' && !isFileURL(filename)) {
    return wrongType('filename argument must be a string');
  }
  if (name !== null && typeof name !== 'string') return wrongType('name argument must be a string');
  if (signal !== null && typeof signal !== 'object') {
    return wrongType('signal argument must be an object');
  }
  if (signal !== null && !('addEventListener' in signal) && typeof signal.once !== 'function') {
    const of = 'an AbortSignal (the signal of an AbortController), or an emitter of abort events';
    return makeError('ERR_INVALID_ARG_TYPE', ['options.signal', of, signal], checkRunOptions);
  }
  return checkOwnOptions(options);
}

/**
 * Options that piscina does not have.
 * @param {any} options
 */
function checkOwnOptions({ timeoutMs, priority, retries, key = null, onProgress = null, channel = null }) {
  if (timeoutMs !== undefined && !(timeoutMs >= 0 && typeof timeoutMs === 'number')) {
    return notANumber('timeoutMs', 'a number >= 0', timeoutMs);
  }
  if (priority !== undefined && !(priority <= Infinity && typeof priority === 'number')) {
    return notANumber('priority', 'a number', priority);
  }
  if (retries !== undefined && !(retries >= 0 && Number.isInteger(retries))) {
    return notANumber('retries', 'an integer >= 0', retries);
  }
  if (key !== null && typeof key !== 'string' && typeof key !== 'number') {
    return makeError('ERR_INVALID_ARG_TYPE', ['options.key', 'a string or a number', key], checkRunOptions);
  }
  if (onProgress !== null && typeof onProgress !== 'function') {
    const details = ['options.onProgress', 'a function', onProgress];
    return makeError('ERR_INVALID_ARG_TYPE', details, checkRunOptions);
  }
  return channel === null ? null : checkChannel(channel);
}

/** @param {any} channel */
function checkChannel(channel) {
  if (typeof channel !== 'object' && typeof channel !== 'function') {
    return makeError('ERR_INVALID_ARG_TYPE', ['options.channel', 'an object', channel], checkRunOptions);
  }
  for (const name of ['onMessage', 'postMessage', 'onClose']) {
    const method = channel[name];
    if (method === undefined || typeof method === 'function') continue;
    const details = [`options.channel.${name}`, 'a function', method];
    return makeError('ERR_INVALID_ARG_TYPE', details, checkRunOptions);
  }
  return null;
}

/**
 * @param {string} name
 * @param {string} range
 * @param {unknown} value
 */
function notANumber(name, range, value) {
  const code = typeof value === 'number' ? 'ERR_OUT_OF_RANGE' : 'ERR_INVALID_ARG_TYPE';
  return makeError(code, [`options.${name}`, range, value], checkRunOptions);
}

/** @param {unknown} concurrency */
function checkConcurrency(concurrency) {
  if (!Number.isInteger(concurrency) || Number(concurrency) < 1) {
    throw makeError('ERR_OUT_OF_RANGE', ['concurrency', 'an integer >= 1', concurrency], checkConcurrency);
  }
}

/**
 * Returns the settings of a task for the engine.
 * @param {any} task
 * @param {any} options options of the call
 * @param {Record<string, any>} ofPool options of the pool
 * @param {import('./engine').Engine} engine
 * @param {number} nowMs time since the pool was created
 */
function settingsOf(task, options, ofPool, engine, nowMs) {
  const key = options.key ?? ofPool.computeWorkerKey?.(options.name ?? ofPool.name, task) ?? null;
  const timeoutMs = options.timeoutMs ?? ofPool.taskTimeoutMs;
  return {
    transferList: options.transferList,
    signal: options.signal ?? options.isCancellable,
    timeoutMs: timeoutMs === Infinity ? 0 : timeoutMs,
    priority: priorityOf(options.priority ?? 0, ofPool.agingFactor, nowMs),
    retries: options.retries ?? ofPool.maxRetries,
    onEvent: options.onProgress ?? null,
    channel: options.channel ?? null,
    place:
      options.place ??
      (key === null ? undefined : require('./affinity').chooseByKey(key, engine.crew.staying())),
    isForced: options.isForced,
  };
}

/**
 * Ages priorities without updating queued tasks: instead of raising a waiting task, each new task gets a priority
 * that is lower by the time elapsed.
 * @param {number} priority
 * @param {number} agingFactor
 * @param {number} nowMs
 */
function priorityOf(priority, agingFactor, nowMs) {
  return agingFactor === 0 ? priority : AGELESS + priority - agingFactor * nowMs;
}

/**
 * Whether a task needs a worker to itself, because ending the task may end the worker.
 * @param {{ signal?: any, timeoutMs?: number } | null | undefined} settings
 */
function wantsNoCompany(settings) {
  return Boolean(settings?.signal) || (settings?.timeoutMs ?? 0) > 0;
}

/** Start of an expression; anything else is a method in shorthand notation. */
const EXPRESSION = /^(?:async\s*(?=\()|async\s+)?(?:function\b|class\b|\(|[$\p{ID_Continue}]+\s*=>)/u;

/** @param {Function} method */
function sourceOf(method) {
  const source = Function.prototype.toString.call(method);
  // `async(` may start an arrow function, or a method of that name.
  const isMethod = !EXPRESSION.test(source) || (method.name === 'async' && /^async\s*\(/.test(source));
  return isMethod ? `{${source}}.${method.name}` : source;
}

module.exports.checkRunOptions = checkRunOptions;
module.exports.checkConcurrency = checkConcurrency;
module.exports.settingsOf = settingsOf;
module.exports.wantsNoCompany = wantsNoCompany;
module.exports.sourceOf = sourceOf;
