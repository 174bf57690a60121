'use strict';

/**
 * Clones values within a thread, with the same result as structured clone but faster: object by object if a value
 * contains only common types, else with the codec.
 */

const { Decoder } = require('./decoder');
const { Encoder } = require('./encoder');
const { ObjectCloner } = require('./object-cloner');
const { UNSUPPORTED } = require('./unsupported');

/**
 * From this length on, the platform is faster: it copies buffers only once, and long strings in values that need
 * the codec.
 */
const LARGE_LENGTH = 32 * 1024;
/** After a value that needed the codec, at most this many go to the codec directly. */
const LONGEST_WAIT = 64;

class Cloner {
  #objects = new ObjectCloner();
  #encoder = new Encoder(LARGE_LENGTH);
  /** @type {Decoder | null} */
  #decoder = null;
  /**
   * Number of values that still go to the codec directly, and its last initial value: a failed attempt is
   * expensive.
   */
  #wait = 0;
  #lastWait = 0;
  /**
   * The part already read of a value that is then left to the codec; unsupported parts are the originals.
   * @type {any}
   */
  #read = undefined;

  /**
   * @param {object} value
   * @returns {any} `UNSUPPORTED` if only the platform can clone it
   * @throws errors of the value's getters
   */
  clone(value) {
    this.#read = undefined;
    if (this.#wait > 0) {
      this.#wait--;
      return this.#cloneByBytes(value);
    }
    const objects = this.#objects;
    let copy = value;
    try {
      copy = objects.clone(value);
      if (!objects.isPartial) {
        this.#lastWait = 0;
        return copy;
      }
      this.#read = copy;
    } catch (error) {
      if (error !== UNSUPPORTED) throw error;
    }
    this.#lastWait = Math.min(this.#lastWait * 2 + 1, LONGEST_WAIT);
    this.#wait = this.#lastWait;
    return this.#cloneByBytes(copy);
  }

  /** @param {object} value */
  #cloneByBytes(value) {
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
   * Returns what to pass to the platform after `clone(value)` returned UNSUPPORTED: the value, or the copy read so
   * far if getters may have run.
   * @param {any} value
   */
  substituteFor(value) {
    const { substitute } = this.#encoder;
    const read = this.#read;
    this.#read = undefined;
    this.#encoder.substitute = null;
    if (substitute !== null) return substitute.value;
    return read === undefined ? value : read;
  }
}

module.exports.Cloner = Cloner;
