'use strict';

/** Under `manycore/register`, in a worker: puts what is ours in the place of Node's, loaded when it is asked for. */

const workerThreads = /** @type {any} */ (require('node:worker_threads'));
const { nodes } = require('./preload');

/**
 * What replaces the exports of the built-in module, loaded when one is asked for.
 * @param {string[]} names
 * @param {string} threadName
 */
function installLazily(names, threadName) {
  if (!('threadName' in nodes)) Object.assign(workerThreads, { threadName, isInternalThread: false });
  for (const name of names) {
    if (workerThreads[name] !== nodes[name] || name === 'threadName' || name === 'isInternalThread') continue;
    const settle = (/** @type {any} */ value) =>
      Object.defineProperty(workerThreads, name, {
        configurable: true,
        enumerable: true,
        writable: true,
        value,
      });
    Object.defineProperty(workerThreads, name, {
      configurable: true,
      enumerable: true,
      get() {
        const { install, installed } = require('./install');
        install();
        settle(installed[name]);
        return installed[name];
      },
      set: settle,
    });
  }
  const global = Object.getOwnPropertyDescriptor(globalThis, 'MessageChannel');
  if (global?.configurable !== true || !names.includes('MessageChannel')) return;
  // Not only when the class is asked for: a global function that changes meanwhile would be noticed.
  hookClone();
  Object.defineProperty(globalThis, 'MessageChannel', {
    configurable: true,
    enumerable: global.enumerable,
    get: () => workerThreads.MessageChannel,
    set(value) {
      Object.defineProperty(globalThis, 'MessageChannel', {
        configurable: true,
        enumerable: global.enumerable,
        writable: true,
        value,
      });
    },
  });
}

let isCloneHooked = false;

/** Lets `structuredClone` take ports along, which may be known here. */
function hookClone() {
  if (isCloneHooked) return;
  isCloneHooked = true;
  const { structuredClone: clone } = globalThis;
  const { enumerable, configurable } = /** @type {PropertyDescriptor} */ (
    Object.getOwnPropertyDescriptor(globalThis, 'structuredClone')
  );
  /** @this {any} */
  function structuredClone(/** @type {any} */ _value, /** @type {any} */ _options) {
    if (arguments.length < 2) return Reflect.apply(clone, this, arguments);
    return require('./local-ports').cloneWatched(clone, arguments);
  }
  Object.defineProperty(structuredClone, 'length', { value: clone.length, configurable: true });
  Object.defineProperty(globalThis, 'structuredClone', {
    configurable,
    enumerable,
    writable: true,
    value: structuredClone,
  });
}

module.exports.hookClone = hookClone;
module.exports.installLazily = installLazily;
