'use strict';

const { types } = require('node:util');
const { AdvancedEncoder } = require('../link/advanced-encoder');
const intrinsics = require('../link/intrinsics');

/**
 * Encoder for another process: like Node's `'advanced'` serialization, except that views of shared memory are
 * refused instead of copied.
 */
class ProcessEncoder extends AdvancedEncoder {
  /**
   * @override
   * @param {any} object
   */
  object(object) {
    if (ArrayBuffer.isView(object) && isOverShared(object)) this.refuse(object);
    else super.object(object);
  }
}

/** @param {any} view */
function isOverShared(view) {
  const isDataView = intrinsics.arrayName(view) === undefined;
  return types.isSharedArrayBuffer(
    isDataView ? intrinsics.dataViewBuffer(view) : intrinsics.arrayBuffer(view),
  );
}

module.exports.ProcessEncoder = ProcessEncoder;
module.exports.isOverShared = isOverShared;
