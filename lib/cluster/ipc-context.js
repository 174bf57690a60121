'use strict';

/**
 * What a listener enters with `AsyncLocalStorage.enterWith()` ends with its message, as in Node, although many
 * messages are delivered in one call from the event loop.
 */

const { executionAsyncResource } = require('node:async_hooks');
const { inContextOfNow, keepsContextInFrames } = require('../threads/node-internals');

/**
 * Makes a function run where nothing is left of what it entered at earlier calls.
 * @template T
 * @param {() => T} run called from one native callback, always the same
 * @returns {() => T}
 */
function inFreshContext(run) {
  if (keepsContextInFrames) return inContextOfNow(run);
  // Older versions keep it as properties of the resource that the call belongs to, the same at each call. Looking
  // for them after each message would cost as much as the message: their being set is noticed.
  let isTouched = false;
  /** @type {any} */
  let watched;
  const proto = new Proxy(Object.prototype, {
    set(_target, name, value, receiver) {
      isTouched = true;
      const attributes = { value, writable: true, enumerable: true, configurable: true };
      return Reflect.defineProperty(receiver, name, attributes);
    },
  });
  return () => {
    if (watched === undefined) {
      watched = executionAsyncResource();
      Object.setPrototypeOf(watched, proto);
    }
    try {
      return run();
    } finally {
      if (isTouched) {
        isTouched = false;
        for (const name of Reflect.ownKeys(watched)) delete watched[name];
      }
    }
  };
}

module.exports.inFreshContext = inFreshContext;
