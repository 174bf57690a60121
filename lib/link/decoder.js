'use strict';

/**
 * Decodes records. The peer can write to the memory, so each number read from it is validated before use, and no
 * more is allocated than the record has bytes for. Invalid data throws CORRUPT.
 */

const { Buffer } = require('node:buffer');
const { Flag, HEADER_BYTES } = require('./layout');
const { readSpecial } = require('./decode-special');
const { allocate } = require('./large-buffers');
const { ShapeReader, defineName } = require('./shape-reader');
const { ShortStrings } = require('./short-strings');
const { Tag } = require('./tags');

/** @typedef {import('./memory').Memory} Memory */

const prototype = /** @type {any} */ (Buffer.prototype);
/** @type {(start: number, end: number) => string} */
const latin1Slice = prototype.latin1Slice;
/** @type {(start: number, end: number) => string} */
const ucs2Slice = prototype.ucs2Slice;

/** The memory of shorter buffers is left to the C library. */
const LEAST_KEPT_BYTES = 16 * 1024;
/** Longer data is left to `takeBytes`. */
const LEAST_TAKEN_BYTES = 64 * 1024;

/** Thrown for invalid data. */
const CORRUPT = Object.freeze({ corrupt: true });

class Decoder {
  /** @param {Memory} memory */
  constructor(memory) {
    this.memory = memory;
    this.bytes = memory.bytes;
    this.view = memory.view;
    this.buffer = memory.buffer;
    this.position = 0;
    /** End of the payload. */
    this.end = 0;
    this.hasReferences = false;
    /** @type {any[]} */
    this.references = [];
    this.bundle = '';
    this.bundleAt = 0;
    this.shortStrings = new ShortStrings();
    /**
     * Takes a large buffer by number; undefined if there is none.
     * @type {(number: number) => ArrayBuffer | undefined}
     */
    this.takeLarge = () => undefined;
    /**
     * Copies a large range of the memory into a Buffer with an ArrayBuffer of its own.
     * @type {(start: number, length: number) => Buffer}
     */
    this.takeBytes = (start, length) => this.copyBytes(start, length);
    /**
     * Takes a buffer out of a block of the store; undefined if there is none.
     * @type {(block: number, at: number, length: number) => ArrayBuffer | undefined}
     */
    this.takeStored = () => undefined;
    /** Refused parts, in records that are not sent. @type {any[]} */
    this.refused = [];
    this.shapes = new ShapeReader(this, CORRUPT);
    /** Passed to compiled shapes. */
    this.read = () => this.value();
  }

  /** @param {Memory} memory */
  use(memory) {
    this.memory = memory;
    this.bytes = memory.bytes;
    this.view = memory.view;
    this.buffer = memory.buffer;
  }

  /**
   * Decodes the record at `start`. The caller has checked that `length` bytes are within the memory.
   * @param {number} start
   * @param {number} length
   * @param {number} [valueAt] offset of the value in the record
   * @throws CORRUPT
   */
  decode(start, length, valueAt = HEADER_BYTES) {
    this.tables(start, length);
    this.position = start + valueAt;
    let value;
    try {
      value = this.value();
    } catch (error) {
      // Nested too deep, too large, or a property the object cannot have.
      throw error instanceof RangeError || error instanceof TypeError ? CORRUPT : error;
    } finally {
      if (this.references.length !== 0) this.references = [];
    }
    if (this.position > this.end) throw CORRUPT;
    return value;
  }

  /**
   * Reads the tables behind the payload of a record: its strings, and definitions that later records need.
   * @param {number} start
   * @param {number} length
   * @throws CORRUPT
   */
  tables(start, length) {
    const flags = this.bytes[start + 5];
    this.hasReferences = (flags & Flag.REFERENCES) !== 0;
    this.end = start + length;
    if ((flags & ~Flag.REFERENCES) === 0) return;
    const tables = start + this.view.getUint32(start + 8, true);
    if (tables < start + HEADER_BYTES || tables > this.end) throw CORRUPT;
    this.position = tables;
    if ((flags & (Flag.BUNDLE_ONE_BYTE | Flag.BUNDLE_TWO_BYTE)) !== 0) {
      const at = this.position + 4;
      const end = at + this.count(1);
      const slice = (flags & Flag.BUNDLE_ONE_BYTE) !== 0 ? latin1Slice : ucs2Slice;
      this.bundle = slice.call(this.buffer, at, end);
      this.bundleAt = 0;
      this.position = end;
    }
    if ((flags & Flag.SHAPES) !== 0) this.shapes.define();
    this.end = tables;
  }

  /**
   * Reads a count of items, each of which takes at least `bytesEach` bytes of the record.
   * @param {number} bytesEach
   */
  count(bytesEach) {
    if (this.end - this.position < 4) throw CORRUPT;
    const count = this.view.getUint32(this.position, true);
    this.position += 4;
    if (count * bytesEach > this.end - this.position) throw CORRUPT;
    return count;
  }

  /**
   * Returns the next bytes of the record, with an ArrayBuffer of their own.
   * @param {number} length
   */
  ownBytes(length) {
    const start = this.position;
    this.position += length;
    return length < LEAST_TAKEN_BYTES ? this.copyBytes(start, length) : this.takeBytes(start, length);
  }

  /**
   * @param {number} start
   * @param {number} length
   */
  copyBytes(start, length) {
    // Not from Buffer's pool, and not zero-filled.
    const copy = length < LEAST_KEPT_BYTES ? Buffer.allocUnsafeSlow(length) : allocate(length);
    copy.set(this.bytes.subarray(start, start + length));
    return copy;
  }

  /** Checks that `count` more bytes of the record exist. */
  need(/** @type {number} */ count) {
    if (count > this.end - this.position) throw CORRUPT;
  }

  /** @returns {any} */
  value() {
    // Beyond the end, this reads bytes of other records or nothing, which the check after the value detects.
    const tag = this.bytes[this.position++];
    if (tag < 0x80) return tag;
    if (tag >= Tag.SHORT_STRING) {
      if (tag < Tag.SHORT_BUNDLED) return this.#shortString(tag & 15);
      if (tag < Tag.SHORT_ARRAY) return this.#bundled(tag & 15);
      if (tag < Tag.OBJECT) return this.#array(tag & 15);
      if (tag === Tag.OBJECT) return this.shapes.read();
    }
    switch (tag) {
      case Tag.INT32: {
        this.position += 4;
        return this.view.getInt32(this.position - 4, true);
      }
      case Tag.FLOAT64: {
        this.position += 8;
        return this.view.getFloat64(this.position - 8, true);
      }
      case Tag.NULL:
        return null;
      case Tag.UNDEFINED:
        return undefined;
      case Tag.TRUE:
        return true;
      case Tag.FALSE:
        return false;
      case Tag.STRING_BUNDLED: {
        this.need(2);
        this.position += 2;
        return this.#bundled(this.view.getUint16(this.position - 2, true));
      }
      case Tag.STRING_ONE_BYTE:
      case Tag.STRING_TWO_BYTE:
        this.position--;
        return this.longString();
      case Tag.ARRAY:
        return this.#array(this.count(1));
    }
    if (this.position > this.end) throw CORRUPT;
    return readSpecial(this, tag, CORRUPT);
  }

  /** Reads a string that is not in the bundle. */
  longString() {
    const tag = this.bytes[this.position++];
    if (tag !== Tag.STRING_ONE_BYTE && tag !== Tag.STRING_TWO_BYTE) throw CORRUPT;
    const length = this.count(1);
    const start = this.position;
    this.position = start + length;
    return (tag === Tag.STRING_ONE_BYTE ? latin1Slice : ucs2Slice).call(this.buffer, start, start + length);
  }

  /** @param {number} length */
  #shortString(length) {
    if (length > 8) throw CORRUPT;
    this.need(length);
    const start = this.position;
    this.position = start + length;
    return this.shortStrings.read(this.bytes, start, length);
  }

  /** @param {number} length */
  #bundled(length) {
    const start = this.bundleAt;
    this.bundleAt = start + length;
    if (this.bundleAt > this.bundle.length) throw CORRUPT;
    return this.bundle.substring(start, start + length);
  }

  /** @param {number} length */
  #array(length) {
    this.need(length);
    const array = new Array(length);
    if (this.hasReferences) this.references.push(array);
    const { bytes } = this;
    for (let i = 0; i < length; i++) {
      const tag = bytes[this.position];
      if (tag < 0x80) {
        this.position++;
        array[i] = tag;
      } else if (tag === Tag.HOLE) {
        this.position++;
      } else {
        array[i] = this.value();
      }
    }
    return array;
  }

  /**
   * Reads name-value pairs into an object or array.
   * @param {any} target
   * @param {number} count
   */
  pairs(target, count) {
    for (let i = 0; i < count; i++) {
      const name = this.value();
      if (typeof name !== 'string') throw CORRUPT;
      defineName(target, name, this.value());
    }
  }
}

module.exports.Decoder = Decoder;
module.exports.CORRUPT = CORRUPT;
