'use strict';

/**
 * Values as self-contained records of the link's codec: objects include their property names, so that any thread or
 * process can read what any other has written.
 */

const { Decoder, CORRUPT } = require('../link/decoder');
const { Encoder } = require('../link/encoder');
const { memoryOf } = require('../link/memory');
const { ShapeTable } = require('../link/shapes');
const { UNSUPPORTED } = require('../link/unsupported');
const { makeError } = require('../core/errors');

/** A full shape table: objects are written with their names. */
class NoShapes extends ShapeTable {
  /** @override */
  get isFull() {
    return true;
  }
}

class ValueWriter {
  #memory;
  #start;
  #limit;
  #encoder = newEncoder();
  #isBusy = false;

  /**
   * @param {ArrayBuffer} arrayBuffer memory for records that fit
   * @param {number} start
   * @param {number} limit
   */
  constructor(arrayBuffer, start, limit) {
    this.#memory = memoryOf(arrayBuffer);
    this.#start = start;
    this.#limit = limit;
  }

  /**
   * Encodes a value and passes it on: its length if it is in the memory, else its bytes.
   * @template T
   * @param {any} value
   * @param {(length: number, bytes: Uint8Array | null) => T} hand
   * @returns {T}
   */
  write(value, hand) {
    // A getter of the value may store another value meanwhile.
    if (this.#isBusy) return this.#writeApart(value, hand);
    const encoder = this.#encoder;
    this.#isBusy = true;
    try {
      encoder.begin(this.#memory, this.#start, this.#limit);
      const length = encode(encoder, value);
      const outcome = encoder.isIn(this.#memory) ? hand(length, null) : hand(length, encoder.record());
      encoder.commit();
      return outcome;
    } finally {
      this.#isBusy = false;
    }
  }

  /**
   * @template T
   * @param {any} value
   * @param {(length: number, bytes: Uint8Array | null) => T} hand
   * @returns {T}
   */
  #writeApart(value, hand) {
    const encoder = newEncoder();
    encoder.beginInScratch();
    const length = encode(encoder, value);
    return hand(length, encoder.record());
  }
}

class ValueReader {
  #memory;
  #decoder;

  /** @param {ArrayBuffer} arrayBuffer memory that most records are read from */
  constructor(arrayBuffer) {
    this.#memory = memoryOf(arrayBuffer);
    this.#decoder = new Decoder(this.#memory);
  }

  /**
   * Decodes a record.
   * @param {number} start
   * @param {number} length
   * @param {ArrayBuffer} [elsewhere] memory of the record, if not the usual one
   */
  read(start, length, elsewhere) {
    if (elsewhere === undefined) return this.#read(start, length);
    this.#decoder.use(memoryOf(elsewhere));
    try {
      return this.#read(start, length);
    } finally {
      this.#decoder.use(this.#memory);
    }
  }

  /**
   * @param {number} start
   * @param {number} length
   */
  #read(start, length) {
    try {
      return this.#decoder.decode(start, length);
    } catch (error) {
      if (error !== CORRUPT) throw error;
      throw makeError('ERR_MANYCORE_SEGMENT_CORRUPT', ['value'], ValueReader);
    }
  }
}

function newEncoder() {
  const encoder = new Encoder();
  encoder.shapes = new NoShapes();
  return encoder;
}

/**
 * @param {Encoder} encoder an encoder with a started record
 * @param {any} value
 */
function encode(encoder, value) {
  try {
    return encoder.encode(value);
  } catch (error) {
    if (error !== UNSUPPORTED) throw error;
    // Throws Node's error if the value cannot be cloned at all.
    structuredClone(value);
    throw makeError('ERR_INVALID_ARG_VALUE', ['value', value, 'cannot be kept in shared memory'], encode);
  }
}

module.exports.ValueReader = ValueReader;
module.exports.ValueWriter = ValueWriter;
