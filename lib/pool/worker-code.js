'use strict';

/** Code of worker threads, compiled by the caller while the first of them boot. */

const path = require('node:path');
const { addonFile } = require('../core/addon');
const { compileCacheForWorkers } = require('../core/compile-cache');

const NAME = 'pool';
const PROGRAM = path.join(__dirname, 'thread.js');

/** Modules that a worker loads before its first task. What only errors and rarer values need is loaded on demand. */
const MODULES = [
  'core/context',
  'link/decode-special',
  'link/decoder',
  'link/encode-special',
  'link/encoder',
  'link/intrinsics',
  'link/large-buffers',
  'link/layout',
  'link/lending',
  'link/spinner',
  'link/materialize',
  'link/memory',
  'link/one-byte',
  'link/plain-classes',
  'link/quiet-timer',
  'link/shape-reader',
  'link/shapes',
  'link/short-strings',
  'link/snapshot',
  'link/tags',
  'link/travellers',
  'link/uncloneable',
  'link/unsupported',
  'link/writer',
  'pool/context',
  'pool/entrance',
  'pool/handlers',
  'pool/page',
  'pool/payloads',
  'pool/port-carrier',
  'pool/record-encoder',
  'pool/runner',
  'pool/thread',
  'pool/transfer',
  'pool/whole-errors',
  'threads/ticks',
];

/** Returns what a worker needs to find its code, so that it resolves as little as possible. */
function codeOfWorkers() {
  const compileCache = compileCacheForWorkers();
  return { addonFile: addonFile(), compileCache, sharedAs: NAME, program: PROGRAM };
}

let isShared = false;

/**
 * Shares the code, once. A worker that is told of its code before it is shared compiles it itself, which takes longer
 * than to wait for it.
 * @param {typeof import('../native/index')} addon
 */
function share(addon) {
  if (isShared) return;
  isShared = true;
  const filenames = MODULES.map((name) => path.join(__dirname, '..', `${name}.js`));
  require('../core/own-code').share(addon, NAME, filenames);
}

/** Does so when the program has nothing else to do. @param {typeof import('../native/index')} addon */
function shareSoon(addon) {
  if (!isShared) setImmediate(() => share(addon)).unref();
}

module.exports.codeOfWorkers = codeOfWorkers;
module.exports.MODULES = MODULES;
module.exports.share = share;
module.exports.shareSoon = shareSoon;
