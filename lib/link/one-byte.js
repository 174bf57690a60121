'use strict';

/** Which texts have one byte a character: told without looking at each of them. */

const { regExpExec } = require('./intrinsics');

/**
 * V8 compiles it for texts of one byte a character, of which most are, to what finds nothing at once. Only one that is
 * kept with two is looked through.
 */
const WIDE = /[\u0100-\uffff]/;
/** Of a text so much is looked at first: one that has wide characters mostly begins with some. */
const BEGINNING = 32;

/** @param {string} text */
function isOneByte(text) {
  const end = text.length < BEGINNING ? text.length : BEGINNING;
  for (let i = 0; i < end; i++) if (text.charCodeAt(i) > 0xff) return false;
  if (regExpExec(WIDE, text) === null) return true;
  // What was matched last is kept, by the class: not the whole text.
  regExpExec(WIDE, '\u0100');
  return false;
}

module.exports.isOneByte = isOneByte;
