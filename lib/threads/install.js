'use strict';

const { syncBuiltinESMExports } = require('node:module');
const workerThreads = /** @type {any} */ (require('node:worker_threads'));
const launch = require('./launch');
const { ours, hasLanes } = require('./ours');
const { replaceBroadcastChannel } = require('./preload');

/** Replaces our exports on the built-in module in place, here and in the workers made from here. */
function install() {
  launch.state.installed = Object.keys(ours);
  if (!hasLanes) return;
  Object.assign(workerThreads, ours);
  replaceBroadcastChannel();
  syncBuiltinESMExports();
}

module.exports.install = install;
