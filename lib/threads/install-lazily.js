'use strict';

/**
 * Worker side of `manycore/register`: replaces exports of the built-in module by ours, each loaded on first access.
 */

const workerThreads = /** @type {any} */ (require('node:worker_threads'));
const { nodes } = require('./preload');

/**
 * Defines accessors on the built-in module for the exports to be replaced.
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
  // Done now rather than on first access: a global function that changes later would be observable.
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

/** Lets `structuredClone` transfer ports of channels that are handled here. */
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
