'use strict';

/**
 * Copies buffers and views that are part of a value before the rest of it is read, as structured clone would: getters
 * that are yet to run may resize or detach them.
 */

const intrinsics = require('./intrinsics');
const { VIEW_NAMES } = require('./tags');

const { types } = intrinsics;
/** Captured before programs can replace them. @type {Map<string, any>} */
const VIEWS = new Map(VIEW_NAMES.map((name) => [name, /** @type {any} */ (globalThis)[name]]));
const cloneWhole = structuredClone;
const fill = Function.prototype.call.bind(Object.getPrototypeOf(Uint8Array.prototype).fill);

/**
 * Returns a copy of a buffer or view; the part itself if it is neither, or cannot be copied.
 * @template {object} T
 * @param {T} part
 * @param {Map<object, object>} copies the copies made of parts of this value
 * @returns {T}
 */
function snapshotOf(part, copies) {
  const known = copies.get(part);
  if (known !== undefined) return /** @type {T} */ (known);
  let copy;
  try {
    copy = types.isArrayBuffer(part) ? cloneWhole(part) : copyOfView(part, copies);
  } catch {
    // It is detached, or out of bounds.
    return part;
  }
  if (copy === undefined) return part;
  copies.set(part, copy);
  return /** @type {T} */ (copy);
}

/**
 * @param {any} part
 * @param {Map<object, object>} copies
 */
function copyOfView(part, copies) {
  if (!ArrayBuffer.isView(part)) return undefined;
  const name = intrinsics.arrayName(part) ?? 'DataView';
  const isDataView = name === 'DataView';
  const View = VIEWS.get(name);
  const buffer = isDataView ? intrinsics.dataViewBuffer(part) : intrinsics.arrayBuffer(part);
  if (View === undefined || !types.isArrayBuffer(buffer)) return undefined;
  const copy = snapshotOf(buffer, copies);
  if (copy === buffer) return undefined;
  const offset = isDataView ? intrinsics.dataViewByteOffset(part) : intrinsics.arrayByteOffset(part);
  const length = isDataView ? intrinsics.dataViewByteLength(part) : intrinsics.arrayLength(part);
  if (intrinsics.bufferResizable(buffer) && isTracking(part, offset, isDataView)) {
    return new View(copy, offset);
  }
  return new View(copy, offset, length);
}

/**
 * Whether the length of a view follows that of its buffer.
 * @param {any} view a view of a resizable buffer
 * @param {number} offset its offset in bytes
 * @param {boolean} isDataView
 */
function isTracking(view, offset, isDataView) {
  const clone = cloneWhole(view);
  const buffer = isDataView ? intrinsics.dataViewBuffer(clone) : intrinsics.arrayBuffer(clone);
  const lengthOf = () => (isDataView ? intrinsics.dataViewByteLength(clone) : intrinsics.arrayLength(clone));
  const before = lengthOf();
  if (before === 0) {
    buffer.resize(buffer.maxByteLength);
    return lengthOf() !== 0;
  }
  // Nothing is left behind the offset: any other view is out of bounds then.
  buffer.resize(offset);
  try {
    if (isDataView) lengthOf();
    else fill(clone, 0);
    return true;
  } catch {
    return false;
  }
}

module.exports.snapshotOf = snapshotOf;
