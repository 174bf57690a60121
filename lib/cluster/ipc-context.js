'use strict';

/**
 * A context entered by a listener with `AsyncLocalStorage.enterWith()` ends with its message, as in Node, even
 * though many messages are delivered in one call from the event loop.
 */

const { executionAsyncResource } = require('node:async_hooks');
const { inContextOfNow, keepsContextInFrames } = require('../threads/ticks');

/**
 * Makes a function run in a context without anything entered by earlier calls.
 * @template T
 * @param {() => T} run called from one and the same native callback
 * @returns {() => T}
 */
function inFreshContext(run) {
  if (keepsContextInFrames) return inContextOfNow(run);
  // Older versions store contexts as properties of the current async resource, which is the same object for each
  // call. Searching it after each message would cost as much as the message itself; instead, writes to it are
  // detected.
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
