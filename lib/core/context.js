'use strict';

/**
 * An async context that outlives those of single calls: the one in which this module was loaded. The modules that
 * programs load first require it, so that this is not the context of some message.
 */

const { AsyncResource } = require('node:async_hooks');

const loading = new AsyncResource('MANYCORE');

/**
 * Calls a function in that context.
 * @template T
 * @param {() => T} run
 * @returns {T}
 */
function inContextOfLoad(run) {
  return loading.runInAsyncScope(run);
}

module.exports.inContextOfLoad = inContextOfLoad;
