'use strict';

/** Creates a worker whose creation the program does not observe until it is announced. */

const diagnostics = require('node:diagnostics_channel');
const { types } = require('node:util');
const { MessagePort } = require('./preload').nodes;
const { makeError } = require('../core/errors');

const created = diagnostics.channel('worker_threads');

/**
 * @param {() => any} make
 * @returns {{ worker: any, environmentData: Map<any, any> }} the worker, and this thread's environment data, which
 * Node does not expose
 */
function bootUnnoticed(make) {
  /** @type {any} */
  let worker;
  /** @type {Map<any, any> | undefined} */
  let environmentData;
  const showSent = shadow(MessagePort.prototype, 'postMessage', (original) => {
    return function (/** @type {any[]} */ ...args) {
      if (types.isMap(args[0]?.environmentData)) ({ environmentData } = args[0]);
      return Reflect.apply(original, this, args);
    };
  });
  const showCreated = created.hasSubscribers ? shadow(created, 'publish', () => () => {}) : () => {};
  // Node's tick that emits 'worker' runs between these two.
  let showEvents = () => {};
  process.nextTick(() => {
    showEvents = shadow(process, 'emit', (original) => {
      return function (/** @type {any[]} */ ...args) {
        return args[0] === 'worker' && args[1] === worker ? false : Reflect.apply(original, this, args);
      };
    });
  });
  try {
    worker = make();
  } finally {
    showSent();
    showCreated();
    process.nextTick(() => showEvents());
  }
  if (environmentData === undefined) {
    worker.terminate();
    throw makeError('ERR_FEATURE_UNAVAILABLE_ON_PLATFORM', [
      'Worker.warm',
      'this Node starts workers otherwise',
    ]);
  }
  return { worker, environmentData };
}

/**
 * @param {any} object
 * @param {string} name
 * @param {(original: any) => (this: any, ...args: any[]) => any} make
 * @returns {() => void} restores the original
 */
function shadow(object, name, make) {
  const before = Object.getOwnPropertyDescriptor(object, name);
  Object.defineProperty(object, name, {
    configurable: true,
    enumerable: before?.enumerable ?? false,
    writable: true,
    value: make(object[name]),
  });
  return () => {
    if (before === undefined) delete object[name];
    else Object.defineProperty(object, name, before);
  };
}

/**
 * Announces the worker to the program, as Node does on creation.
 * @param {any} worker
 */
function announce(worker) {
  process.nextTick(() => process.emit('worker', worker));
  if (created.hasSubscribers) created.publish({ worker });
}

module.exports.bootUnnoticed = bootUnnoticed;
module.exports.announce = announce;
