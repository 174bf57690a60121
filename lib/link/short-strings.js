'use strict';

/** Cache of strings of up to 8 ASCII characters, most of which recur: created once, found by their bytes. */

const SLOTS = 1024;
const { fromCharCode } = String;

class ShortStrings {
  constructor() {
    /** @type {string[]} */
    this.slots = new Array(SLOTS).fill('');
  }

  /**
   * @param {Uint8Array} bytes
   * @param {number} start
   * @param {number} length up to 8
   */
  read(bytes, start, length) {
    if (length === 0) return '';
    let hash = length;
    for (let i = 0; i < length; i++) hash = (Math.imul(hash, 31) + bytes[start + i]) | 0;
    const slot = (hash ^ (hash >>> 10)) & (SLOTS - 1);
    const known = this.slots[slot];
    if (known.length === length) {
      let i = 0;
      while (i < length && known.charCodeAt(i) === bytes[start + i]) i++;
      if (i === length) return known;
    }
    const made = make(bytes, start, length);
    this.slots[slot] = made;
    return made;
  }
}

/**
 * @param {Uint8Array} b
 * @param {number} at
 * @param {number} length
 */
function make(b, at, length) {
  // One call per length: fromCharCode with a fixed number of arguments allocates no array.
  switch (length) {
    case 1:
      return fromCharCode(b[at]);
    case 2:
      return fromCharCode(b[at], b[at + 1]);
    case 3:
      return fromCharCode(b[at], b[at + 1], b[at + 2]);
    case 4:
      return fromCharCode(b[at], b[at + 1], b[at + 2], b[at + 3]);
    case 5:
      return fromCharCode(b[at], b[at + 1], b[at + 2], b[at + 3], b[at + 4]);
    case 6:
      return fromCharCode(b[at], b[at + 1], b[at + 2], b[at + 3], b[at + 4], b[at + 5]);
    case 7:
      return fromCharCode(b[at], b[at + 1], b[at + 2], b[at + 3], b[at + 4], b[at + 5], b[at + 6]);
    default:
      return fromCharCode(b[at], b[at + 1], b[at + 2], b[at + 3], b[at + 4], b[at + 5], b[at + 6], b[at + 7]);
  }
}

module.exports.ShortStrings = ShortStrings;
