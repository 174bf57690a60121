'use strict';

/** `markAsUncloneable`, where Node has it: what it marks must not go through a lane either. */

const workerThreads = /** @type {any} */ (require('node:worker_threads'));
const { noticing } = require('../link/uncloneable');

const original = workerThreads.markAsUncloneable;
/** @type {((object: any) => void) | undefined} */
const markAsUncloneable = original === undefined ? undefined : noticing(original);

/** Replaces it on the built-in module, whose live bindings the caller then refreshes. */
function replaceBuiltin() {
  if (markAsUncloneable !== undefined) workerThreads.markAsUncloneable = markAsUncloneable;
}

module.exports.markAsUncloneable = markAsUncloneable;
module.exports.replaceBuiltin = replaceBuiltin;
