'use strict';

/**
 * The two forms of Node's channel between processes, `serialization: 'json'` and `'advanced'`: how a lane encodes
 * values under each, and how those are carried that only the platform can serialize.
 */

const v8 = require('node:v8');
const { AdvancedEncoder } = require('../link/advanced-encoder');
const { JsonEncoder } = require('../link/json-encoder');

/** @typedef {import('../link/encoder').Encoder} Encoder */

/**
 * @typedef {object} Format
 * @property {() => Encoder} makeEncoder
 * @property {(message: any) => any} serialize makes of a message what the lane can carry; throws as Node's does
 * @property {(serialized: any) => any} deserialize
 */

/** What stands before an object of the runtime's own: views are written by their bytes, others by properties. */
const VIEW = 0;
const OTHER = 1;

/** @type {Record<string, new (...args: any[]) => any>} their hooks for such objects are not in their types */
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

/** Throws for what cannot be cloned what structured clone throws, not a plain Error as Node's channel does. */
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
  // Of what JSON leaves out, nothing is left.
  serialize: (message) => JSON.stringify(message) ?? '',
  deserialize: (text) => (text === '' ? undefined : JSON.parse(text)),
};

/** @type {Format} */
const advanced = {
  makeEncoder: () => new AdvancedEncoder(),
  serialize: (message) => serializeBy(new Serializer(), message),
  deserialize(bytes) {
    const deserializer = new Deserializer(bytes);
    deserializer.readHeader();
    return deserializer.readValue();
  },
};

/** What requests are serialized by, whatever the channel's format. */
const clone = {
  serialize: (/** @type {any} */ value) => serializeBy(new CloningSerializer(), value),
  deserialize: advanced.deserialize,
};

module.exports.clone = clone;
/** @type {Record<string, Format>} */
module.exports.formats = { json, advanced };
