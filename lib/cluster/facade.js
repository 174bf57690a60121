'use strict';

const EventEmitter = require('node:events');
const builtin = require('./builtin');
const primary = require('./primary');

/** The methods that add a listener. */
const ADDERS = ['on', 'addListener', 'prependListener'];

/** The methods that add a listener for one event, and those used instead. */
const ONCE_ADDERS = { once: 'on', prependOnceListener: 'prependListener' };

/**
 * Gives the facade the methods that add listeners: they are called on the facade, not on the builtin, whose `fork()`
 * is Node's. The function that the builtin gets names the listener in its `listener` property, as Node's own do for
 * one event, so that the builtin lists and removes the listener itself.
 * @param {any} facade
 */
function addAdders(facade) {
  /** @type {WeakMap<Function, Function>} what was added for any number of events, by what the builtin has */
  const lasting = new WeakMap();
  const define = (/** @type {string} */ name, /** @type {(...args: any[]) => any} */ value) =>
    Object.defineProperty(facade, name, { configurable: true, writable: true, value });
  for (const name of ADDERS) {
    define(name, (event, listener) => {
      // Node throws if it is none.
      const isListener = typeof listener === 'function';
      const bound = (/** @type {any[]} */ ...args) => Reflect.apply(listener, facade, args);
      if (isListener) lasting.set(Object.assign(bound, { listener }), listener);
      builtin[name](event, isListener ? bound : listener);
      return facade;
    });
  }
  for (const [name, adder] of Object.entries(ONCE_ADDERS)) {
    define(name, (event, listener) => {
      const isListener = typeof listener === 'function';
      let isOver = false;
      const bound = (/** @type {any[]} */ ...args) => {
        if (isOver) return undefined;
        isOver = true;
        builtin.removeListener(event, bound);
        return Reflect.apply(listener, facade, args);
      };
      builtin[adder](event, isListener ? Object.assign(bound, { listener }) : listener);
      return facade;
    });
  }
  define('rawListeners', (event) =>
    builtin.rawListeners(event).map((/** @type {Function} */ each) => lasting.get(each) ?? each),
  );
}

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
  addAdders(facade);
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
  primary.giveTo(facade);
  return facade;
}

module.exports.makeFacade = makeFacade;
