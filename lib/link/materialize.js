'use strict';

/**
 * Values that the platform's own channel must carry although reading them has run getters already, which must not
 * run twice: what was read of them is made into a value of its own, with the parts in it that only the platform can
 * clone as they are.
 */

const { Decoder } = require('./decoder');
const { keysOf } = require('./shapes');

/**
 * What a complete record with refused parts stands for.
 * @param {import('./writer').Writer} encoder
 * @param {number} length of the record
 * @param {any[]} refused parts, by their number in it
 */
function materialize(encoder, length, refused) {
  const decoder = new Decoder(encoder.memory);
  // The record defines what no published record has defined; all others are known.
  const { ends, pending } = encoder.shapes;
  const known = ends.length - pending.length;
  for (let id = 0; id < known; id++) decoder.shapes.add(keysOf(ends[id]));
  decoder.refused = refused;
  // The platform copies them, as it would have.
  decoder.takeLarge = (number) => encoder.larges.find((large) => large.number === number)?.buffer;
  return decoder.decode(encoder.start, length, encoder.valueAt);
}

module.exports.materialize = materialize;
