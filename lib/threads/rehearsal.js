'use strict';

/** A script for Node's loader that does with a port what most scripts do first; see `spare.js`. */

module.exports = (/** @type {typeof import('node:worker_threads').MessageChannel} */ MessageChannel) => {
  const { port1, port2 } = new MessageChannel();
  const listener = () => {};
  port1.on('message', listener);
  port2.postMessage(0);
  port1.off('message', listener);
  port1.close();
};
