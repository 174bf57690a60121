'use strict';

const { syncBuiltinESMExports } = require('node:module');
const workerThreads = /** @type {any} */ (require('node:worker_threads'));
const { loadAddon } = require('../core/addon');
const launch = require('./launch');
const localPorts = require('./local-ports');
const { ours, hasLanes } = require('./ours');
const { ORIGINALS, nodes, replaceBroadcastChannel } = require('./preload');

/**
 * All exports to be replaced. Property descriptors are copied, so that lazy ones stay lazy.
 * @type {Record<string, any>}
 */
const installed = Object.defineProperties(
  hasLanes ? { ...localPorts.exports } : {},
  Object.getOwnPropertyDescriptors(ours),
);

let isInstalled = false;

/**
 * Replaces the exports of the built-in module in place, in this thread and in workers started from it. Does nothing if
 * another copy of manycore has.
 */
function install() {
  if (isInstalled || Object.hasOwn(workerThreads, ORIGINALS)) return;
  isInstalled = true;
  launch.state.installed = Object.keys(installed);
  const addon = hasLanes ? loadAddon() : null;
  if (addon === null) return;
  Object.defineProperty(workerThreads, ORIGINALS, { configurable: true, value: nodes });
  Object.defineProperties(workerThreads, Object.getOwnPropertyDescriptors(installed));
  localPorts.install(addon.reportUncaught);
  replaceBroadcastChannel();
  syncBuiltinESMExports();
}

module.exports.install = install;
module.exports.installed = installed;
