'use strict';

/**
 * Writes one record into the memory it is given, and moves to memory of its own if that is too small: nothing is
 * ever encoded twice, since reading a value runs its getters.
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
/** Offsets in records are 31-bit integers. */
const MOST_RECORD_BYTES = 2 ** 31 - SCRATCH_BYTES;
/** Larger scratch memory is released after use. */
const SCRATCH_KEPT_BYTES = 1024 * 1024;

/**
 * Extra room beyond one byte per character. Non-ASCII text takes more bytes than it has characters; even if it does
 * not fit, at most three bytes stay free, so what was written is longer than the text.
 */
const UTF8_SLACK = 4;

// The internal methods behind Buffer's `write` and `toString`: without argument checks, they cost half as much.
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
   * @param {number} [besideLength] buffers from this length on are sent beside the record, if there is room
   */
  constructor(largeLength = Infinity, besideLength = largeLength) {
    this.largeLength = largeLength;
    this.besideLength = besideLength;
    /** @type {Memory} */
    this.memory = memoryOf(new ArrayBuffer(0));
    this.bytes = this.memory.bytes;
    this.view = this.memory.view;
    this.words = this.memory.words;
    /** Start of the record, position of the next byte, and end of the memory. */
    this.start = 0;
    this.position = 0;
    this.limit = 0;
    this.flags = 0;
    /** Offset of the value in the record. */
    this.valueAt = HEADER_BYTES;
    this.bundle = '';
    this.shapes = new ShapeTable();
    /**
     * Stores the bytes of a large buffer beside the record. Returns their number; 0 if there is no room.
     * @type {((bytes: Uint8Array) => number) | null}
     */
    this.putLarge = null;
    /** Copies back what `putLarge` has stored. @type {((number: number, bytes: Uint8Array) => boolean) | null} */
    this.takeBackLarge = null;
    /**
     * Large buffers stored for this record, and their numbers.
     * @type {{ number: number, buffer: ArrayBuffer, length: number }[]}
     */
    this.larges = [];
    /** Buffers that can be passed without a copy; null unless there are any. @type {import('./store').Store | null} */
    this.store = null;
    /** Such buffers in this record. @type {{ block: import('./store').Block, buffer: ArrayBuffer }[]} */
    this.stored = [];
    /** Block of the store in which the record is. @type {import('./store').Block | null} */
    this.block = null;
    /** Substitute for a value, to be sent through the platform's own channel. @type {{ value: any } | null} */
    this.substitute = null;
    /**
     * Finds room for this many more bytes of the record outside of the writer's own memory, and moves it there. Returns
     * false if there is none.
     * @type {((writer: Writer, count: number) => boolean) | null}
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
   * Reserves room before the value of the record that has just been started.
   * @param {number} valueAt offset of the value in the record
   */
  startValueAt(valueAt) {
    this.valueAt = valueAt;
    this.position = this.start + HEADER_BYTES;
    this.reserve(valueAt - HEADER_BYTES);
    this.position = this.start + valueAt;
  }

  /** Returns a writer for another record while this one is incomplete. */
  sibling() {
    const { constructor: Encoder, largeLength, besideLength } = this;
    const sibling = new /** @type {new (large: number, beside: number) => this} */ (Encoder)(
      largeLength,
      besideLength,
    );
    sibling.shapes = this.shapes;
    sibling.putLarge = this.putLarge;
    sibling.takeBackLarge = this.takeBackLarge;
    sibling.store = this.store;
    sibling.findRoom = this.findRoom;
    return sibling;
  }

  /**
   * Moves the record being written out of this memory.
   * @param {Memory} memory
   */
  leaveMemory(memory) {
    if (this.memory === memory) this.#moveOut(0);
  }

  /** Starts a record in the writer's own memory. */
  beginInScratch() {
    this.scratch ??= memoryOf(new ArrayBuffer(SCRATCH_BYTES));
    this.begin(this.scratch, 0, this.scratch.bytes.length);
  }

  /**
   * Completes the record: tables after the payload, then the header. Returns its length in bytes.
   * @param {number} kind
   */
  end(kind) {
    const hasTables = this.bundle !== '' || this.shapes.pending.length !== 0;
    const tables = hasTables ? this.#writeTables() : 0;
    // Records start, and therefore end, at multiples of 8.
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

  /** Writes the tables after the payload. Returns their offset in the record. */
  #writeTables() {
    const tables = this.position - this.start;
    if (this.bundle !== '') this.#writeBundle();
    if (this.shapes.pending.length !== 0) this.#writeShapes();
    return tables;
  }

  /**
   * Adds a buffer of the store to the record, if it is one. Returns whether it is.
   * @param {ArrayBuffer} buffer
   * @param {number} tag
   * @param {number} kind of view, for STORED_VIEW
   * @param {number} byteOffset
   * @param {number} length in bytes
   */
  storedBuffer(buffer, tag, kind, byteOffset, length) {
    const block = this.store?.take(buffer);
    if (block === undefined) return false;
    this.stored.push({ block, buffer });
    this.reserve(11);
    this.bytes[this.position++] = tag;
    if (tag === Tag.STORED_VIEW) this.bytes[this.position++] = kind;
    this.bytes[this.position] = block.number;
    this.view.setUint32(this.position + 1, block.at + byteOffset, true);
    this.view.setUint32(this.position + 5, length, true);
    this.position += 9;
    return true;
  }

  /** The record was handed over: its definitions are known to the reader. */
  commit() {
    if (this.shapes.pending.length !== 0) this.shapes.pending = [];
    if (this.larges.length !== 0) this.larges = [];
    if (this.stored.length !== 0) this.stored = [];
    this.releaseScratch();
  }

  /** Releases unusually large memory of this writer. */
  releaseScratch() {
    if (this.scratch !== null && this.scratch.bytes.length > SCRATCH_KEPT_BYTES) this.scratch = null;
  }

  /** Whether the record is still in the memory it was started in. */
  isIn(/** @type {Memory} */ memory) {
    return this.memory === memory;
  }

  /** Returns the completed record. */
  record() {
    return this.bytes.subarray(this.start, this.position);
  }

  /** Whether the value may be read again: reading it so far has run no user code. */
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
    if (this.findRoom === null || !this.findRoom(this, count)) this.#moveOut(count);
  }

  /** Length of the record so far. */
  get used() {
    return this.position - this.start;
  }

  /**
   * Continues the record elsewhere.
   * @param {Memory} memory
   * @param {number} start
   * @param {number} limit
   */
  moveTo(memory, start, limit) {
    const used = this.position - this.start;
    if (memory !== this.memory) {
      memory.bytes.set(this.bytes.subarray(this.start, this.position), start);
      this.use(memory);
    } else if (start !== this.start) {
      this.bytes.copyWithin(start, this.start, this.position);
    }
    this.start = start;
    this.position = start + used;
    this.limit = limit;
  }

  /** Frees the block in which the record was. */
  leaveBlock() {
    if (this.block === null) return;
    this.store?.dropRecord(this.block);
    this.block = null;
  }

  /**
   * Continues in the writer's own memory.
   * @param {number} count number of further bytes needed
   * @throws RangeError, as the platform does for buffers that it cannot allocate
   */
  #moveOut(count) {
    const used = this.position - this.start;
    if (used + count > MOST_RECORD_BYTES) throw new RangeError('Array buffer allocation failed');
    let size = SCRATCH_BYTES;
    while (size < (used + count) * 2) size *= 2;
    if (size > MOST_RECORD_BYTES) size = MOST_RECORD_BYTES;
    const scratch =
      this.scratch !== null && this.scratch !== this.memory && this.scratch.bytes.length >= size
        ? this.scratch
        : memoryOf(
            size >= HUGE_BYTES ? /** @type {ArrayBuffer} */ (allocate(size).buffer) : new ArrayBuffer(size),
          );
    this.moveTo(scratch, 0, scratch.bytes.length);
    this.scratch = scratch;
    this.leaveBlock();
  }

  /** Goes back, to overwrite what was written last. @param {number} at offset in the record */
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
   * Pads so that data which starts after `before` more bytes is aligned: a receiver may access it in place through
   * any kind of view.
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

  /** Reserves room for a count that is not known yet. Returns its offset in the record. */
  skipCount() {
    this.reserve(4);
    this.position += 4;
    return this.position - 4 - this.start;
  }

  /**
   * Completes an object whose values have been written: its tag, its shape number, and the number of properties
   * that followed with their names.
   * @param {number} at offset of the object in the record
   * @param {import('./shapes').ShapeNode} node last node of its shape
   * @param {number} countAt offset of the count; -1 if none followed
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

  /** One byte per character if all are ASCII, which the length in UTF-8 tells; else two. */
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
