'use strict';

const { syncBuiltinESMExports } = require('node:module');
const builtin = require('./builtin');
const { loadAddon } = require('../core/addon');

/** Marks the module that a copy of manycore has replaced in this process. */
const REPLACED = Symbol.for('manycore.replaced');

let installed = false;

/**
 * Replaces the builtin cluster module for the whole process: for `require`, `import` and Node itself. Does nothing
 * in a worker, where the preload has done it, or if another copy of manycore has.
 */
function install() {
  if (installed || !builtin.isPrimary || Object.hasOwn(builtin, REPLACED) || loadAddon() === null) return;
  installed = true;
  Object.defineProperty(builtin, REPLACED, { value: true });
  require('./primary').giveTo(builtin);
  syncBuiltinESMExports();
}

module.exports.install = install;
module.exports.isInstalled = () => installed;
