'use strict';

/** First byte of an encoded value. Bytes below 0x80 are the numbers 0 to 127. */
const Tag = Object.freeze({
  NULL: 0x80,
  UNDEFINED: 0x81,
  TRUE: 0x82,
  FALSE: 0x83,
  /** i32 */
  INT32: 0x84,
  /** f64 */
  FLOAT64: 0x85,
  /** A missing element of an array. */
  HOLE: 0x86,
  /** u32: number of an object encountered before, in the order of first encounter */
  REFERENCE: 0x87,
  /** u32 length, characters of one byte */
  STRING_ONE_BYTE: 0x88,
  /** u32 length in bytes, characters of two bytes */
  STRING_TWO_BYTE: 0x89,
  /** u16 length: the next characters of the bundle */
  STRING_BUNDLED: 0x8a,
  /** u32 length, elements */
  ARRAY: 0x8b,
  /** u32 length, u32 count, key-value pairs: sparse, or with named properties */
  ARRAY_KEYED: 0x8c,
  /** u32 count, key-value pairs */
  DICTIONARY: 0x8d,
  /** f64 */
  DATE: 0x8e,
  /** u32 count, key-value pairs */
  MAP: 0x8f,
  /** u32 count, values */
  SET: 0x90,
  /** i64 */
  BIGINT64: 0x91,
  /** u8 1 if negative, string of hexadecimal digits */
  BIGINT: 0x92,
  /** u32 length, bytes */
  ARRAY_BUFFER: 0x93,
  /** u8 kind of view, u32 offset in bytes, u32 length in elements, the buffer */
  VIEW: 0x94,
  /** two strings: source and flags */
  REGEXP: 0x95,
  /** u8 kind of error, u8 parts, message, stack, cause */
  ERROR: 0x96,
  /** the primitive */
  BOXED: 0x97,
  /** u8 kind of view, u32 length in bytes, bytes: a view with its own buffer */
  OWN_VIEW: 0x98,
  /** u32: number of an ArrayBuffer whose bytes are beside the ring */
  LARGE_BUFFER: 0x99,
  /**
   * u32: a part that only the platform can clone: twice its number, plus 1 if it counts as an object encountered;
   * only in records that are not sent
   */
  REFUSED: 0x9a,
  /** a string: an object that travels by reference, see `travellers` */
  TRAVELLER: 0x9b,
  /** u8 count, that many bytes of padding, a value: aligns large data to a multiple of 8 */
  PADDED: 0x9c,
  /** a string: a value as JSON text */
  JSON_TEXT: 0x9d,
  /** u8 number of a block of the store, u32 offset there, u32 length: an ArrayBuffer */
  STORED_BUFFER: 0x9e,
  /** u8 kind of view, then like STORED_BUFFER: a view with its own buffer */
  STORED_VIEW: 0x9f,
  /** | length, up to 8: ASCII characters */
  SHORT_STRING: 0xa0,
  /** | length, up to 15: the next characters of the bundle */
  SHORT_BUNDLED: 0xb0,
  /** | length, up to 15: elements */
  SHORT_ARRAY: 0xc0,
  /** u16 shape number, values in the order of its keys */
  OBJECT: 0xd0,
  /** Like OBJECT, then u32 count, key-value pairs */
  OBJECT_AND_MORE: 0xd1,
});

/** Strings up to this length are written in place. */
const INLINE_STRING_LENGTH = 8;
/** Strings up to this length go into the bundle of their record. */
const BUNDLED_STRING_LENGTH = 2048;
/**
 * Between threads, buffers from this length on go beside the ring, and strings are left to the platform, which
 * copies them once less. Neither displaces everything else from the ring.
 */
const LARGE_LENGTH = 128 * 1024;
/** Buffers from this length on go beside the lanes of threads: they are then copied once instead of twice. */
const BESIDE_LENGTH = 16 * 1024;
/** Buffers longer than this are left to the platform. */
const MAX_LARGE_LENGTH = 1024 * 1024 * 1024;
/** Values nested deeper are left to the platform, which does not use the JavaScript stack. */
const MAX_DEPTH = 512;

/** Kinds of views; the index is used in VIEW. Append only. */
const VIEW_NAMES = Object.freeze([
  'DataView',
  'Int8Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
  'Float16Array',
]);

/** In an OWN_VIEW: Node's Buffer. */
const BUFFER_KIND = 0xff;

/** Kinds of errors; the index is used in ERROR. Append only. */
const ERROR_NAMES = Object.freeze([
  'Error',
  'EvalError',
  'RangeError',
  'ReferenceError',
  'SyntaxError',
  'TypeError',
  'URIError',
]);

/** Bit flags of the parts that an ERROR has. */
const ErrorPart = Object.freeze({ MESSAGE: 1, STACK: 2, CAUSE: 4 });

module.exports.Tag = Tag;
module.exports.INLINE_STRING_LENGTH = INLINE_STRING_LENGTH;
module.exports.BUNDLED_STRING_LENGTH = BUNDLED_STRING_LENGTH;
module.exports.BESIDE_LENGTH = BESIDE_LENGTH;
module.exports.LARGE_LENGTH = LARGE_LENGTH;
module.exports.MAX_LARGE_LENGTH = MAX_LARGE_LENGTH;
module.exports.MAX_DEPTH = MAX_DEPTH;
module.exports.VIEW_NAMES = VIEW_NAMES;
module.exports.BUFFER_KIND = BUFFER_KIND;
module.exports.ERROR_NAMES = ERROR_NAMES;
module.exports.ErrorPart = ErrorPart;
