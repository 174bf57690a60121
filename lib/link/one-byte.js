'use strict';

/** Detects strings with one byte per character, without looking at each character in JavaScript. */

const { regExpExec } = require('./intrinsics');

/**
 * For strings stored with one byte per character, as most are, V8 compiles this to a match that fails immediately.
 * Only strings stored with two bytes are scanned.
 */
const WIDE = /[\u0100-\uffff]/;
/** Number of characters checked first: a string with wide characters usually has some at the start. */
const BEGINNING = 32;

/** @param {string} text */
function isOneByte(text) {
  const end = text.length < BEGINNING ? text.length : BEGINNING;
  for (let i = 0; i < end; i++) if (text.charCodeAt(i) > 0xff) return false;
  if (regExpExec(WIDE, text) === null) return true;
  // RegExp keeps the last matched string alive; this replaces it.
  regExpExec(WIDE, '\u0100');
  return false;
}

module.exports.isOneByte = isOneByte;
