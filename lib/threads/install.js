'use strict';

const { syncBuiltinESMExports } = require('node:module');
const workerThreads = /** @type {any} */ (require('node:worker_threads'));
const launch = require('./launch');
const { ours, hasLanes } = require('./ours');
const { replaceBroadcastChannel } = require('./preload');

let isInstalled = false;

/** Replaces our exports on the built-in module in place, here and in the workers made from here. */
function install() {
  if (isInstalled) return;
  isInstalled = true;
  launch.state.installed = Object.keys(ours);
  if (!hasLanes) return;
  // Copied as they are: what is made when asked for is made then.
  Object.defineProperties(workerThreads, Object.getOwnPropertyDescriptors(ours));
  replaceBroadcastChannel();
  syncBuiltinESMExports();
}

module.exports.install = install;
