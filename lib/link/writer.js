'use strict';

/**
 * Writes one record into the memory it is given, and moves on into memory of its own when that gets too small:
 * nothing is ever encoded twice, for reading a value runs the getters in it.
 */

const { Buffer } = require('node:buffer');
const { Flag, HEADER_BYTES } = require('./layout');
const { HUGE_BYTES, allocate } = require('./large-buffers');
const { memoryOf } = require('./memory');
const { isOneByte } = require('./one-byte');
const { ShapeTable, keysOf } = require('./shapes');
const { Tag, INLINE_STRING_LENGTH, BUNDLED_STRING_LENGTH } = require('./tags');
const { UNSUPPORTED } = require('./unsupported');

/** @typedef {import('./memory').Memory} Memory */

const SCRATCH_BYTES = 64 * 1024;
/** Scratch memory that grew larger is let go after use. */
const SCRATCH_KEPT_BYTES = 1024 * 1024;

/**
 * Room beyond one byte a character. A text that is not ASCII takes more bytes than it has characters, and even
 * when it does not fit, at most three bytes stay free: what was written is longer than the text.
 */
const UTF8_SLACK = 4;

// The methods under Buffer's `write` and `toString`: without their argument checks they cost half.
const prototype = /** @type {any} */ (Buffer.prototype);
/** @type {(text: string, at: number, maxBytes: number) => number} */
const utf8Write = prototype.utf8Write;
/** @type {(text: string, at: number, maxBytes: number) => number} */
const latin1Write = prototype.latin1Write;
/** @type {(text: string, at: number, maxBytes: number) => number} */
const ucs2Write = prototype.ucs2Write;

class Writer {
  /**
   * @param {number} [largeLength] strings and buffers from this length on are refused
   * @param {number} [besideLength] buffers from this length on are sent beside the record, as long as there is room
   */
  constructor(largeLength = Infinity, besideLength = largeLength) {
    this.largeLength = largeLength;
    this.besideLength = besideLength;
    /** @type {Memory} */
    this.memory = memoryOf(new ArrayBuffer(0));
    this.bytes = this.memory.bytes;
    this.view = this.memory.view;
    this.words = this.memory.words;
    /** Where the record starts, where the next byte goes, and where the memory ends. */
    this.start = 0;
    this.position = 0;
    this.limit = 0;
    this.flags = 0;
    /** Where the value is, from the record's start. */
    this.valueAt = HEADER_BYTES;
    this.bundle = '';
    this.shapes = new ShapeTable();
    /**
     * Takes the bytes of a large buffer, to be sent beside the record. Returns the number that stands for them; 0
     * when there is no room.
     * @type {((bytes: Uint8Array) => number) | null}
     */
    this.putLarge = null;
    /** What it returned for this record, and for which buffers. @type {{ number: number, buffer: ArrayBuffer }[]} */
    this.larges = [];
    /** What is to be given to the platform's own channel in place of a value. @type {{ value: any } | null} */
    this.substitute = null;
    /**
     * Looks for more room in the memory in which the record was begun. Returns where it may start, and sets `limit`.
     * @type {((writer: Writer) => number) | null}
     */
    this.findRoom = null;
    /** @type {Memory | null} */
    this.scratch = null;
  }

  /**
   * Starts a record.
   * @param {Memory} memory
   * @param {number} start
   * @param {number} limit
   */
  begin(memory, start, limit) {
    if (this.memory !== memory) this.use(memory);
    this.start = start;
    this.limit = limit;
    this.position = start + HEADER_BYTES;
    this.flags = 0;
    if (this.bundle !== '') this.bundle = '';
    if (this.position > limit) this.#moveOut(0);
  }

  /**
   * Leaves more room before the value of the record that has just been started.
   * @param {number} valueAt where that is, from the record's start
   */
  startValueAt(valueAt) {
    this.valueAt = valueAt;
    this.position = this.start + HEADER_BYTES;
    this.reserve(valueAt - HEADER_BYTES);
    this.position = this.start + valueAt;
  }

  /** A writer for another record while this one's is not complete. */
  sibling() {
    const { constructor: Encoder, largeLength, besideLength } = this;
    const sibling = new /** @type {new (large: number, beside: number) => this} */ (Encoder)(
      largeLength,
      besideLength,
    );
    sibling.shapes = this.shapes;
    sibling.putLarge = this.putLarge;
    sibling.findRoom = this.findRoom;
    return sibling;
  }

  /**
   * Moves the record that is being written out of this memory.
   * @param {Memory} memory
   */
  leaveMemory(memory) {
    if (this.memory === memory) this.#moveOut(0);
  }

  /** Starts a record in memory of its own. */
  beginInScratch() {
    this.scratch ??= memoryOf(new ArrayBuffer(SCRATCH_BYTES));
    this.begin(this.scratch, 0, this.scratch.bytes.length);
  }

  /**
   * Completes the record: tables behind the payload, then the header. Returns its length in bytes.
   * @param {number} kind
   */
  end(kind) {
    const hasTables = this.bundle !== '' || this.shapes.pending.length !== 0;
    const tables = hasTables ? this.#writeTables() : 0;
    // Records begin at multiples of 8, and so end there.
    const padded = (this.position + 7) & ~7;
    if (padded > this.limit) this.#grow(padded - this.position);
    const { start, words } = this;
    this.position = (this.position + 7) & ~7;
    const length = this.position - start;
    const at = start >> 2;
    words[at] = length;
    words[at + 1] = kind | (this.flags << 8);
    words[at + 2] = tables;
    return length;
  }

  /** What stands behind the payload. Returns where it begins, from the record's start. */
  #writeTables() {
    const tables = this.position - this.start;
    if (this.bundle !== '') this.#writeBundle();
    if (this.shapes.pending.length !== 0) this.#writeShapes();
    return tables;
  }

  /** The record was handed over: its definitions are known to the reader. */
  commit() {
    if (this.shapes.pending.length !== 0) this.shapes.pending = [];
    if (this.larges.length !== 0) this.larges = [];
    if (this.scratch !== null && this.scratch.bytes.length > SCRATCH_KEPT_BYTES) this.scratch = null;
  }

  /** Whether the record outgrew the memory it was begun in. */
  isIn(/** @type {Memory} */ memory) {
    return this.memory === memory;
  }

  /** The completed record. */
  record() {
    return this.bytes.subarray(this.start, this.position);
  }

  /** Whether the value may be read once more: what was read of it so far has run no code. */
  isRepeatable() {
    return true;
  }

  /** Makes room for `count` more bytes. */
  reserve(/** @type {number} */ count) {
    if (this.position + count > this.limit) this.#grow(count);
  }

  /** @param {Memory} memory */
  use(memory) {
    this.memory = memory;
    this.bytes = memory.bytes;
    this.view = memory.view;
    this.words = memory.words;
  }

  /** @param {number} count */
  #grow(count) {
    if (this.findRoom !== null && this.memory !== this.scratch) {
      const start = this.findRoom(this);
      if (start !== this.start) {
        this.bytes.copyWithin(start, this.start, this.position);
        this.position += start - this.start;
        this.start = start;
      }
      if (this.position + count <= this.limit) return;
    }
    this.#moveOut(count);
  }

  /**
   * Goes on in memory of its own.
   * @param {number} count of bytes that there must be room for
   */
  #moveOut(count) {
    const used = this.position - this.start;
    let size = SCRATCH_BYTES;
    while (size < (used + count) * 2) size *= 2;
    const source = this.bytes.subarray(this.start, this.position);
    const scratch =
      this.scratch !== null && this.scratch !== this.memory && this.scratch.bytes.length >= size
        ? this.scratch
        : memoryOf(
            size >= HUGE_BYTES ? /** @type {ArrayBuffer} */ (allocate(size).buffer) : new ArrayBuffer(size),
          );
    scratch.bytes.set(source);
    this.scratch = scratch;
    this.use(scratch);
    this.start = 0;
    this.position = used;
    this.limit = scratch.bytes.length;
  }

  /** Writes over what was written last. @param {number} at where, from the record's start */
  goBack(at) {
    this.position = this.start + at;
  }

  /** @param {number} byte */
  tag(byte) {
    this.reserve(1);
    this.bytes[this.position++] = byte;
  }

  /**
   * @param {number} tag
   * @param {number} count
   */
  tagWithCount(tag, count) {
    this.reserve(5);
    this.bytes[this.position] = tag;
    this.view.setUint32(this.position + 1, count, true);
    this.position += 5;
  }

  /**
   * @param {number} tag
   * @param {number} value
   */
  tagWithDouble(tag, value) {
    this.reserve(9);
    this.bytes[this.position] = tag;
    this.view.setFloat64(this.position + 1, value, true);
    this.position += 9;
  }

  /**
   * Makes data aligned that begins so many bytes on: a receiver may look at it in place, through a view of any kind.
   * @param {number} before
   */
  align(before) {
    const count = -(this.position - this.start + 2 + before) & 7;
    this.reserve(2 + count);
    this.bytes[this.position] = Tag.PADDED;
    this.bytes[this.position + 1] = count;
    this.bytes.fill(0, this.position + 2, this.position + 2 + count);
    this.position += 2 + count;
  }

  /** Leaves room for a count that is not known yet. Returns where, from the record's start. */
  skipCount() {
    this.reserve(4);
    this.position += 4;
    return this.position - 4 - this.start;
  }

  /**
   * Completes an object whose values have been written: its tag, the number of its shape, and how many
   * properties followed with their names.
   * @param {number} at where it began, from the record's start
   * @param {import('./shapes').ShapeNode} node where its shape ends
   * @param {number} countAt -1: none followed
   * @param {number} count
   */
  endShape(at, node, countAt, count) {
    const id = node.id < 0 ? this.shapes.define(node) : node.id;
    const tagAt = this.start + at;
    if (countAt >= 0) {
      this.bytes[tagAt] = Tag.OBJECT_AND_MORE;
      this.view.setUint32(this.start + countAt, count, true);
    }
    this.bytes[tagAt + 1] = id;
    this.bytes[tagAt + 2] = id >> 8;
  }

  /** @param {number} value */
  number(value) {
    if ((value | 0) !== value || (value === 0 && 1 / value < 0)) {
      return this.tagWithDouble(Tag.FLOAT64, value);
    }
    this.reserve(5);
    if (value >= 0 && value < 128) {
      this.bytes[this.position++] = value;
      return;
    }
    this.bytes[this.position] = Tag.INT32;
    this.view.setInt32(this.position + 1, value, true);
    this.position += 5;
  }

  /** @param {bigint} value */
  bigint(value) {
    if (BigInt.asIntN(64, value) === value) {
      this.reserve(9);
      this.bytes[this.position] = Tag.BIGINT64;
      this.view.setBigInt64(this.position + 1, value, true);
      this.position += 9;
      return;
    }
    const negative = value < 0n;
    this.reserve(2);
    this.bytes[this.position++] = Tag.BIGINT;
    this.bytes[this.position++] = negative ? 1 : 0;
    this.longString((negative ? -value : value).toString(16));
  }

  /** @param {string} text */
  string(text) {
    const { length } = text;
    if (length <= INLINE_STRING_LENGTH) {
      this.reserve(1 + INLINE_STRING_LENGTH);
      const { bytes } = this;
      const at = this.position + 1;
      let i = 0;
      for (; i < length; i++) {
        const code = text.charCodeAt(i);
        if (code > 127) break;
        bytes[at + i] = code;
      }
      if (i === length) {
        bytes[at - 1] = Tag.SHORT_STRING | length;
        this.position = at + length;
        return;
      }
    }
    if (length > BUNDLED_STRING_LENGTH) return this.longString(text);
    this.reserve(3);
    const { position } = this;
    if (length < 16) {
      this.bytes[position] = Tag.SHORT_BUNDLED | length;
      this.position = position + 1;
    } else {
      this.bytes[position] = Tag.STRING_BUNDLED;
      this.bytes[position + 1] = length;
      this.bytes[position + 2] = length >> 8;
      this.position = position + 3;
    }
    this.bundle += text;
  }

  /** @param {string} text */
  longString(text) {
    const { length } = text;
    if (length >= this.largeLength && this.isRepeatable()) throw UNSUPPORTED;
    const isNarrow = isOneByte(text);
    const size = isNarrow ? length : length * 2;
    this.reserve(5 + size);
    const at = this.position;
    this.bytes[at] = isNarrow ? Tag.STRING_ONE_BYTE : Tag.STRING_TWO_BYTE;
    this.view.setUint32(at + 1, size, true);
    (isNarrow ? latin1Write : ucs2Write).call(this.memory.buffer, text, at + 5, size);
    this.position = at + 5 + size;
  }

  /** One byte a character if all are ASCII, which UTF-8 tells by its length; else two. */
  #writeBundle() {
    const text = this.bundle;
    this.bundle = '';
    const { length } = text;
    this.reserve(4 + length + UTF8_SLACK);
    let written = utf8Write.call(this.memory.buffer, text, this.position + 4, length + UTF8_SLACK);
    if (written === length) {
      this.flags |= Flag.BUNDLE_ONE_BYTE;
    } else {
      this.flags |= Flag.BUNDLE_TWO_BYTE;
      this.reserve(4 + length * 2);
      written = ucs2Write.call(this.memory.buffer, text, this.position + 4, length * 2);
    }
    this.view.setUint32(this.position, written, true);
    this.position += 4 + written;
  }

  #writeShapes() {
    this.flags |= Flag.SHAPES;
    const { pending } = this.shapes;
    this.reserve(4);
    this.view.setUint32(this.position, pending.length, true);
    this.position += 4;
    for (const node of pending) {
      const keys = keysOf(node);
      this.reserve(4);
      this.view.setUint16(this.position, node.id, true);
      this.view.setUint16(this.position + 2, keys.length, true);
      this.position += 4;
      for (const key of keys) this.longString(key);
    }
  }
}

module.exports.Writer = Writer;
