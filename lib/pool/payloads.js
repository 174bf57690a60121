'use strict';

/**
 * Large buffers go beside the records of tasks and results: in memory of the queue, which serves again and again. A
 * record names them by their place among its own, from 1.
 */

/** @typedef {import('../link/encoder').Encoder} Encoder */

/**
 * Either side of a queue.
 * @typedef {object} Native
 * @property {(payload: Uint8Array) => boolean} putLarge
 * @property {(count: number) => void} discardLarge
 */

/**
 * Has an encoder put large buffers beside its records.
 * @param {Encoder} encoder
 * @param {Native} native
 */
function putBeside(encoder, native) {
  encoder.putLarge = (bytes) => (native.putLarge(bytes) ? encoder.larges.length + 1 : 0);
}

/**
 * What was put beside a record is not sent after all.
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
