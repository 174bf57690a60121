'use strict';

/** Decodes everything except primitives, plain objects with a shape, and dense arrays. */

const { Buffer } = require('node:buffer');
const { Tag, BUFFER_KIND, VIEW_NAMES, ERROR_NAMES, ErrorPart } = require('./tags');
const { arrive, reviveAll } = require('./travellers');

/** @typedef {import('./decoder').Decoder} Decoder */

/** Arrays up to this length are preallocated; longer ones are sparse. */
const DENSE_LENGTH = 1024;
const MAX_ARRAY_LENGTH = 0xffffffff;

/** @type {any} */
const scope = globalThis;
/** @type {any[]} undefined if this version of V8 has no such view */
const VIEW_CONSTRUCTORS = VIEW_NAMES.map((name) => scope[name]);
/** @type {ErrorConstructor[]} */
const ERROR_CONSTRUCTORS = ERROR_NAMES.map((name) => scope[name]);

/**
 * @param {Decoder} decoder positioned after the tag
 * @param {number} tag
 * @param {object} corrupt thrown for invalid data
 * @returns {any}
 */
function readSpecial(decoder, tag, corrupt) {
  switch (tag) {
    case Tag.REFERENCE:
      return reference(decoder, corrupt);
    case Tag.DATE:
      decoder.need(8);
      decoder.position += 8;
      return remember(decoder, new Date(decoder.view.getFloat64(decoder.position - 8, true)));
    case Tag.MAP:
      return map(decoder);
    case Tag.SET:
      return set(decoder);
    case Tag.BIGINT64:
      decoder.need(8);
      decoder.position += 8;
      return decoder.view.getBigInt64(decoder.position - 8, true);
    case Tag.BIGINT:
      return bigint(decoder, corrupt);
    case Tag.ARRAY_BUFFER:
      return arrayBuffer(decoder);
    case Tag.LARGE_BUFFER:
      return largeBuffer(decoder, corrupt);
    case Tag.REFUSED:
      return refused(decoder, corrupt);
    case Tag.TRAVELLER: {
      const object = arrive(decoder.value());
      if (object === undefined) throw corrupt;
      return remember(decoder, object);
    }
    case Tag.VIEW:
      return view(decoder, corrupt);
    case Tag.OWN_VIEW:
      return ownView(decoder, corrupt);
    case Tag.STORED_BUFFER:
      return remember(decoder, storedBuffer(decoder, corrupt));
    case Tag.STORED_VIEW:
      return storedView(decoder, corrupt);
    case Tag.JSON_TEXT:
      return jsonText(decoder, corrupt);
    case Tag.PADDED:
      return padded(decoder);
    case Tag.REGEXP:
      return regExp(decoder, corrupt);
    case Tag.ERROR:
      return error(decoder, corrupt);
    case Tag.BOXED:
      return boxed(decoder, corrupt);
    case Tag.ARRAY_KEYED:
      return keyedArray(decoder);
    case Tag.DICTIONARY:
      return dictionary(decoder);
    case Tag.OBJECT_AND_MORE: {
      const object = decoder.shapes.read();
      decoder.pairs(object, decoder.count(2));
      return object;
    }
    default:
      throw corrupt;
  }
}

/**
 * @param {Decoder} decoder
 * @param {any} object
 */
function remember(decoder, object) {
  if (decoder.hasReferences) decoder.references.push(object);
  return object;
}

/**
 * @param {Decoder} decoder
 * @param {object} corrupt
 */
function reference(decoder, corrupt) {
  const object = decoder.references[number(decoder)];
  // The reserved place of an object that does not exist yet is undefined as well.
  if (object === undefined) throw corrupt;
  return object;
}

/** @param {Decoder} decoder */
function map(decoder) {
  const count = decoder.count(2);
  const object = remember(decoder, new Map());
  for (let i = 0; i < count; i++) {
    const key = decoder.value();
    object.set(key, decoder.value());
  }
  return object;
}

/** @param {Decoder} decoder */
function set(decoder) {
  const count = decoder.count(1);
  const object = remember(decoder, new Set());
  for (let i = 0; i < count; i++) object.add(decoder.value());
  return object;
}

/**
 * @param {Decoder} decoder
 * @param {object} corrupt
 */
function bigint(decoder, corrupt) {
  const negative = decoder.bytes[decoder.position++] === 1;
  const digits = decoder.longString();
  if (!/^[0-9a-f]+$/.test(digits)) throw corrupt;
  const value = BigInt(`0x${digits}`);
  return negative ? -value : value;
}

/** @param {Decoder} decoder */
function arrayBuffer(decoder) {
  return remember(decoder, decoder.ownBytes(decoder.count(1)).buffer);
}

/**
 * @param {Decoder} decoder
 * @param {object} corrupt
 */
function jsonText(decoder, corrupt) {
  const text = decoder.value();
  if (typeof text !== 'string') throw corrupt;
  try {
    return reviveAll(JSON.parse(text));
  } catch {
    throw corrupt;
  }
}

/** @param {Decoder} decoder */
function padded(decoder) {
  decoder.need(1);
  decoder.position += 1 + decoder.bytes[decoder.position];
  decoder.need(1);
  return decoder.value();
}

/** @param {Decoder} decoder */
function number(decoder) {
  decoder.need(4);
  decoder.position += 4;
  return decoder.view.getUint32(decoder.position - 4, true);
}

/**
 * @param {Decoder} decoder
 * @param {object} corrupt
 */
function largeBuffer(decoder, corrupt) {
  const buffer = decoder.takeLarge(number(decoder));
  if (buffer === undefined) throw corrupt;
  return remember(decoder, buffer);
}

/**
 * @param {Decoder} decoder
 * @param {object} corrupt
 */
function refused(decoder, corrupt) {
  const read = number(decoder);
  const at = read >>> 1;
  if (at >= decoder.refused.length) throw corrupt;
  return (read & 1) === 1 ? remember(decoder, decoder.refused[at]) : decoder.refused[at];
}

/**
 * @param {Decoder} decoder
 * @param {object} corrupt
 */
function view(decoder, corrupt) {
  decoder.need(9);
  const View = VIEW_CONSTRUCTORS[decoder.bytes[decoder.position]];
  const byteOffset = decoder.view.getUint32(decoder.position + 1, true);
  const length = decoder.view.getUint32(decoder.position + 5, true);
  decoder.position += 9;
  if (View === undefined) throw corrupt;
  const place = decoder.references.length;
  if (decoder.hasReferences) decoder.references.push(undefined);
  const buffer = decoder.value();
  if (!(buffer instanceof ArrayBuffer)) throw corrupt;
  const bytes = length * (View.BYTES_PER_ELEMENT ?? 1);
  if (byteOffset % (View.BYTES_PER_ELEMENT ?? 1) !== 0 || byteOffset + bytes > buffer.byteLength) {
    throw corrupt;
  }
  const object = new View(buffer, byteOffset, length);
  if (decoder.hasReferences) decoder.references[place] = object;
  return object;
}

/**
 * @param {Decoder} decoder
 * @param {object} corrupt
 * @returns {ArrayBuffer}
 */
function storedBuffer(decoder, corrupt) {
  decoder.need(9);
  const { position } = decoder;
  const at = decoder.view.getUint32(position + 1, true);
  const length = decoder.view.getUint32(position + 5, true);
  decoder.position = position + 9;
  const buffer = decoder.takeStored(decoder.bytes[position], at, length);
  if (buffer === undefined) throw corrupt;
  return buffer;
}

/**
 * @param {Decoder} decoder
 * @param {object} corrupt
 */
function storedView(decoder, corrupt) {
  decoder.need(10);
  const kind = decoder.bytes[decoder.position++];
  return wholeView(decoder, kind, Buffer.from(storedBuffer(decoder, corrupt)), corrupt);
}

/**
 * @param {Decoder} decoder
 * @param {object} corrupt
 */
function ownView(decoder, corrupt) {
  decoder.need(5);
  const kind = decoder.bytes[decoder.position++];
  return wholeView(decoder, kind, decoder.ownBytes(decoder.count(1)), corrupt);
}

/**
 * Returns a view of a kind over the ArrayBuffer of a Buffer that covers all of it.
 * @param {Decoder} decoder
 * @param {number} kind
 * @param {Buffer} bytes
 * @param {object} corrupt
 */
function wholeView(decoder, kind, bytes, corrupt) {
  if (kind === BUFFER_KIND) return remember(decoder, bytes);
  const View = VIEW_CONSTRUCTORS[kind];
  const each = View?.BYTES_PER_ELEMENT ?? 1;
  if (View === undefined || bytes.length % each !== 0) throw corrupt;
  return remember(decoder, new View(bytes.buffer, 0, bytes.length / each));
}

/**
 * @param {Decoder} decoder
 * @param {object} corrupt
 */
function regExp(decoder, corrupt) {
  const source = decoder.value();
  const flags = decoder.value();
  if (typeof source !== 'string' || typeof flags !== 'string') throw corrupt;
  try {
    return remember(decoder, new RegExp(source, flags));
  } catch {
    throw corrupt;
  }
}

/**
 * @param {Decoder} decoder
 * @param {object} corrupt
 */
function error(decoder, corrupt) {
  decoder.need(2);
  const Constructor = ERROR_CONSTRUCTORS[decoder.bytes[decoder.position]];
  const parts = decoder.bytes[decoder.position + 1];
  decoder.position += 2;
  if (Constructor === undefined) throw corrupt;
  const place = decoder.references.length;
  if (decoder.hasReferences) decoder.references.push(undefined);
  const message = (parts & ErrorPart.MESSAGE) !== 0 ? decoder.value() : undefined;
  const stack = (parts & ErrorPart.STACK) !== 0 ? decoder.value() : undefined;
  if (
    (message !== undefined && typeof message !== 'string') ||
    (stack !== undefined && typeof stack !== 'string')
  ) {
    throw corrupt;
  }
  const object = withoutStack(Constructor, message);
  // `stack` is an own property set by the engine; an accessor in newer versions.
  if (Object.hasOwn(object, 'stack')) object.stack = stack;
  else hide(object, 'stack', stack);
  if (decoder.hasReferences) decoder.references[place] = object;
  if ((parts & ErrorPart.CAUSE) !== 0) hide(object, 'cause', decoder.value());
  return object;
}

/**
 * Creates an error without capturing a stack trace.
 * @param {ErrorConstructor} Constructor
 * @param {string | undefined} message
 */
function withoutStack(Constructor, message) {
  const limit = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit');
  const canLimit = limit?.writable === true;
  if (canLimit) Error.stackTraceLimit = 0;
  try {
    return message === undefined ? new Constructor() : new Constructor(message);
  } finally {
    if (canLimit) Error.stackTraceLimit = limit.value;
  }
}

/**
 * @param {object} object
 * @param {string} name
 * @param {any} value
 */
function hide(object, name, value) {
  Object.defineProperty(object, name, { value, writable: true, enumerable: false, configurable: true });
}

/**
 * @param {Decoder} decoder
 * @param {object} corrupt
 */
function boxed(decoder, corrupt) {
  const place = decoder.references.length;
  if (decoder.hasReferences) decoder.references.push(undefined);
  const primitive = decoder.value();
  if (primitive === null || primitive === undefined || typeof primitive === 'object') throw corrupt;
  const object = Object(primitive);
  if (decoder.hasReferences) decoder.references[place] = object;
  return object;
}

/** @param {Decoder} decoder */
function keyedArray(decoder) {
  decoder.need(4);
  const length = decoder.view.getUint32(decoder.position, true);
  decoder.position += 4;
  const count = decoder.count(2);
  const array = remember(decoder, arrayOfLength(length));
  decoder.pairs(array, count);
  array.length = length;
  return array;
}

/**
 * Returns an array of a length that need not match its number of elements; no storage is allocated for long ones.
 * @param {number} length
 */
function arrayOfLength(length) {
  if (length <= DENSE_LENGTH) return new Array(length);
  /** @type {any[]} */
  const array = [];
  // Setting an element far beyond the end makes the array sparse; the length stays when it is deleted.
  array[Math.min(length, MAX_ARRAY_LENGTH) - 1] = undefined;
  delete array[length - 1];
  return array;
}

/** @param {Decoder} decoder */
function dictionary(decoder) {
  const count = decoder.count(2);
  const object = remember(decoder, {});
  decoder.pairs(object, count);
  return object;
}

module.exports.arrayOfLength = arrayOfLength;
module.exports.readSpecial = readSpecial;
