'use strict';

/**
 * Large buffers travel beside the records of tasks and results, in memory of the queue that is reused. A record
 * refers to its payloads by number, starting at 1.
 */

/** @typedef {import('../link/encoder').Encoder} Encoder */

/**
 * One side of a queue.
 * @typedef {object} Native
 * @property {(payload: Uint8Array) => boolean} putLarge
 * @property {(count: number) => void} discardLarge
 */

/**
 * Makes an encoder put large buffers beside its records.
 * @param {Encoder} encoder
 * @param {Native} native
 */
function putBeside(encoder, native) {
  encoder.putLarge = (bytes) => (native.putLarge(bytes) ? encoder.larges.length + 1 : 0);
}

/**
 * Discards the payloads of a record that is not sent after all.
 * @param {Encoder} encoder
 * @param {Native} native
 */
function takeBack(encoder, native) {
  const { length } = encoder.larges;
  if (length === 0) return;
  encoder.larges = [];
  native.discardLarge(length);
}

module.exports.putBeside = putBeside;
module.exports.takeBack = takeBack;
