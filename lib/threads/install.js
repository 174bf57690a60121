'use strict';

const { syncBuiltinESMExports } = require('node:module');
const workerThreads = /** @type {any} */ (require('node:worker_threads'));
const { loadAddon } = require('../core/addon');
const launch = require('./launch');
const localPorts = require('./local-ports');
const { ours, hasLanes } = require('./ours');
const { replaceBroadcastChannel } = require('./preload');

/**
 * All exports that are replaced. Copied as they are: what is made when asked for is made then.
 * @type {Record<string, any>}
 */
const installed = Object.defineProperties(
  hasLanes ? { ...localPorts.exports } : {},
  Object.getOwnPropertyDescriptors(ours),
);

let isInstalled = false;

/** Replaces our exports on the built-in module in place, here and in the workers made from here. */
function install() {
  if (isInstalled) return;
  isInstalled = true;
  launch.state.installed = Object.keys(installed);
  const addon = hasLanes ? loadAddon() : null;
  if (addon === null) return;
  Object.defineProperties(workerThreads, Object.getOwnPropertyDescriptors(installed));
  localPorts.install(addon.reportUncaught);
  replaceBroadcastChannel();
  syncBuiltinESMExports();
}

module.exports.install = install;
module.exports.installed = installed;
