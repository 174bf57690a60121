'use strict';

/** Indices of the numbers at the start of a scratch memory: the counterpart of `Number` in src/shared/segment.rs. */
const LENGTH = 0;
const VERSION = 1;
const FAILURE = 2;
const EXTRA = 3;
const KIND = 4;
const KEY_LENGTH = 5;

/** Start of the bytes written by methods, start of those written by JavaScript, and their end. */
const READ_AT = 64;
const BYTES = 64 * 1024;
const WRITE_AT = READ_AT + BYTES;
const END = WRITE_AT + BYTES;
/** A short key follows, of at most this many characters. */
const KEY_AT = END;
const SHORT_KEY = 32;

module.exports.LENGTH = LENGTH;
module.exports.VERSION = VERSION;
module.exports.FAILURE = FAILURE;
module.exports.EXTRA = EXTRA;
module.exports.KIND = KIND;
module.exports.KEY_LENGTH = KEY_LENGTH;
module.exports.KEY_AT = KEY_AT;
module.exports.SHORT_KEY = SHORT_KEY;
module.exports.BYTES = BYTES;
module.exports.READ_AT = READ_AT;
module.exports.WRITE_AT = WRITE_AT;
module.exports.END = END;
