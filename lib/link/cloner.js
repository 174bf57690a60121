'use strict';

/** Clones values within a thread, by the codec: what structured clone would give, in less time. */

const { Decoder } = require('./decoder');
const { Encoder } = require('./encoder');
const { UNSUPPORTED } = require('./unsupported');

/** Longer strings within objects, and larger buffers, are better copied once, by the platform. */
const LARGE_LENGTH = 32 * 1024;

class Cloner {
  #encoder = new Encoder(LARGE_LENGTH);
  /** @type {Decoder | null} */
  #decoder = null;

  /**
   * @param {object} value
   * @returns {any} `UNSUPPORTED` when only the platform can clone it
   * @throws what a getter of the value throws
   */
  clone(value) {
    const encoder = this.#encoder;
    encoder.beginInScratch();
    let length;
    try {
      length = encoder.encode(value);
    } catch (error) {
      if (error !== UNSUPPORTED) throw error;
      return UNSUPPORTED;
    }
    const { memory } = encoder;
    const decoder = (this.#decoder ??= new Decoder(memory));
    if (decoder.memory !== memory) decoder.use(memory);
    const copy = decoder.decode(encoder.start, length);
    encoder.commit();
    return copy;
  }

  /**
   * What to give to the platform after `clone(value)` returned UNSUPPORTED: the value, or what was read of it if
   * getters may have run.
   * @param {any} value
   */
  substituteFor(value) {
    const { substitute } = this.#encoder;
    if (substitute === null) return value;
    this.#encoder.substitute = null;
    return substitute.value;
  }
}

module.exports.Cloner = Cloner;
