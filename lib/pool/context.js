'use strict';

/** API for code in a worker of a pool: information about the worker and the task, and messages to the caller. */

const { AsyncLocalStorage } = require('node:async_hooks');

/**
 * @typedef {object} Runner
 * @property {(slot: number) => boolean} isAborted
 * @property {(slot: number, payload: any) => void} emit
 */

const NOBODY = -1;

const context = {
  isWorkerThread: false,
  /** @type {any} */
  workerData: undefined,
  /** 1 or more; 0 outside of workers. */
  workerId: 0,
};

/** @type {Runner | null} */
let runner = null;
/** Slot of the running task, in workers that run one task at a time. */
let current = NOBODY;
/** Slot of the calling task, in workers that run several at once. @type {AsyncLocalStorage<number> | null} */
let storage = null;
/** By slot, created on demand. @type {Map<number, AbortController>} */
const controllers = new Map();
/** Functions registered with `worker()`, by name. @type {Map<string, Function>} */
const methods = new Map();
/** @type {((code?: number) => any)[]} */
const terminators = [];
/** `this` of functions that a worker registers or receives as source. */
const receiver = { worker: { emit: workerEmit, addAbortListener } };

/**
 * @param {Runner} theRunner
 * @param {boolean} hasCompany whether tasks overlap
 */
function enterWorker(theRunner, hasCompany) {
  runner = theRunner;
  if (hasCompany) storage = new AsyncLocalStorage();
}

/**
 * Calls a handler for a task.
 * @param {number} slot
 * @param {(value: any) => any} call
 * @param {any} value
 */
function runTask(slot, call, value) {
  if (storage !== null) return storage.run(slot, call, value);
  current = slot;
  return call(value);
}

/** @param {number} slot slot of a task that has ended */
function leaveTask(slot) {
  if (current === slot) current = NOBODY;
  if (controllers.size !== 0) controllers.delete(slot);
}

function currentTask() {
  return storage === null ? current : (storage.getStore() ?? NOBODY);
}

/**
 * Returns the signal of the task to which the calling code belongs. It is aborted when the caller's signal is, or
 * when the task times out. Its `aborted` property is up to date even in code that never yields to the event loop.
 * @returns {AbortSignal}
 */
function taskSignal() {
  const slot = currentTask();
  if (runner === null || slot === NOBODY) {
    throw require('../core/errors').makeError('ERR_MANYCORE_NOT_IN_TASK', ['taskSignal'], taskSignal);
  }
  let controller = controllers.get(slot);
  if (controller === undefined) {
    controller = makeController(slot, runner);
    controllers.set(slot, controller);
  }
  return controller.signal;
}

/**
 * @param {number} slot
 * @param {Runner} theRunner
 */
function makeController(slot, theRunner) {
  const controller = new AbortController();
  const { signal } = controller;
  const look = () => {
    const known = Reflect.get(AbortSignal.prototype, 'aborted', signal);
    if (!known && controllers.get(slot) === controller && theRunner.isAborted(slot)) controller.abort();
    return Reflect.get(AbortSignal.prototype, 'aborted', signal);
  };
  Object.defineProperty(signal, 'aborted', { configurable: true, get: look });
  Object.defineProperty(signal, 'throwIfAborted', {
    configurable: true,
    writable: true,
    value() {
      if (look()) throw signal.reason;
    },
  });
  return controller;
}

/** @param {number} slot slot of a task to be aborted */
function abortTask(slot) {
  controllers.get(slot)?.abort();
}

/**
 * Adds a listener that is called when the current task is to stop, so that it can clean up and end.
 * @param {() => any} listener if it throws, the task is ended together with its worker
 */
function addAbortListener(listener) {
  if (typeof listener !== 'function') {
    throw require('../core/errors').makeError(
      'ERR_INVALID_ARG_TYPE',
      ['listener', 'of type function', listener],
      addAbortListener,
    );
  }
  const call = async () => listener();
  taskSignal().addEventListener('abort', () => void call().catch(() => {}), { once: true });
}

/**
 * Sends a progress message to the caller of the current task, which goes on running: to `onProgress`, or to `on` of
 * `exec()`.
 * @param {any} payload
 */
function workerEmit(payload) {
  const slot = currentTask();
  if (runner === null || slot === NOBODY) {
    throw require('../core/errors').makeError('ERR_MANYCORE_NOT_IN_TASK', ['workerEmit'], workerEmit);
  }
  if (payload instanceof Promise) return payload.then((value) => workerEmitFor(slot, value));
  workerEmitFor(slot, payload);
}

/**
 * @param {number} slot
 * @param {any} payload
 */
function workerEmitFor(slot, payload) {
  runner?.emit(slot, payload);
}

/**
 * Registers functions by name for `exec()` and `proxy()`.
 * @param {Record<string, Function>} [functions]
 * @param {{ onTerminate?: (code?: number) => any }} [options]
 */
function worker(functions = {}, options = {}) {
  for (const name of Object.keys(functions)) {
    if (typeof functions[name] === 'function') methods.set(name, functions[name]);
  }
  if (options.onTerminate !== undefined) terminators.push(options.onTerminate);
}

module.exports.context = context;
module.exports.methods = methods;
module.exports.receiver = receiver;
module.exports.terminators = terminators;
module.exports.enterWorker = enterWorker;
module.exports.runTask = runTask;
module.exports.leaveTask = leaveTask;
module.exports.abortTask = abortTask;
module.exports.taskSignal = taskSignal;
module.exports.worker = worker;
module.exports.workerEmit = workerEmit;
