'use strict';

/** In a process: how values go to and from the caller that the codec cannot carry. */

const { checkTransferable, deserialize, detach, serialize } = require('./serialization');

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

module.exports.SerialCarrier = SerialCarrier;
