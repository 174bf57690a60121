'use strict';

/**
 * Clones values within a thread: what structured clone would give, in less time. Object by object where a value has
 * only what is usual; else by the codec.
 */

const { Decoder } = require('./decoder');
const { Encoder } = require('./encoder');
const { ObjectCloner } = require('./object-cloner');
const { UNSUPPORTED } = require('./unsupported');

/** Larger buffers, and longer strings beside what only the codec clones, are better copied once, by the platform. */
const LARGE_LENGTH = 32 * 1024;
/** So many values at most go to the codec at once after one that had to. */
const LONGEST_WAIT = 64;

class Cloner {
  #objects = new ObjectCloner();
  #encoder = new Encoder(LARGE_LENGTH);
  /** @type {Decoder | null} */
  #decoder = null;
  /** So many values still go to the codec at once, and were to the last time: an attempt for nothing costs. */
  #wait = 0;
  #lastWait = 0;
  /** What was read of a value that is left to the codec half way, with parts as they were. @type {any} */
  #read = undefined;

  /**
   * @param {object} value
   * @returns {any} `UNSUPPORTED` when only the platform can clone it
   * @throws what a getter of the value throws
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
   * What to give to the platform after `clone(value)` returned UNSUPPORTED: the value, or what was read of it if
   * getters may have run.
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
