'use strict';

/** Element types of a SharedArray: the counterpart of those in src/shared/array.rs. */

const { makeError } = require('../core/errors');

/** Operations on numbers; the values are those used there. */
const Operation = Object.freeze({ ADD: 0, SUBTRACT: 1, AND: 2, OR: 3, XOR: 4, EXCHANGE: 5 });

/**
 * @typedef {object} ElementType
 * @property {string} name
 * @property {boolean} isNumber
 * @property {number | bigint} one
 * @property {(name: string, value: any, origin: Function) => void} check throws if the value is not a number of
 * this type
 * @property {(number: any) => any} wrap wraps a sum to the range of the type
 */

/**
 * @param {string} name
 * @param {number} min
 * @param {number} max
 * @param {(number: number) => number} wrap
 * @returns {ElementType}
 */
function integers(name, min, max, wrap) {
  return {
    name,
    isNumber: true,
    one: 1,
    check(argument, value, origin) {
      if (typeof value !== 'number') throw typeError(argument, 'a number', value, origin);
      if (Number.isInteger(value) && value >= min && value <= max) return;
      const range = `an integer >= ${min} and <= ${max}`;
      throw makeError('ERR_OUT_OF_RANGE', [argument, range, value], origin);
    },
    wrap,
  };
}

/**
 * @param {string} name
 * @param {(number: bigint) => bigint} wrap
 * @returns {ElementType}
 */
function bigints(name, wrap) {
  return {
    name,
    isNumber: true,
    one: 1n,
    check(argument, value, origin) {
      if (typeof value !== 'bigint') throw typeError(argument, 'a bigint', value, origin);
      if (wrap(value) === value) return;
      throw makeError('ERR_OUT_OF_RANGE', [argument, `what fits into ${name}`, value], origin);
    },
    wrap,
  };
}

/** In the order of their numbers in the addon. @type {readonly ElementType[]} */
const TYPES = Object.freeze([
  { name: 'value', isNumber: false, one: 1, check() {}, wrap: (number) => number },
  integers('int32', -(2 ** 31), 2 ** 31 - 1, (number) => number | 0),
  integers('uint32', 0, 2 ** 32 - 1, (number) => number >>> 0),
  {
    name: 'float64',
    isNumber: true,
    one: 1,
    check(argument, value, origin) {
      if (typeof value !== 'number') throw typeError(argument, 'a number', value, origin);
    },
    wrap: (number) => number,
  },
  bigints('bigint64', (number) => BigInt.asIntN(64, number)),
  bigints('biguint64', (number) => BigInt.asUintN(64, number)),
]);

/**
 * @param {string} argument
 * @param {string} expected
 * @param {unknown} value
 * @param {Function} origin
 */
function typeError(argument, expected, value, origin) {
  return makeError('ERR_INVALID_ARG_TYPE', [argument, expected, value], origin);
}

/**
 * Whether two numbers are equal for `compareExchange`.
 * @param {any} one
 * @param {any} other
 */
function isSame(one, other) {
  return one === other || (one !== one && other !== other);
}

module.exports.Operation = Operation;
module.exports.TYPES = TYPES;
module.exports.isSame = isSame;
