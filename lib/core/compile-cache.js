'use strict';

/**
 * Node keeps compiled code on disk for a thread that asks for it (`module.enableCompileCache()`, from 22.8 on), not for
 * the workers of that thread. Ours have it where their parent has.
 */

const path = require('node:path');
const Module = /** @type {any} */ (require('node:module'));

/** What workers of this thread are to ask for; null for nothing. @returns {string | null} */
function compileCacheForWorkers() {
  const folder = Module.getCompileCacheDir?.();
  // Each thread adds the folder of its version itself.
  return folder === undefined ? null : path.dirname(folder);
}

module.exports.compileCacheForWorkers = compileCacheForWorkers;
