'use strict';

/**
 * The few places where Node's worker_threads can be taken over, found by the names they have had since Node 20.
 * Where one is missing, nothing is taken over and Node's own messages serve.
 */

const { AsyncLocalStorage, AsyncResource } = require('node:async_hooks');
const { dispatch, nodes } = require('./preload');

/** Method through which a port delivers what it received: its one hook, registered for all contexts. */
const kDispatch = Symbol.for('nodejs.internal.kHybridDispatch');
/** Where a port keeps the ports that came with the message being delivered. */
const kReceivedPorts = Symbol.for('nodejs.internal.kCurrentlyReceivingPorts');

/**
 * @param {object} object
 * @param {string} description
 * @returns {symbol | undefined}
 */
function symbolOf(object, description) {
  return Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === description);
}

const { Worker, MessagePort } = nodes;
const kOnExit = symbolOf(Worker.prototype, 'kOnExit');
const kOnMessage = symbolOf(Worker.prototype, 'kOnMessage');

/** What of Node is as expected. */
const supported =
  kOnExit !== undefined &&
  typeof dispatch === 'function' &&
  typeof (/** @type {any} */ (Worker.prototype)[kOnExit]) === 'function';

/**
 * The port of a worker in its parent.
 * @param {object} worker
 * @returns {any} undefined when this Node keeps it elsewhere
 */
function publicPortOf(worker) {
  const kPublicPort = symbolOf(worker, 'kPublicPort');
  const port = kPublicPort === undefined ? undefined : /** @type {any} */ (worker)[kPublicPort];
  return port instanceof MessagePort ? port : undefined;
}

/**
 * The own methods of a port that Node calls when listeners come and go.
 * @param {object} port
 * @returns {{ added: symbol, removed: symbol } | undefined}
 */
function listenerHooksOf(port) {
  const added = symbolOf(port, 'kNewListener');
  const removed = symbolOf(port, 'kRemoveListener');
  return added === undefined || removed === undefined ? undefined : { added, removed };
}

/**
 * Runs `process.nextTick` callbacks and microtasks, as Node does between two messages. Undefined where it cannot
 * be called: then each message takes a call from native code of its own.
 * @type {(() => void) | undefined}
 */
const runTicks =
  typeof (/** @type {any} */ (process)._tickCallback) === 'function'
    ? /** @type {any} */ (process)._tickCallback
    : undefined;

/**
 * Runs ticks and microtasks between two messages, where `runTicks` is there; the native caller does it after the last.
 * @param {(error: any) => void} reportUncaught reports as the runtime does. Thrown on, an exception would unwind past
 *   contexts that ticks have entered, and Node would give up the process
 * @returns {boolean} false when one of them threw, be it on behalf of a listener
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
 * Whether the values of an AsyncLocalStorage belong to the call, so that what one message's handler sets must be
 * taken back before the next message. Older versions keep them at the port, where they stay.
 */
const keepsContextInFrames = !('_propagate' in AsyncLocalStorage.prototype);

/**
 * Makes a function run in the async context of now, whenever it is called. `AsyncLocalStorage.snapshot()` does the
 * same at several times the cost.
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
module.exports.kDispatch = kDispatch;
module.exports.kReceivedPorts = kReceivedPorts;
module.exports.kOnExit = /** @type {any} */ (kOnExit);
module.exports.kOnMessage = /** @type {any} */ (kOnMessage);
module.exports.dispatch = dispatch;
module.exports.supported = supported;
module.exports.publicPortOf = publicPortOf;
module.exports.listenerHooksOf = listenerHooksOf;
module.exports.runTicks = runTicks;
module.exports.tick = tick;
