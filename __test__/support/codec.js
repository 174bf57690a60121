'use strict';

/* An encoder connected to a decoder. */

const { Decoder } = require('../../lib/link/decoder');
const { Encoder } = require('../../lib/link/encoder');
const { memoryOf } = require('../../lib/link/memory');
const { UNSUPPORTED } = require('../../lib/link/unsupported');

/** Small, so that records often outgrow it. */
const MEMORY_BYTES = 512;

class Codec {
  /** @param {Encoder} [encoder] */
  constructor(encoder = new Encoder()) {
    this.encoder = encoder;
    this.memory = memoryOf(new ArrayBuffer(MEMORY_BYTES));
    this.decoder = new Decoder(this.memory);
    /** Number of values left to the platform. */
    this.refused = 0;
  }

  /**
   * Returns the bytes of a value's record, or undefined if the codec does not support it.
   * @param {any} value
   */
  encode(value) {
    const { encoder, memory } = this;
    encoder.begin(memory, 8, memory.bytes.length);
    try {
      encoder.encode(value);
    } catch (error) {
      if (error !== UNSUPPORTED) throw error;
      this.refused++;
      return undefined;
    }
    const record = encoder.record().slice();
    encoder.commit();
    return record;
  }

  /** @param {Uint8Array} record */
  decode(record) {
    this.decoder.use(memoryOf(record.buffer));
    return this.decoder.decode(0, record.length);
  }

  /** @param {any} value */
  copy(value) {
    const record = this.encode(value);
    return record === undefined ? undefined : { value: this.decode(record) };
  }
}

module.exports.Codec = Codec;
