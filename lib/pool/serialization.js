'use strict';

/**
 * Serialization between processes of values the codec does not support, and emulation of transfer: a copy is sent,
 * and the original detached.
 */

const v8 = require('node:v8');
const { types } = require('node:util');
const { isOverShared } = require('./process-encoder');

/** @type {Record<string, new (...args: any[]) => any>} their hooks are missing from the types */
const { DefaultSerializer, DefaultDeserializer } = /** @type {any} */ (v8);

/** @param {string} message */
function dataCloneError(message) {
  return new DOMException(message, 'DataCloneError');
}

class Serializer extends DefaultSerializer {
  /**
   * Writes views and Buffers; other host objects cannot leave their process.
   * @param {any} object
   */
  _writeHostObject(object) {
    if (!ArrayBuffer.isView(object)) {
      throw dataCloneError(`${object?.constructor?.name ?? 'The object'} cannot be sent to another process`);
    }
    if (isOverShared(object)) this._getSharedArrayBufferId();
    super._writeHostObject(object);
  }

  _getSharedArrayBufferId() {
    throw dataCloneError('A SharedArrayBuffer cannot be sent to another process');
  }
}
/** Also called by V8, for functions, shared memory and other values that cannot be cloned. */
Serializer.prototype._getDataCloneError = dataCloneError;

/**
 * @param {any} value
 * @returns {Uint8Array}
 * @throws DataCloneError, and errors of the value's getters
 */
function serialize(value) {
  const serializer = new Serializer();
  serializer.writeHeader();
  serializer.writeValue(value);
  return serializer.releaseBuffer();
}

/**
 * @param {Uint8Array} bytes retained by views in the value
 * @throws if the bytes are not valid
 */
function deserialize(bytes) {
  const deserializer = new DefaultDeserializer(bytes);
  deserializer.readHeader();
  return deserializer.readValue();
}

/**
 * @param {readonly any[]} list
 * @throws DataCloneError if an item cannot be transferred to another process
 */
function checkTransferable(list) {
  for (const item of list) {
    if (types.isArrayBuffer(item)) continue;
    throw dataCloneError(`${item?.constructor?.name ?? item} cannot be transferred to another process`);
  }
  if (new Set(list).size < list.length) throw dataCloneError('The transfer list has an ArrayBuffer twice');
}

/** @param {readonly any[]} list ArrayBuffers whose copies have been sent */
function detach(list) {
  if (list.length > 0) structuredClone(undefined, { transfer: /** @type {any[]} */ (list) });
}

module.exports.serialize = serialize;
module.exports.deserialize = deserialize;
module.exports.checkTransferable = checkTransferable;
module.exports.detach = detach;
