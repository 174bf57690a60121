'use strict';

/**
 * Marks that prevent objects from being cloned or transferred. Node's own functions are wrapped, because lanes have
 * to honour the marks, too; on versions without them they are implemented here.
 */

const { types } = require('node:util');
const workerThreads = /** @type {any} */ (require('node:worker_threads'));
const { marks, noticing, refuseMarked } = require('../link/uncloneable');
const { nodes } = require('./preload');

const { MessagePort } = nodes;
const markAsUncloneable = noticing(nodes.markAsUncloneable ?? refuseFromNowOn);

/** On Node versions whose cloning does not know the mark: checks the values this thread posts or clones. */
function refuseFromNowOn() {
  if (marks.any) return;
  const { postMessage } = MessagePort.prototype;
  replaceMethod(MessagePort.prototype, 'postMessage', function (/** @type {any[]} */ ...args) {
    refuseMarked(args[0]);
    return Reflect.apply(postMessage, this, args);
  });
  const { structuredClone } = globalThis;
  replaceMethod(globalThis, 'structuredClone', function (/** @type {any[]} */ ...args) {
    refuseMarked(args[0]);
    return Reflect.apply(structuredClone, this, args);
  });
}

/**
 * @param {any} object
 * @param {string} name
 * @param {(this: any, ...args: any[]) => any} value
 */
function replaceMethod(object, name, value) {
  const { enumerable, configurable } = /** @type {PropertyDescriptor} */ (
    Object.getOwnPropertyDescriptor(object, name)
  );
  Object.defineProperty(value, 'name', { value: name, configurable: true });
  Object.defineProperty(value, 'length', { value: object[name].length, configurable: true });
  Object.defineProperty(object, name, { enumerable, configurable, writable: true, value });
}

/** @type {WeakSet<object>} */
const untransferable = new WeakSet();

const nodesMarkAsUntransferable = nodes.markAsUntransferable;

/** @param {any} object */
function markAsUntransferable(object) {
  nodesMarkAsUntransferable(object);
  if (isObject(object)) untransferable.add(object);
}

/** @param {any} object */
function isMarkedAsUntransferable(object) {
  if (!isObject(object)) return false;
  if (untransferable.has(object)) return true;
  if (!types.isArrayBuffer(object) && !(object instanceof MessagePort)) return false;
  try {
    // Node skips marked objects, even if listed twice. Listing any other object twice throws, and leaves it in
    // place.
    structuredClone(undefined, { transfer: /** @type {any[]} */ ([object, object]) });
    return true;
  } catch {
    return false;
  }
}

/** @param {unknown} value */
function isObject(value) {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}

const knowsMarks = nodes.isMarkedAsUntransferable !== undefined;

/** @type {Record<string, (object: any) => any>} exports of worker_threads replaced on this version of Node */
module.exports.exports = knowsMarks
  ? { markAsUncloneable }
  : { markAsUncloneable, markAsUntransferable, isMarkedAsUntransferable };

const isNodes = typeof nodes.markAsUncloneable === 'function';

/** Throws if a value contains an object marked as uncloneable, unless Node itself refuses it. @param {any} value */
module.exports.check = (value) => {
  if (!isNodes) refuseMarked(value);
};

/** Replaces the function on the built-in module; the caller then has to call `syncBuiltinESMExports`. */
module.exports.replaceBuiltin = () => {
  if (isNodes) workerThreads.markAsUncloneable = markAsUncloneable;
};

module.exports.replaceMethod = replaceMethod;
