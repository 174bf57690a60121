'use strict';

const EventEmitter = require('node:events');
const builtin = require('./builtin');
const primary = require('./primary');

/**
 * Returns an object that behaves as the builtin cluster (same workers, same events) except for what manycore
 * replaces. Libraries that use the builtin see the workers forked through this object.
 */
function makeFacade() {
  const facade = Object.create(EventEmitter.prototype);
  for (const name of Object.getOwnPropertyNames(EventEmitter.prototype)) {
    if (typeof builtin[name] !== 'function' || name === 'constructor') continue;
    const forward = (/** @type {any[]} */ ...args) => {
      const result = builtin[name](...args);
      return result === builtin ? facade : result;
    };
    Object.defineProperty(facade, name, { configurable: true, writable: true, value: forward });
  }
  for (const name of Object.getOwnPropertyNames(builtin)) {
    if (name.startsWith('_event') || name.startsWith('_maxListeners')) continue;
    Object.defineProperty(facade, name, {
      configurable: true,
      enumerable: true,
      get: () => builtin[name],
      set: (value) => {
        builtin[name] = value;
      },
    });
  }
  for (const [name, value] of Object.entries(primary.methods)) {
    Object.defineProperty(facade, name, { configurable: true, enumerable: true, writable: true, value });
  }
  Object.defineProperty(facade, 'schedulingPolicy', { ...primary.schedulingPolicy, enumerable: true });
  return facade;
}

module.exports.makeFacade = makeFacade;
