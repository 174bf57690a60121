'use strict';

/**
 * The on-disk compile cache of Node (`module.enableCompileCache()`, since 22.8) is enabled per thread and not
 * inherited by workers. Our workers inherit it from their parent.
 */

const path = require('node:path');
const Module = /** @type {any} */ (require('node:module'));

/** The cache directory for workers of this thread; null if the cache is off. @returns {string | null} */
function compileCacheForWorkers() {
  const folder = Module.getCompileCacheDir?.();
  // Each thread appends its version-specific subdirectory itself.
  return folder === undefined ? null : path.dirname(folder);
}

module.exports.compileCacheForWorkers = compileCacheForWorkers;
