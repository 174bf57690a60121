'use strict';

/**
 * Decodes the entries copied by the addon's `scan`: the counterpart of `Shard::scan` in
 * crates/core/src/table/read.rs.
 */

const { Buffer } = require('node:buffer');

/** Kinds of keys and values: the counterpart of `kind` in src/shared/keys.rs. */
const Kind = Object.freeze({ RECORD: 0, LATIN1: 1, UTF16: 2, NUMBER: 3, BYTES: 4 });

/**
 * @param {any} bytes a Buffer, including the internal methods behind `toString`
 * @param {DataView} view
 * @param {number} kind
 * @param {number} at
 * @param {number} length
 */
function plainValue(bytes, view, kind, at, length) {
  switch (kind) {
    case Kind.LATIN1:
      return bytes.latin1Slice(at, at + length);
    case Kind.UTF16:
      return bytes.ucs2Slice(at, at + length);
    case Kind.NUMBER:
      return view.getFloat64(at, true);
    default:
      return new Uint8Array(bytes.subarray(at, at + length));
  }
}

/**
 * @param {ArrayBuffer} arrayBuffer
 * @param {number} start
 * @param {number} count
 * @param {(start: number, length: number) => any} readRecord
 * @returns {[key: any, value: any][]}
 */
function readEntries(arrayBuffer, start, count, readRecord) {
  const bytes = Buffer.from(arrayBuffer);
  const view = new DataView(arrayBuffer);
  /** @type {[any, any][]} */
  const entries = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    const valueLength = view.getUint32(at + 8, true);
    const keyLength = view.getUint16(at + 12, true);
    const kinds = view.getUint8(at + 14);
    const keyAt = at + 16;
    const valueAt = keyAt + ((keyLength + 7) & ~7);
    const key = plainValue(bytes, view, kinds & 15, keyAt, keyLength);
    const kind = kinds >> 4;
    const value =
      kind === Kind.RECORD
        ? readRecord(valueAt, valueLength)
        : plainValue(bytes, view, kind, valueAt, valueLength);
    entries.push([key instanceof Uint8Array ? Buffer.from(key.buffer) : key, value]);
    at = valueAt + Math.ceil(valueLength / 8) * 8;
  }
  return entries;
}

module.exports.Kind = Kind;
module.exports.readEntries = readEntries;
