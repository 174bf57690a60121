'use strict';

/**
 * For values that must go through the platform's own channel although their getters have already run, which must
 * not run twice: turns what has been read into a value of its own, in which parts that only the platform can clone
 * are the originals.
 */

const { Decoder } = require('./decoder');
const { keysOf } = require('./shapes');

/**
 * Returns the value of a complete record with refused parts.
 * @param {import('./writer').Writer} encoder
 * @param {number} length length of the record
 * @param {any[]} refused refused parts, by number
 */
function materialize(encoder, length, refused) {
  const decoder = new Decoder(encoder.memory);
  // The record defines the shapes that no published record has defined; all others are known.
  const { ends, pending } = encoder.shapes;
  const known = ends.length - pending.length;
  for (let id = 0; id < known; id++) decoder.shapes.add(keysOf(ends[id]));
  decoder.refused = refused;
  // The platform copies them, as it would have anyway.
  decoder.takeLarge = (number) => encoder.larges.find((large) => large.number === number)?.buffer;
  decoder.takeStored = (number, at, size) => partOf(encoder, number, at, size);
  return decoder.decode(encoder.start, length, encoder.valueAt);
}

/**
 * @param {import('./writer').Writer} encoder
 * @param {number} number number of a block
 * @param {number} at
 * @param {number} length
 */
function partOf(encoder, number, at, length) {
  const stored = encoder.stored.find(({ block }) => block.number === number);
  if (stored === undefined) return undefined;
  const { block, buffer } = stored;
  const start = at - block.at;
  return start === 0 && length === buffer.byteLength ? buffer : buffer.slice(start, start + length);
}

module.exports.materialize = materialize;
