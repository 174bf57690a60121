'use strict';

/** The memory through which the native methods of a shared object receive and return values. */

const { Kind } = require('./entries');
const { fromMethod } = require('./failures');
const scratch = require('./scratch');
const { ValueReader, ValueWriter } = require('./values');

/** @typedef {{ bytes: Uint8Array, kind: number }} Kept bytes of a value, and their kind */

class Exchange {
  #arrayBuffer;
  #bytes;
  #reader;
  #writer;
  #subject;
  #whyFull;
  #key;

  /**
   * @param {{ scratch(): any }} native
   * @param {string} subject name of the object in errors
   * @param {() => string} [whyFull] says what limits its room, for errors
   */
  constructor(native, subject, whyFull) {
    this.#arrayBuffer = /** @type {ArrayBuffer} */ (native.scratch());
    this.#bytes = new Uint8Array(this.#arrayBuffer);
    this.#reader = new ValueReader(this.#arrayBuffer);
    this.#writer = new ValueWriter(this.#arrayBuffer, scratch.WRITE_AT, scratch.END);
    this.#subject = subject;
    this.#whyFull = whyFull;
    this.#key = new Uint8Array(this.#arrayBuffer, scratch.KEY_AT, scratch.SHORT_KEY);
    /** Numbers written by methods, see scratch.js. */
    this.numbers = new Float64Array(this.#arrayBuffer, 0, scratch.READ_AT / 8);
  }

  /**
   * Writes a short key of one-byte characters to the place where the next method expects it. Returns false for any
   * other key.
   * @param {unknown} key
   */
  putKey(key) {
    if (typeof key !== 'string' || key.length > scratch.SHORT_KEY) return false;
    const { length } = key;
    const bytes = this.#key;
    let seen = 0;
    for (let i = 0; i < length; i++) {
      const unit = key.charCodeAt(i);
      bytes[i] = unit;
      seen |= unit;
    }
    this.numbers[scratch.KEY_LENGTH] = length;
    return seen < 0x100;
  }

  get arrayBuffer() {
    return this.#arrayBuffer;
  }

  /**
   * Passes on a value that is neither a string nor a number, as a record in the memory or as bytes.
   * @template T
   * @param {any} value
   * @param {(length: number) => T} give receives a record in the memory
   * @param {(bytes: Uint8Array, kind: number) => T} giveBytes
   */
  give(value, give, giveBytes) {
    if (value instanceof Uint8Array && value.buffer instanceof ArrayBuffer) {
      return giveBytes(value, Kind.BYTES);
    }
    return this.#writer.write(value, (length, bytes) =>
      bytes === null ? give(length) : giveBytes(bytes, Kind.RECORD),
    );
  }

  /**
   * Returns a copy of what `give` would pass on.
   * @param {any} value
   * @returns {Kept}
   */
  keep(value) {
    const { RECORD } = Kind;
    const { WRITE_AT } = scratch;
    return this.give(
      value,
      (length) => ({ bytes: this.#bytes.slice(WRITE_AT, WRITE_AT + length), kind: RECORD }),
      (bytes, kind) => ({ bytes: new Uint8Array(bytes), kind }),
    );
  }

  /**
   * Converts the result of a method into a value.
   * @param {any} raw
   * @param {unknown} key key the method was called with
   */
  value(raw, key) {
    if (typeof raw === 'string' || typeof raw === 'number') return raw;
    if (raw === null) return this.fail(key);
    const length = this.numbers[scratch.LENGTH];
    if (raw === true) return this.#reader.read(scratch.READ_AT, length);
    if (raw === false) return this.#bytes.slice(scratch.READ_AT, scratch.READ_AT + length);
    const isRecord = this.numbers[scratch.KIND] === Kind.RECORD;
    return isRecord ? this.#reader.read(0, length, raw) : new Uint8Array(raw);
  }

  /**
   * @param {number} start
   * @param {number} length
   * @param {ArrayBuffer} [elsewhere]
   */
  readRecord(start, length, elsewhere) {
    return this.#reader.read(start, length, elsewhere);
  }

  /**
   * Returns the result of a method; throws if it failed.
   * @param {any} result
   * @param {unknown} [key]
   */
  checked(result, key) {
    return result === null ? this.fail(key) : result;
  }

  /**
   * Whether a method made its change, which is not so if the version differs; throws if it failed.
   * @param {any} result
   * @param {unknown} key
   */
  isMade(result, key) {
    return this.checked(result, key) !== false;
  }

  /**
   * @param {unknown} [key]
   * @returns {never}
   */
  fail(key) {
    throw fromMethod(this.numbers[scratch.FAILURE], this.#subject, key, this.fail, this.#whyFull);
  }
}

module.exports.Exchange = Exchange;
