'use strict';

/**
 * For values that must go through the platform's own channel although their getters have already run, which must
 * not run twice: turns what has been read into a value of its own, in which parts that only the platform can clone
 * are the originals.
 */

const { Decoder } = require('./decoder');
const intrinsics = require('./intrinsics');
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
  decoder.takeLarge = (number) => largeOf(encoder, number);
  decoder.takeStored = (number, at, size) => partOf(encoder, number, at, size);
  return decoder.decode(encoder.start, length, encoder.valueAt);
}

/**
 * Returns what was read of a large buffer, which a getter may have changed since.
 * @param {import('./writer').Writer} encoder
 * @param {number} number
 * @throws DataCloneError if that is no longer known
 */
function largeOf(encoder, number) {
  const large = encoder.larges.find((each) => each.number === number);
  if (large === undefined) return undefined;
  const bytes = new Uint8Array(large.length);
  if (encoder.takeBackLarge?.(number, bytes)) return bytes.buffer;
  if (intrinsics.bufferByteLength(large.buffer) === large.length) return large.buffer;
  throw new DOMException('An ArrayBuffer is detached and could not be cloned.', 'DataCloneError');
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
