'use strict';

/** A script, as Node's loader sees it, that does with a port what scripts do first: see `spare.js`. */

module.exports = (/** @type {typeof import('node:worker_threads').MessageChannel} */ MessageChannel) => {
  const { port1, port2 } = new MessageChannel();
  const listener = () => {};
  port1.on('message', listener);
  port2.postMessage(0);
  port1.off('message', listener);
  port1.close();
};
