'use strict';

/**
 * Uncurried methods and getters, captured when this module was loaded: values are read by their internal slots, no
 * matter what a program has defined on its objects or on built-in prototypes.
 */

const { types } = require('node:util');

const { call } = Function.prototype;
/** @type {(method: Function) => (receiver: any, ...details: any[]) => any} */
const uncurry = /** @type {any} */ (call.bind).bind(call);

/**
 * @param {object} prototype
 * @param {PropertyKey} name
 */
function getter(prototype, name) {
  return uncurry(/** @type {any} */ (Object.getOwnPropertyDescriptor(prototype, name)).get);
}

const typedArray = Object.getPrototypeOf(Uint8Array.prototype);
const hasResizable = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'resizable') !== undefined;

/** Whether for-in visits more of a plain object than its own properties. */
function isPolluted() {
  for (const name in Object.prototype) return name !== undefined;
  return false;
}

module.exports.isPolluted = isPolluted;
module.exports.types = types;
module.exports.hasOwn = Object.hasOwn;
module.exports.isPrototype = uncurry(Object.prototype.isPrototypeOf);
module.exports.domExceptionCode = getter(DOMException.prototype, 'code');
module.exports.mapForEach = uncurry(Map.prototype.forEach);
module.exports.setForEach = uncurry(Set.prototype.forEach);
module.exports.dateValue = uncurry(Date.prototype.getTime);
module.exports.numberValue = uncurry(Number.prototype.valueOf);
module.exports.stringValue = uncurry(String.prototype.valueOf);
module.exports.booleanValue = uncurry(Boolean.prototype.valueOf);
module.exports.bigintValue = uncurry(BigInt.prototype.valueOf);
module.exports.regExpExec = uncurry(RegExp.prototype.exec);
module.exports.regExpSource = getter(RegExp.prototype, 'source');
module.exports.regExpFlags = getter(RegExp.prototype, 'flags');
module.exports.bufferByteLength = getter(ArrayBuffer.prototype, 'byteLength');
/** @type {(buffer: ArrayBuffer) => boolean} */
module.exports.bufferResizable = hasResizable ? getter(ArrayBuffer.prototype, 'resizable') : () => false;
module.exports.arrayName = getter(typedArray, Symbol.toStringTag);
module.exports.arrayBuffer = getter(typedArray, 'buffer');
module.exports.arrayByteOffset = getter(typedArray, 'byteOffset');
module.exports.arrayByteLength = getter(typedArray, 'byteLength');
module.exports.arrayLength = getter(typedArray, 'length');
module.exports.dataViewBuffer = getter(DataView.prototype, 'buffer');
module.exports.dataViewByteOffset = getter(DataView.prototype, 'byteOffset');
module.exports.dataViewByteLength = getter(DataView.prototype, 'byteLength');
