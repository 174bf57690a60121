'use strict';

/** What Node does between two messages: ticks, microtasks and the change of the async context. */

const { AsyncLocalStorage, AsyncResource } = require('node:async_hooks');
require('../core/context');

/**
 * Runs `process.nextTick` callbacks and microtasks, as Node does between two messages. Undefined if not accessible:
 * each message then needs its own call from native code.
 */
const runTicks = findRunTicks();

/** @returns {(() => void) | undefined} */
function findRunTicks() {
  const callback = /** @type {any} */ (process)._tickCallback;
  if (typeof callback !== 'function') return undefined;
  // Under --pending-deprecation, Node has put a function in front of it that warns, and inherits from it. The
  // prototype of functions, which may be that of another context, is a function without a name.
  const behind = Object.getPrototypeOf(callback);
  return typeof behind === 'function' && behind.name !== '' ? behind : callback;
}

/**
 * Runs ticks and microtasks between two messages, if `runTicks` is available; after the last message, the native
 * caller does.
 * @param {(error: any) => void} reportUncaught reports an uncaught exception as the runtime does. If it were
 * rethrown, it would unwind past async contexts entered by ticks, and Node would abort the process
 * @returns {boolean} false if one of them threw, including a rethrown listener error
 */
function tick(reportUncaught) {
  try {
    /** @type {() => void} */ (runTicks)();
    return true;
  } catch (error) {
    reportUncaught(error);
    return false;
  }
}

/**
 * Whether AsyncLocalStorage values belong to the running call, so that what a message handler sets must be undone
 * before the next message. Older versions keep them on the port, where they persist.
 */
const keepsContextInFrames = !('_propagate' in AsyncLocalStorage.prototype);

/**
 * Binds a function to the current async context. `AsyncLocalStorage.snapshot()` does the same at several times the
 * cost.
 * @template T
 * @param {() => T} run
 * @returns {() => T}
 */
function inContextOfNow(run) {
  const resource = new AsyncResource('MANYCORE');
  return () => resource.runInAsyncScope(run);
}

module.exports.keepsContextInFrames = keepsContextInFrames;
module.exports.inContextOfNow = inContextOfNow;
module.exports.runTicks = runTicks;
module.exports.tick = tick;
