'use strict';

/**
 * How a lane lies in shared memory: the twin of `crates/core/src/ring/control.rs`, which documents the words.
 * A test compares the two.
 */

/** Indices of the control words in an Int32Array over the lane. */
const HEAD = 0;
const TAIL = 128 / 4;
const ASLEEP = 256 / 4;
const OVERFLOWED = 384 / 4;
const TAKEN = 512 / 4;
const CLOSED = 640 / 4;
const WAITING = 768 / 4;

/**
 * A record: u32 length in bytes (a multiple of 8, header included), u8 kind, u8 flags, u16 unused,
 * u32 offset of the tables from the record's start (0: none), then the payload.
 */
const HEADER_BYTES = 12;

/** What a record is. */
const Kind = Object.freeze({
  /** The payload is an encoded value. */
  VALUE: 1,
  /** The next message on the platform's own channel belongs here. */
  MARKER: 2,
  /** As MARKER, but the message must be delivered by the platform: it carries ports. */
  MARKER_WITH_PORTS: 3,
  /** The ring is full: go on with the records of the overflow. */
  OVERFLOW: 4,
  /** In the overflow: go on with the ring. */
  RETURN: 5,
  /** The other direction may use its lane: somebody listens. */
  READY: 6,
  /** The sender uses the platform's own channel from here on. */
  END: 7,
  /** Nothing: the sender goes on at the start of the ring. */
  SKIP: 8,
  /** A part of a record that is larger than the ring should be filled with: u32 length of the whole, the bytes. */
  FRAGMENT: 9,
  /** The value of the next VALUE is the platform's own serialization of the message. */
  SERIALIZED: 10,
  /** Of requests and answers: what it is instead of the unused u16, then i32 its number, then an encoded value. */
  CALL: 11,
});

/** Bytes of a record without payload. */
const BARE_RECORD_BYTES = 16;

/** Where the value of a CALL starts. */
const CALL_HEADER_BYTES = HEADER_BYTES + 4;

/** Where the bytes of a FRAGMENT start. */
const FRAGMENT_HEADER_BYTES = 16;

/** Flags of a VALUE record. */
const Flag = Object.freeze({
  /** Some object occurs more than once in the value. */
  REFERENCES: 1,
  /** The tables begin with a bundle of one-byte strings. */
  BUNDLE_ONE_BYTE: 2,
  /** The tables begin with a bundle of two-byte strings. */
  BUNDLE_TWO_BYTE: 4,
  /** The tables end with definitions of shapes. */
  SHAPES: 8,
});

module.exports.HEAD = HEAD;
module.exports.TAIL = TAIL;
module.exports.ASLEEP = ASLEEP;
module.exports.OVERFLOWED = OVERFLOWED;
module.exports.TAKEN = TAKEN;
module.exports.CLOSED = CLOSED;
module.exports.WAITING = WAITING;
module.exports.HEADER_BYTES = HEADER_BYTES;
module.exports.BARE_RECORD_BYTES = BARE_RECORD_BYTES;
module.exports.CALL_HEADER_BYTES = CALL_HEADER_BYTES;
module.exports.FRAGMENT_HEADER_BYTES = FRAGMENT_HEADER_BYTES;
module.exports.Kind = Kind;
module.exports.Flag = Flag;
