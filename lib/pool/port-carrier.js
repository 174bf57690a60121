'use strict';

/** In a thread: how values go to and from the caller that the codec cannot carry. */

const { receiveFromNode } = require('../threads/receive');

/** A thread's own port. */
class PortCarrier {
  #port;
  /** Arguments that came before their notices. @type {Map<number, any[]>} */
  #early = new Map();
  /** What is transferred goes by the port. */
  copies = false;

  /** @param {import('node:worker_threads').MessagePort} port */
  constructor(port) {
    this.#port = port;
  }

  /**
   * Sends a value. Null: a report without a record says that it is there.
   * @param {any} value
   * @param {any[]} transferList
   * @returns {Uint8Array | null}
   */
  send(value, transferList) {
    this.#port.postMessage(value, transferList);
    return null;
  }

  /**
   * The number of a task and its argument; only the number if the caller could not send it.
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
      const { message } = /** @type {{ message: any[] }} */ (receiveFromNode(this.#port));
      if (message[0] === slot) return message;
      this.#early.set(message[0], message);
    }
  }
}

module.exports.PortCarrier = PortCarrier;
