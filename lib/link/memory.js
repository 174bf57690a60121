'use strict';

const { Buffer } = require('node:buffer');

/**
 * The views through which one piece of memory is read and written.
 * @typedef {object} Memory
 * @property {Uint8Array} bytes
 * @property {DataView} view
 * @property {Int32Array} words
 * @property {Buffer} buffer
 */

/**
 * @param {ArrayBuffer} arrayBuffer
 * @returns {Memory}
 */
function memoryOf(arrayBuffer) {
  return {
    bytes: new Uint8Array(arrayBuffer),
    view: new DataView(arrayBuffer),
    words: new Int32Array(arrayBuffer, 0, arrayBuffer.byteLength >> 2),
    buffer: Buffer.from(arrayBuffer),
  };
}

module.exports.memoryOf = memoryOf;
