'use strict';

/** In a worker: how values go to and from the caller that the codec cannot carry. */

const { receiveFromNode } = require('../threads/receive');
const { checkTransferable, deserialize, detach, serialize } = require('./serialization');

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

/** A process's records, as the platform serializes them. */
class SerialCarrier {
  copies = true;

  /**
   * @param {any} value
   * @param {any[]} _transferList
   */
  send(value, _transferList) {
    return serialize(value);
  }

  /** @param {any[]} transferList */
  check(transferList) {
    checkTransferable(transferList);
  }

  /** @param {any[]} transferList whose copies have been sent */
  sent(transferList) {
    detach(transferList);
  }

  /**
   * @param {number} slot
   * @param {Uint8Array} bytes
   * @returns {any[]}
   */
  receive(slot, bytes) {
    return [slot, deserialize(bytes)];
  }
}

module.exports.PortCarrier = PortCarrier;
module.exports.SerialCarrier = SerialCarrier;
