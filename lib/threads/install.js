'use strict';

const { syncBuiltinESMExports } = require('node:module');
const workerThreads = /** @type {any} */ (require('node:worker_threads'));
const broadcast = require('./broadcast');
const launch = require('./launch');
const { ours, hasLanes } = require('./ours');

/** Replaces our exports on the built-in module in place, here and in the workers made from here. */
function install() {
  launch.state.isInstalled = true;
  if (!hasLanes || workerThreads.Worker === ours.Worker) return;
  Object.assign(workerThreads, ours);
  broadcast.replaceBuiltin();
  syncBuiltinESMExports();
}

module.exports.install = install;
