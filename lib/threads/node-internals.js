'use strict';

/**
 * The few internals of Node's worker_threads that are hooked, found by names that have been stable since Node 20.
 * If one is missing, nothing is hooked and Node's own messaging is used.
 */

const { dispatch, nodes } = require('./preload');
require('../core/context');

/** Method through which a port delivers received messages: its only hook, registered for all contexts. */
const kDispatch = Symbol.for('nodejs.internal.kHybridDispatch');
/** Where a port keeps the ports transferred with the message that is being delivered. */
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

/** Whether the internals are as expected. */
const supported =
  kOnExit !== undefined &&
  typeof dispatch === 'function' &&
  typeof (/** @type {any} */ (Worker.prototype)[kOnExit]) === 'function';

/**
 * Returns the port of a worker in its parent.
 * @param {object} worker
 * @returns {any} undefined if this version of Node keeps it elsewhere
 */
function publicPortOf(worker) {
  const kPublicPort = symbolOf(worker, 'kPublicPort');
  const port = kPublicPort === undefined ? undefined : /** @type {any} */ (worker)[kPublicPort];
  return port instanceof MessagePort ? port : undefined;
}

/**
 * Returns the port's own methods that Node calls when listeners are added or removed.
 * @param {object} port
 * @returns {{ added: symbol, removed: symbol } | undefined}
 */
function listenerHooksOf(port) {
  const added = symbolOf(port, 'kNewListener');
  const removed = symbolOf(port, 'kRemoveListener');
  return added === undefined || removed === undefined ? undefined : { added, removed };
}

module.exports.kDispatch = kDispatch;
module.exports.kReceivedPorts = kReceivedPorts;
module.exports.kOnExit = /** @type {any} */ (kOnExit);
module.exports.kOnMessage = /** @type {any} */ (kOnMessage);
module.exports.dispatch = dispatch;
module.exports.supported = supported;
module.exports.publicPortOf = publicPortOf;
module.exports.listenerHooksOf = listenerHooksOf;
