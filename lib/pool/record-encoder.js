'use strict';

/** Encodes values into records for one side of a queue, in memory shared with native code as far as they fit. */

const { UNSUPPORTED } = require('../link/unsupported');
const { putBeside, takeBack } = require('./payloads');

/** @typedef {import('../link/encoder').Encoder} Encoder */

class RecordEncoder {
  #native;
  #memory;
  #encoder;
  /** Whether large buffers travel beside records. */
  #isBeside;
  #isEncoding = false;
  /** @type {{ value: any } | null} */
  #substitute = null;
  /** Length of the last encoded record. */
  length = 0;

  /**
   * @param {import('./payloads').Native} native
   * @param {import('../link/memory').Memory} memory
   * @param {Encoder} encoder
   */
  constructor(native, memory, encoder) {
    this.#native = native;
    this.#memory = memory;
    this.#encoder = encoder;
    this.#isBeside = encoder.largeLength < Infinity;
    if (this.#isBeside) putBeside(encoder, native);
  }

  /**
   * Encodes a value. Returns the encoder that holds the record, to be committed once it has been handed over; null
   * if the codec does not support the value.
   * @param {any} value
   * @throws errors of the value's getters
   */
  encode(value) {
    // A getter of the value may cause another value to be encoded.
    const isNested = this.#isEncoding;
    const encoder = isNested ? this.#makeSibling() : this.#encoder;
    if (isNested) encoder.beginInScratch();
    else encoder.begin(this.#memory, 0, this.#memory.bytes.length);
    this.#isEncoding = true;
    try {
      this.length = encoder.encode(value);
      return encoder;
    } catch (error) {
      takeBack(encoder, this.#native);
      if (error !== UNSUPPORTED) throw error;
      this.#substitute = encoder.substitute;
      encoder.substitute = null;
      return null;
    } finally {
      this.#isEncoding = isNested;
    }
  }

  /** Whether the record is in the memory shared with native code. @param {Encoder} encoder */
  isInMemory(encoder) {
    return encoder.isIn(this.#memory);
  }

  /**
   * Returns what to send by other means: the value, or the copy read so far if getters may have run.
   * @param {any} value
   */
  substituteFor(value) {
    const substitute = this.#substitute;
    if (substitute === null) return value;
    this.#substitute = null;
    return substitute.value;
  }

  #makeSibling() {
    const sibling = this.#encoder.sibling();
    if (this.#isBeside) putBeside(sibling, this.#native);
    return sibling;
  }
}

module.exports.RecordEncoder = RecordEncoder;
