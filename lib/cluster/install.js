'use strict';

const { syncBuiltinESMExports } = require('node:module');
const builtin = require('./builtin');
const { loadAddon } = require('../core/addon');

let installed = false;

/**
 * Replaces the builtin cluster module for the whole process: for `require`, `import` and Node itself. Does nothing
 * in a worker, where the preload has done it.
 */
function install() {
  if (installed || !builtin.isPrimary || loadAddon() === null) return;
  installed = true;
  require('./primary').giveTo(builtin);
  syncBuiltinESMExports();
}

module.exports.install = install;
module.exports.isInstalled = () => installed;
