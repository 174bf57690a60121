'use strict';

/** `receiveMessageOnPort`, for ports whose messages do not all come from Node's own queue. */

const workerThreads = require('node:worker_threads');

const original = workerThreads.receiveMessageOnPort;
/** @type {WeakMap<object, () => { message: any } | undefined>} */
const takers = new WeakMap();

function receiveMessageOnPort(/** @type {any} */ port) {
  const take = takers.get(port);
  return take === undefined ? original(port) : take();
}

/**
 * Lets `take` answer for a port.
 * @param {object} port
 * @param {() => { message: any } | undefined} take
 */
function takeBy(port, take) {
  takers.set(port, take);
}

/** Replaces it on the built-in module, whose live bindings the caller then refreshes. */
function replaceBuiltin() {
  workerThreads.receiveMessageOnPort = receiveMessageOnPort;
}

module.exports.receiveMessageOnPort = receiveMessageOnPort;
module.exports.takeBy = takeBy;
module.exports.replaceBuiltin = replaceBuiltin;
