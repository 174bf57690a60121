'use strict';

/** Process side: carries values the codec does not support to and from the caller. */

const { checkTransferable, deserialize, detach, serialize } = require('./serialization');

/** Carrier that serializes values with `v8.Serializer`. */
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

  /** @param {any[]} transferList values whose copies have been sent */
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
