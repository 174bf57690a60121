'use strict';

/** How shared objects are opened: the options common to all of them, and their handles. */

const { requireAddon } = require('../core/addon');
const { makeError } = require('../core/errors');
const { OptionNames } = require('../core/option-names');
const { STAND_IN, letTravel, partsOf } = require('../link/travellers');
const { releaseSentLater } = require('./arrivals');

/**
 * @typedef {import('../native/index').SegmentSource} SegmentSource
 * @typedef {{ create?: boolean | 'exclusive', scope?: 'host' | 'process' }} OpenOptions
 */

/** Prefix of a handle, which has the kind of object before the handle of the segment. */
const HANDLE = /^manycore:([a-z]+):(.+)$/s;
const NAME = /^[A-Za-z0-9_\-:@][A-Za-z0-9._\-:@]*$/;
const MAX_NAME_LENGTH = 200;
/** Key of the method that returns an object's handle. */
const kHandleOf = Symbol('handleOf');

/** Location of a segment, passed to constructors by `open` and `from`. */
class Place {
  /**
   * @param {SegmentSource} source
   * @param {string} subject name of the object in errors
   */
  constructor(source, subject) {
    this.source = source;
    this.subject = subject;
  }
}

/**
 * Returns the place for a name.
 * @param {unknown} name
 * @param {any} options
 * @param {Function} origin
 * @param {string} [argument] argument that holds the name, for errors
 */
function named(name, options, origin, argument = 'name') {
  if (typeof name !== 'string') throw makeError('ERR_INVALID_ARG_TYPE', [argument, 'a string', name], origin);
  if (!NAME.test(name) || name.length > MAX_NAME_LENGTH) {
    const reason = `must have 1 to ${MAX_NAME_LENGTH} letters, digits and any of . _ - : @, not a dot first`;
    throw makeError('ERR_INVALID_ARG_VALUE', [argument, name, reason], origin);
  }
  const { create = true, scope = 'host' } = checkOptions(options, origin);
  if (create !== 'exclusive' && typeof create !== 'boolean') {
    throw makeError(
      'ERR_INVALID_ARG_VALUE',
      ['options.create', create, "must be a boolean or 'exclusive'"],
      origin,
    );
  }
  if (scope !== 'host' && scope !== 'process') {
    throw makeError('ERR_INVALID_ARG_VALUE', ['options.scope', scope, "must be 'host' or 'process'"], origin);
  }
  const mode = create === 'exclusive' ? 2 : Number(create);
  return new Place({ name, ofProcess: scope === 'process', create: mode }, name);
}

/**
 * Returns the place for a handle, or for an object that has one.
 * @param {unknown} handle
 * @param {string} kind
 * @param {Function} origin
 */
function handed(handle, kind, origin) {
  const text = textOf(handle);
  const match = typeof text === 'string' ? HANDLE.exec(text) : null;
  if (match === null) {
    throw makeError('ERR_INVALID_ARG_TYPE', ['handle', 'the handle of a shared object', handle], origin);
  }
  if (match[1] !== kind) {
    throw makeError('ERR_MANYCORE_SEGMENT_KIND', [text, `the segment holds a ${match[1]}`], origin);
  }
  return new Place({ handle: match[2] }, text);
}

/** The place of an anonymous object. */
const NOWHERE = new Place({}, 'anonymous');

/**
 * Returns the text of a handle given as such, as an object, or as a stand-in.
 * @param {unknown} handle
 */
function textOf(handle) {
  if (typeof handle !== 'object' || handle === null) return handle;
  const standIn = partsOf(/** @type {any} */ (handle)[STAND_IN]);
  return standIn === undefined
    ? /** @type {any} */ (handle).handle
    : `manycore:${standIn.kind}:${standIn.place}`;
}

/**
 * One getter for all objects: with separate ones, each object would get a hidden class of its own, which makes its
 * methods slow.
 */
const HANDLE_PROPERTY = {
  configurable: true,
  /** @this {any} */
  get() {
    return this[kHandleOf]();
  },
};

/**
 * Defines the handle of an object, and lets the object travel by reference.
 * @param {object} object
 * @param {string} kind
 * @param {(form: 'handle' | 'travelHandle') => string} handleOf
 */
function defineHandle(object, kind, handleOf) {
  Object.defineProperty(object, kHandleOf, { value: () => `manycore:${kind}:${handleOf('handle')}` });
  Object.defineProperty(object, 'handle', HANDLE_PROPERTY);
  letTravel(object, kind, () => {
    releaseSentLater();
    return handleOf('travelHandle');
  });
}

/**
 * The options of the constructor and of `open` of a class.
 * @param {string} owner
 * @param {string[]} names
 */
function optionNames(owner, ...names) {
  return new OptionNames(owner, [...names, 'create', 'scope']);
}

/**
 * @param {any} options
 * @param {Function} origin
 * @param {OptionNames} [names]
 */
function checkOptions(options, origin, names) {
  if (options === undefined) return {};
  if (typeof options !== 'object' || options === null) {
    throw makeError('ERR_INVALID_ARG_TYPE', ['options', 'an object', options], origin);
  }
  names?.check(options);
  return options;
}

/**
 * Validates a number among the options. It is required if the fallback is NaN.
 * @param {string} name
 * @param {unknown} value
 * @param {{ fallback: number, min: number, max: number, integer?: boolean, origin: Function }} rules
 * @returns {number}
 */
function numberOption(name, value, { fallback, min, max, integer = true, origin }) {
  if (value === undefined && !Number.isNaN(fallback)) return fallback;
  if (typeof value !== 'number') throw makeError('ERR_INVALID_ARG_TYPE', [name, 'a number', value], origin);
  if (!(value >= min && value <= max) || (integer && !Number.isInteger(value))) {
    const least = min === Number.MIN_VALUE ? '> 0' : `>= ${min}`;
    const range = `${integer ? 'an integer' : 'a number'} ${least} and <= ${max}`;
    throw makeError('ERR_OUT_OF_RANGE', [name, range, value], origin);
  }
  return value;
}

/**
 * Validates the expected version of an entry or element.
 * @param {unknown} version
 * @param {Function} origin
 */
function versionArgument(version, origin) {
  numberOption('version', version, { fallback: NaN, min: 0, max: Number.MAX_SAFE_INTEGER, origin });
}

/** @param {string} name */
function addonFor(name) {
  return requireAddon(name);
}

module.exports.Place = Place;
module.exports.NOWHERE = NOWHERE;
module.exports.named = named;
module.exports.handed = handed;
module.exports.defineHandle = defineHandle;
module.exports.optionNames = optionNames;
module.exports.checkOptions = checkOptions;
module.exports.numberOption = numberOption;
module.exports.versionArgument = versionArgument;
module.exports.addonFor = addonFor;
