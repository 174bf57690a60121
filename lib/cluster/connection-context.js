'use strict';

/**
 * Separates connections as Node's are, which come one by one: what a listener enters with
 * `AsyncLocalStorage.enterWith()` ends with its connection, and of those that are delivered in one callback of the
 * event loop, ticks and microtasks of one run before the next.
 */

const { AsyncResource } = require('node:async_hooks');
const { keepsContextInFrames, runTicks, tick } = require('../threads/ticks');

class ConnectionContext {
  #resource = new AsyncResource('MANYCORE');
  /** Number of own properties of a resource on which no context has been stored. */
  #untouched = Reflect.ownKeys(this.#resource).length;

  /** @param {(error: any) => void} report reports an uncaught exception as the runtime does */
  constructor(report) {
    this.report = report;
  }

  /**
   * Passes a connection to a server.
   * @param {Function} onconnection
   * @param {any} handle the listening handle
   * @param {any[]} args
   */
  run(onconnection, handle, args) {
    const resource = this.#resource;
    try {
      resource.runInAsyncScope(/** @type {any} */ (onconnection), handle, ...args);
    } finally {
      // Older versions store contexts as properties of the resource.
      if (!keepsContextInFrames && Reflect.ownKeys(resource).length !== this.#untouched) {
        this.#resource = new AsyncResource('MANYCORE');
      }
    }
  }

  /**
   * Runs ticks and microtasks, to be called between two connections. After the last one, the native caller does.
   * @param {boolean} isFirst whether no connection has been passed in this callback of the event loop
   * @returns {boolean} false if the next one must wait for another callback
   */
  tick(isFirst) {
    return runTicks === undefined ? isFirst : tick(this.report);
  }
}

module.exports.ConnectionContext = ConnectionContext;
