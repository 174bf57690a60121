'use strict';

const { syncBuiltinESMExports } = require('node:module');
const workerThreads = require('node:worker_threads');
const broadcast = require('./broadcast');
const launch = require('./launch');
const marks = require('./marks');
const receive = require('./receive');
const { Worker, hasLanes } = require('./worker');

/** Replaces `Worker` on the built-in module in place, here and in the workers made from here. */
function install() {
  launch.state.isInstalled = true;
  if (!hasLanes || workerThreads.Worker === Worker) return;
  /** @type {any} */ (workerThreads).Worker = Worker;
  marks.replaceBuiltin();
  receive.replaceBuiltin();
  broadcast.replaceBuiltin();
  syncBuiltinESMExports();
}

module.exports.install = install;
