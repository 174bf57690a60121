'use strict';

/**
 * Layout of a lane in shared memory: the counterpart of `crates/core/src/ring/control.rs`, which documents the
 * words. A test compares the two.
 */

/** Indices of the control words in an Int32Array over the lane. */
const HEAD = 0;
const READ = 4 / 4;
const COPIED = 8 / 4;
const COPY = 16 / 4;
const TAIL = 128 / 4;
const ASLEEP = 256 / 4;
const UNFENCED = 260 / 4;
const OVERFLOWED = 384 / 4;
const TAKEN = 512 / 4;
const CLOSED = 640 / 4;
const WAITING = 768 / 4;
/** The first of `STORE_BLOCKS` words. */
const RETURNED = 896 / 4;

/** Number of blocks of the store that can be in use at a time. */
const STORE_BLOCKS = 64;
/** Size of the store of a lane between threads; memory is committed as it is used. */
const STORE_BYTES = 64 * 1024 * 1024;
/** The same between processes, whose large messages are passed in it: there is room for one of 1 GiB. */
const PROCESS_STORE_BYTES = 1280 * 1024 * 1024;

/** Offset of the copy of the last record in the lane's memory, and its greatest length, in bytes. */
const COPY_AT = COPY * 4;
const COPY_BYTES = TAIL * 4 - COPY_AT;
/** In place of a position, which is a multiple of 8: there is none. */
const NOT_COPIED = 1;

/**
 * Header of a record: u32 length in bytes (a multiple of 8, including the header), u8 kind, u8 flags, u16 unused,
 * u32 offset of the tables from the start of the record (0 for none). The payload follows.
 */
const HEADER_BYTES = 12;

/** Kinds of records. */
const Kind = Object.freeze({
  /** The payload is an encoded value. */
  VALUE: 1,
  /** The next message on the platform's own channel belongs here. */
  MARKER: 2,
  /** Like MARKER, but the message must be delivered by the platform because it carries ports. */
  MARKER_WITH_PORTS: 3,
  /** The ring is full: continue with the records in the overflow. */
  OVERFLOW: 4,
  /** In the overflow: continue with the ring. */
  RETURN: 5,
  /** The peer may use its lane: there is a listener. */
  READY: 6,
  /** The sender uses the platform's own channel from now on. */
  END: 7,
  /** Padding: the sender continues at the start of the ring. */
  SKIP: 8,
  /** Part of a record that is too large for the ring: u32 length of the whole record, bytes. */
  FRAGMENT: 9,
  /** The value of the next VALUE is the platform's own serialization of the message. */
  SERIALIZED: 10,
  /** A request or reply: its kind in place of the unused u16, then i32 id, then an encoded value. */
  CALL: 11,
  /** A VALUE or CALL in the store: u32 number of its block, u32 offset there, u32 length. */
  STORED: 12,
});

/** Length of a record without payload. */
const BARE_RECORD_BYTES = 16;

/** Offset of the value in a CALL. */
const CALL_HEADER_BYTES = HEADER_BYTES + 4;

/** Offset of the bytes in a FRAGMENT. */
const FRAGMENT_HEADER_BYTES = 16;
/** Least number of bytes in a FRAGMENT that is not the last one: fewer are not worth the overhead. */
const MIN_FRAGMENT_BYTES = 4096;

/** Length of a STORED. */
const STORED_RECORD_BYTES = HEADER_BYTES + 12;

/** Flags of a VALUE record. */
const Flag = Object.freeze({
  /** An object occurs more than once in the value. */
  REFERENCES: 1,
  /** The tables start with a bundle of one-byte strings. */
  BUNDLE_ONE_BYTE: 2,
  /** The tables start with a bundle of two-byte strings. */
  BUNDLE_TWO_BYTE: 4,
  /** The tables end with shape definitions. */
  SHAPES: 8,
});

module.exports.HEAD = HEAD;
module.exports.READ = READ;
module.exports.COPIED = COPIED;
module.exports.COPY = COPY;
module.exports.COPY_AT = COPY_AT;
module.exports.COPY_BYTES = COPY_BYTES;
module.exports.NOT_COPIED = NOT_COPIED;
module.exports.TAIL = TAIL;
module.exports.ASLEEP = ASLEEP;
module.exports.UNFENCED = UNFENCED;
module.exports.OVERFLOWED = OVERFLOWED;
module.exports.TAKEN = TAKEN;
module.exports.CLOSED = CLOSED;
module.exports.WAITING = WAITING;
module.exports.RETURNED = RETURNED;
module.exports.STORE_BLOCKS = STORE_BLOCKS;
module.exports.STORE_BYTES = STORE_BYTES;
module.exports.PROCESS_STORE_BYTES = PROCESS_STORE_BYTES;
module.exports.HEADER_BYTES = HEADER_BYTES;
module.exports.BARE_RECORD_BYTES = BARE_RECORD_BYTES;
module.exports.CALL_HEADER_BYTES = CALL_HEADER_BYTES;
module.exports.FRAGMENT_HEADER_BYTES = FRAGMENT_HEADER_BYTES;
module.exports.MIN_FRAGMENT_BYTES = MIN_FRAGMENT_BYTES;
module.exports.STORED_RECORD_BYTES = STORED_RECORD_BYTES;
module.exports.Kind = Kind;
module.exports.Flag = Flag;
