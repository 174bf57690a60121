'use strict';

/** Encodes objects other than plain objects and arrays. */

const intrinsics = require('./intrinsics');
const { isKnownPlain, isPlainClass } = require('./plain-classes');
const { Tag, VIEW_NAMES, ERROR_NAMES, ErrorPart, LARGE_LENGTH, MAX_LARGE_LENGTH } = require('./tags');
const { mayTravel, textOf } = require('./travellers');
const { UNSUPPORTED } = require('./unsupported');

/** @typedef {import('./encoder').Encoder} Encoder */

const { types, hasOwn } = intrinsics;

const VIEW_KINDS = new Map(VIEW_NAMES.map((name, kind) => [name, kind]));
const ERROR_KINDS = new Map(ERROR_NAMES.map((name, kind) => [name, kind]));
const DOM_EXCEPTION_PROTOTYPE = DOMException.prototype;
/** Bytes of an ARRAY_BUFFER before its data. */
const ARRAY_BUFFER_BYTES = 5;

/** Whether structured clone keeps the cause of an error. Older versions of V8 drop it. @type {boolean | undefined} */
let clonesCause;

/**
 * @param {Encoder} encoder
 * @param {any} object
 * @param {object | null} prototype
 */
function encodeSpecial(encoder, object, prototype) {
  if (ArrayBuffer.isView(object)) return view(encoder, object);
  const encode = BY_PROTOTYPE.get(prototype);
  if (encode !== undefined) return encode(encoder, object);
  if (prototype !== null && isKnownPlain(prototype)) {
    if (encoder.remember(object)) encoder.plain(object, true);
    return;
  }
  if (mayTravel(prototype)) return traveller(encoder, object);
  if (types.isMap(object)) return map(encoder, object);
  if (types.isSet(object)) return set(encoder, object);
  if (types.isDate(object)) return date(encoder, object);
  if (types.isNativeError(object)) return error(encoder, object);
  if (types.isRegExp(object)) return regExp(encoder, object);
  if (types.isBoxedPrimitive(object)) return boxed(encoder, object);
  if (types.isArrayBuffer(object)) return arrayBuffer(encoder, object);
  if (prototype === null || !isPlainClass(object, prototype)) return encoder.refuse(object);
  if (encoder.remember(object)) encoder.plain(object, true);
}

/**
 * @param {Encoder} encoder
 * @param {any} object
 */
function traveller(encoder, object) {
  const text = textOf(object);
  if (text === undefined) return encoder.refuse(object);
  if (!encoder.remember(object)) return;
  encoder.tag(Tag.TRAVELLER);
  encoder.string(text);
}

/**
 * @param {(encoder: Encoder, object: any) => void} encode
 * @param {(object: any) => boolean} is
 * @returns {(encoder: Encoder, object: any) => void}
 */
function checked(encode, is) {
  return (encoder, object) => {
    // An object that only inherits from the prototype and lacks its internal slots, like
    // Object.create(Map.prototype).
    if (is(object)) encode(encoder, object);
    else encoder.refuse(object);
  };
}

const BY_PROTOTYPE = new Map(
  /** @type {[object | null, (encoder: Encoder, object: any) => void][]} */ ([
    [Map.prototype, checked(map, types.isMap)],
    [Set.prototype, checked(set, types.isSet)],
    [Date.prototype, checked(date, types.isDate)],
    [RegExp.prototype, checked(regExp, types.isRegExp)],
    [ArrayBuffer.prototype, checked(arrayBuffer, types.isArrayBuffer)],
  ]),
);

/**
 * @param {Encoder} encoder
 * @param {Date} object
 */
function date(encoder, object) {
  if (encoder.remember(object)) encoder.tagWithDouble(Tag.DATE, intrinsics.dateValue(object));
}

/**
 * @param {Encoder} encoder
 * @param {Map<any, any>} object
 */
function map(encoder, object) {
  if (!encoder.remember(object)) return;
  // Copied first: getters of the values may modify the map.
  /** @type {any[]} */
  const entries = [];
  intrinsics.mapForEach(object, (/** @type {any} */ value, /** @type {any} */ key) => {
    entries.push(key, value);
  });
  encoder.tagWithCount(Tag.MAP, entries.length / 2);
  encoder.depth++;
  for (let i = 0; i < entries.length; i++) encoder.value(entries[i]);
  encoder.depth--;
}

/**
 * @param {Encoder} encoder
 * @param {Set<any>} object
 */
function set(encoder, object) {
  if (!encoder.remember(object)) return;
  /** @type {any[]} */
  const entries = [];
  intrinsics.setForEach(object, (/** @type {any} */ value) => {
    entries.push(value);
  });
  encoder.tagWithCount(Tag.SET, entries.length);
  encoder.depth++;
  for (let i = 0; i < entries.length; i++) encoder.value(entries[i]);
  encoder.depth--;
}

/**
 * @param {Encoder} encoder
 * @param {RegExp} object
 */
function regExp(encoder, object) {
  // Source and flags are read through accessors, which own properties could shadow.
  if (hasOwn(object, 'source') || hasOwn(object, 'flags')) return encoder.refuse(object);
  if (!encoder.remember(object)) return;
  encoder.tag(Tag.REGEXP);
  encoder.string(intrinsics.regExpSource(object));
  encoder.string(intrinsics.regExpFlags(object));
}

/**
 * @param {Encoder} encoder
 * @param {any} object
 */
function boxed(encoder, object) {
  let primitive;
  if (types.isNumberObject(object)) primitive = intrinsics.numberValue(object);
  else if (types.isStringObject(object)) primitive = intrinsics.stringValue(object);
  else if (types.isBooleanObject(object)) primitive = intrinsics.booleanValue(object);
  else if (types.isBigIntObject(object)) primitive = intrinsics.bigintValue(object);
  else return encoder.refuse(object);
  if (!encoder.remember(object)) return;
  encoder.tag(Tag.BOXED);
  encoder.value(primitive);
}

/**
 * @param {Encoder} encoder
 * @param {ArrayBuffer} object
 */
function arrayBuffer(encoder, object) {
  const length = intrinsics.bufferByteLength(object);
  // A detached buffer has length 0 as well; the platform tells them apart.
  if (length === 0 || intrinsics.bufferResizable(object)) {
    if (length !== 0 || !isEmptyAndAttached(object)) return referOrRefuse(encoder, object);
  }
  if (length > 0 && encoder.store !== null && encoder.store.has(object)) {
    if (!encoder.remember(object)) return;
    if (!encoder.storedBuffer(object, Tag.STORED_BUFFER, 0, 0, length)) inlineBuffer(encoder, object, length);
    return;
  }
  if (length >= encoder.besideLength) return largeBuffer(encoder, object, length);
  if (encoder.remember(object)) inlineBuffer(encoder, object, length);
}

/**
 * @param {Encoder} encoder
 * @param {ArrayBuffer} object
 * @param {number} length
 */
function largeBuffer(encoder, object, length) {
  const isLeft = encoder.putLarge === null || length > MAX_LARGE_LENGTH;
  const isRefused = length >= encoder.largeLength && encoder.isRepeatable();
  if (isLeft && isRefused) throw UNSUPPORTED;
  if (!encoder.remember(object)) return;
  const number = isLeft ? 0 : /** @type {Function} */ (encoder.putLarge)(new Uint8Array(object));
  if (number !== 0) {
    encoder.larges.push({ number, buffer: object, length });
    return encoder.tagWithCount(Tag.LARGE_BUFFER, number);
  }
  if (isRefused) throw UNSUPPORTED;
  inlineBuffer(encoder, object, length);
}

/**
 * @param {Encoder} encoder
 * @param {ArrayBuffer} object
 * @param {number} length
 */
function inlineBuffer(encoder, object, length) {
  if (length >= LARGE_LENGTH) encoder.align(ARRAY_BUFFER_BYTES);
  encoder.tagWithCount(Tag.ARRAY_BUFFER, length);
  encoder.reserve(length);
  encoder.bytes.set(new Uint8Array(object), encoder.position);
  encoder.position += length;
}

/**
 * For objects that may have been read before they were detached.
 * @param {Encoder} encoder
 * @param {object} object
 */
function referOrRefuse(encoder, object) {
  if (!encoder.refer(object)) encoder.refuse(object);
}

/** @param {ArrayBuffer} buffer a buffer of length 0 */
function isEmptyAndAttached(buffer) {
  if (intrinsics.bufferResizable(buffer)) return false;
  try {
    // Throws for a detached buffer.
    return new Uint8Array(buffer).length === 0;
  } catch {
    return false;
  }
}

/**
 * @param {Encoder} encoder
 * @param {ArrayBufferView} object
 */
function view(encoder, object) {
  const name = intrinsics.arrayName(object);
  const kind = name === undefined ? 0 : VIEW_KINDS.get(name);
  const isDataView = kind === 0;
  const buffer = isDataView ? intrinsics.dataViewBuffer(object) : intrinsics.arrayBuffer(object);
  // Views of resizable buffers may be length-tracking, which cannot be detected.
  if (kind === undefined || !types.isArrayBuffer(buffer) || intrinsics.bufferResizable(buffer)) {
    return encoder.refuse(object);
  }
  if (intrinsics.bufferByteLength(buffer) === 0 && !isEmptyAndAttached(buffer)) {
    return referOrRefuse(encoder, object);
  }
  const byteOffset = isDataView ? intrinsics.dataViewByteOffset(object) : intrinsics.arrayByteOffset(object);
  const length = isDataView ? intrinsics.dataViewByteLength(object) : intrinsics.arrayLength(object);
  if (!encoder.remember(object)) return;
  encoder.tag(Tag.VIEW);
  encoder.reserve(9);
  encoder.bytes[encoder.position] = kind;
  encoder.view.setUint32(encoder.position + 1, byteOffset, true);
  encoder.view.setUint32(encoder.position + 5, length, true);
  encoder.position += 9;
  arrayBuffer(encoder, buffer);
}

/**
 * Encodes an error as V8 clones it: the kind by its name, and message, stack and cause if they are ordinary own
 * data properties. Anything else is left to V8.
 * @param {Encoder} encoder
 * @param {any} object
 */
function error(encoder, object) {
  const message = Object.getOwnPropertyDescriptor(object, 'message');
  // Found out with the first error: a clone takes longer than loading this module.
  clonesCause ??= structuredClone(new Error('', { cause: 1 })).cause === 1;
  const cause = clonesCause ? Object.getOwnPropertyDescriptor(object, 'cause') : undefined;
  if (isDomException(object, message === undefined)) return encoder.refuse(object);
  const { name } = object;
  const { stack } = object;
  const usual =
    typeof name === 'string' &&
    typeof stack === 'string' &&
    (message === undefined || typeof message.value === 'string') &&
    (cause === undefined || hasOwn(cause, 'value'));
  if (!usual) return encoder.refuse(object);
  if (!encoder.remember(object)) return;
  encoder.tag(Tag.ERROR);
  encoder.reserve(2);
  encoder.bytes[encoder.position++] = ERROR_KINDS.get(name) ?? 0;
  encoder.bytes[encoder.position++] =
    ErrorPart.STACK |
    (message === undefined ? 0 : ErrorPart.MESSAGE) |
    (cause === undefined ? 0 : ErrorPart.CAUSE);
  if (message !== undefined) encoder.string(message.value);
  encoder.string(stack);
  if (cause === undefined) return;
  encoder.depth++;
  encoder.value(cause.value);
  encoder.depth--;
}

/**
 * Whether an error is a DOMException, which is a native error in newer versions of Node and cloned as its own class.
 * @param {object} object
 * @param {boolean} isBare whether it has no message of its own, as a DOMException whose prototype was replaced
 */
function isDomException(object, isBare) {
  if (intrinsics.isPrototype(DOM_EXCEPTION_PROTOTYPE, object)) return true;
  if (!isBare) return false;
  try {
    // Throws for any other object.
    intrinsics.domExceptionCode(object);
    return true;
  } catch {
    return false;
  }
}

module.exports.encodeSpecial = encodeSpecial;
