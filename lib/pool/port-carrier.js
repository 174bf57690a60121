'use strict';

/** Thread side: carries values the codec does not support to and from the caller. */

const { receiveFrom } = require('./transfer');

/** Carrier over the thread's own port. */
class PortCarrier {
  #port;
  /** Arguments that arrived before their notices, by slot. @type {Map<number, any[]>} */
  #early = new Map();
  /** Whether transferred values are copied. Here, they go through the port. */
  copies = false;

  /** @param {import('node:worker_threads').MessagePort} port */
  constructor(port) {
    this.#port = port;
  }

  /**
   * Sends a value. Returns null: the report has no record and only announces the value.
   * @param {any} value
   * @param {any[]} transferList
   * @returns {Uint8Array | null}
   */
  send(value, transferList) {
    this.#port.postMessage(value, transferList);
    return null;
  }

  /**
   * Returns the slot of a task and its argument; only the slot if the caller could not send the argument.
   * @param {number} slot
   * @returns {any[]}
   */
  receive(slot) {
    for (;;) {
      const early = this.#early.get(slot);
      if (early !== undefined) {
        this.#early.delete(slot);
        return early;
      }
      const { message } = /** @type {{ message: any[] }} */ (receiveFrom(this.#port));
      if (message[0] === slot) return message;
      this.#early.set(message[0], message);
    }
  }
}

module.exports.PortCarrier = PortCarrier;
