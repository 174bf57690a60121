'use strict';

/** Validates constructor options of a SharedArray, and its indices. */

const { TYPES } = require('./array-numbers');
const { noElement } = require('./failures');
const scratch = require('./scratch');
const source = require('./source');
const { makeError } = require('../core/errors');

const OPTIONS = source.optionNames('SharedArray', 'type', 'length', 'capacity', 'valueBytes');
const MAX_CAPACITY = 2 ** 32;
const DEFAULT_VALUE_BYTES = 128;
const MAX_VALUE_BYTES = scratch.BYTES;

/**
 * @param {any} options
 * @param {import('./source').Place} place
 * @param {Function} origin
 */
function readOptions(options, place, origin) {
  const given = source.checkOptions(options, origin, OPTIONS);
  const { type = 'value', length = 0, capacity, valueBytes } = given;
  const of = TYPES.findIndex(({ name }) => name === type);
  if (of < 0) {
    const names = TYPES.map(({ name }) => `'${name}'`).join(', ');
    throw makeError('ERR_INVALID_ARG_VALUE', ['options.type', type, `must be one of ${names}`], origin);
  }
  const number = source.numberOption;
  const begins = number('options.length', length, { fallback: 0, min: 0, max: MAX_CAPACITY, origin });
  // Without a capacity, only an existing array can be opened.
  const opens = place.source.handle !== undefined || place.source.create === 0;
  if (capacity === undefined && begins === 0 && !opens) {
    throw makeError('ERR_INVALID_ARG_TYPE', ['options.capacity', 'a number', capacity], origin);
  }
  const room = { fallback: Math.max(1, begins), min: Math.max(1, begins), max: MAX_CAPACITY, origin };
  const bytes = { fallback: DEFAULT_VALUE_BYTES, min: 8, max: MAX_VALUE_BYTES, origin };
  return {
    of,
    length: begins,
    capacity: number('options.capacity', capacity, room),
    valueBytes: number('options.valueBytes', valueBytes, bytes),
  };
}

/**
 * @param {number} index
 * @param {Function} origin
 */
function checkIndex(index, origin) {
  if (typeof index !== 'number') {
    throw makeError('ERR_INVALID_ARG_TYPE', ['index', 'a number', index], origin);
  }
  if (!Number.isInteger(index) || index < 0) throw noElement(index, origin);
  return index;
}

module.exports.checkIndex = checkIndex;
module.exports.readOptions = readOptions;
