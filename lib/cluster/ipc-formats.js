'use strict';

/**
 * The two serialization formats of Node's IPC channel, `'json'` and `'advanced'`: how a lane encodes values under
 * each, and how values are carried that only the platform can serialize.
 */

const v8 = require('node:v8');
const { AdvancedEncoder } = require('../link/advanced-encoder');
const { JsonEncoder } = require('../link/json-encoder');

/** @typedef {import('../link/encoder').Encoder} Encoder */

/**
 * @typedef {object} Format
 * @property {() => Encoder} makeEncoder
 * @property {boolean} passesBuffers whether its encoder can pass buffers in the memory of the lane
 * @property {(message: any) => any} serialize converts a message into a value that the lane can carry; throws the
 * same errors as Node
 * @property {(serialized: any) => any} deserialize
 */

/** Tag before a host object: views are written as bytes, other objects by their properties. */
const VIEW = 0;
const OTHER = 1;

/** @type {Record<string, new (...args: any[]) => any>} their hooks for host objects are missing from the types */
const { DefaultSerializer, DefaultDeserializer } = /** @type {any} */ (v8);

class Serializer extends DefaultSerializer {
  /** @param {any} object */
  _writeHostObject(object) {
    const isView = ArrayBuffer.isView(object);
    this.writeUint32(isView ? VIEW : OTHER);
    if (isView) super._writeHostObject(object);
    else this.writeValue({ ...object });
  }
}

class Deserializer extends DefaultDeserializer {
  _readHostObject() {
    return this.readUint32() === OTHER ? this.readValue() : super._readHostObject();
  }
}

/**
 * Throws the same error as structured clone for values that cannot be cloned, not a plain Error as Node's channel
 * does.
 */
class CloningSerializer extends Serializer {
  /** @param {string} message */
  _getDataCloneError(message) {
    return new DOMException(message, 'DataCloneError');
  }

  _getSharedArrayBufferId() {
    throw this._getDataCloneError('#<SharedArrayBuffer> could not be cloned.');
  }
}

/**
 * @param {any} serializer
 * @param {any} value
 */
function serializeBy(serializer, value) {
  serializer.writeHeader();
  serializer.writeValue(value);
  return serializer.releaseBuffer();
}

/** @type {Format} */
const json = {
  makeEncoder: () => /** @type {any} */ (new JsonEncoder()),
  passesBuffers: false,
  // Values that JSON omits are sent as an empty string.
  serialize: (message) => JSON.stringify(message) ?? '',
  deserialize: (text) => (text === '' ? undefined : JSON.parse(text)),
};

/** @type {Format} */
const advanced = {
  makeEncoder: () => new AdvancedEncoder(),
  passesBuffers: true,
  serialize: (message) => serializeBy(new Serializer(), message),
  deserialize(bytes) {
    const deserializer = new Deserializer(bytes);
    deserializer.readHeader();
    return deserializer.readValue();
  },
};

/** Serializer of requests, whatever the format of the channel. */
const clone = {
  serialize: (/** @type {any} */ value) => serializeBy(new CloningSerializer(), value),
  deserialize: advanced.deserialize,
};

module.exports.clone = clone;
/** @type {Record<string, Format>} */
module.exports.formats = { json, advanced };
