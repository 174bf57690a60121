'use strict';

/**
 * Encodes values as Node's IPC channel clones them with `serialization: 'advanced'`: like structured clone, except
 * that each view is sent separately, with only the bytes it covers, and Buffers stay Buffers.
 */

const { Buffer } = require('node:buffer');
const { Encoder } = require('./encoder');
const intrinsics = require('./intrinsics');
const { Tag, BUFFER_KIND, LARGE_LENGTH, VIEW_NAMES } = require('./tags');
const { UNSUPPORTED } = require('./unsupported');

const VIEW_KINDS = new Map(VIEW_NAMES.map((name, kind) => [name, kind]));
const DATA_VIEW_KIND = 0;
/** Bytes of an OWN_VIEW before its data. */
const OWN_VIEW_BYTES = 6;
/** The data of a view is aligned for all kinds of views. */
const LONGEST_ELEMENT_BYTES = 8;

const NOTHING = new Uint8Array(0);
/** From this version on, Node's channel sends a view of a detached buffer as an empty one; before, it throws. */
const sendsDetached = Number(process.versions.node.split('.')[0]) >= 24;

class AdvancedEncoder extends Encoder {
  /**
   * @override
   * @param {any} object
   */
  object(object) {
    if (ArrayBuffer.isView(object)) this.#view(object);
    else super.object(object);
  }

  /** @param {any} view */
  #view(view) {
    const name = intrinsics.arrayName(view);
    const isBuffer = view.constructor === Buffer;
    const kind = isBuffer ? BUFFER_KIND : name === undefined ? DATA_VIEW_KIND : VIEW_KINDS.get(name);
    if (kind === undefined) throw UNSUPPORTED;
    const bytes =
      bytesIfAttached(view, name === undefined) ?? this.#bytesOfDetached(view, name === undefined);
    if (bytes === undefined || !this.remember(view)) return;
    const { length } = bytes;
    if (this.store !== null && this.#storedView(bytes, kind)) return;
    if (length >= LARGE_LENGTH) this.align(OWN_VIEW_BYTES);
    this.reserve(OWN_VIEW_BYTES + length);
    this.bytes[this.position] = Tag.OWN_VIEW;
    this.bytes[this.position + 1] = kind;
    this.view.setUint32(this.position + 2, length, true);
    this.bytes.set(bytes, this.position + OWN_VIEW_BYTES);
    this.position += OWN_VIEW_BYTES + length;
  }

  /**
   * Refers to a detached view if it was read before; returns its bytes otherwise.
   * @param {object} view
   * @param {boolean} isDataView
   * @throws TypeError, where Node's channel throws
   */
  #bytesOfDetached(view, isDataView) {
    if (this.refer(view)) return undefined;
    return sendsDetached ? NOTHING : bytesOf(view, isDataView);
  }

  /**
   * Passes the buffer of a view instead of copying its bytes, if it can be passed.
   * @param {Uint8Array} bytes
   * @param {number} kind
   */
  #storedView(bytes, kind) {
    const byteOffset = intrinsics.arrayByteOffset(bytes);
    if (bytes.length === 0 || byteOffset % LONGEST_ELEMENT_BYTES !== 0) return false;
    return this.storedBuffer(intrinsics.arrayBuffer(bytes), Tag.STORED_VIEW, kind, byteOffset, bytes.length);
  }
}

/**
 * Like `bytesOf`; undefined if the buffer is detached, or a DataView is out of bounds.
 * @param {any} view
 * @param {boolean} isDataView
 */
function bytesIfAttached(view, isDataView) {
  try {
    return bytesOf(view, isDataView);
  } catch {
    return undefined;
  }
}

/**
 * @param {any} view
 * @param {boolean} isDataView
 */
function bytesOf(view, isDataView) {
  if (isDataView) {
    const byteLength = intrinsics.dataViewByteLength(view);
    return new Uint8Array(intrinsics.dataViewBuffer(view), intrinsics.dataViewByteOffset(view), byteLength);
  }
  const buffer = intrinsics.arrayBuffer(view);
  return new Uint8Array(buffer, intrinsics.arrayByteOffset(view), intrinsics.arrayByteLength(view));
}

module.exports.AdvancedEncoder = AdvancedEncoder;
