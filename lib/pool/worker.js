'use strict';

/** Main program of a worker thread. */

const { parentPort, receiveMessageOnPort } = require('node:worker_threads');
const { loadShared } = require('../core/own-code');

const parent = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
const waiting = receiveMessageOnPort(parent);
if (waiting === undefined) parent.once('message', begin);
else begin(waiting.message);

/** @param {any} told initial data, or for a warm thread what it can load ahead */
function begin(told) {
  const { addonFile, compileCache, sharedAs, program } = (told.ahead ?? told).code;
  if (compileCache !== null) /** @type {any} */ (require('node:module')).enableCompileCache(compileCache);
  const addon = addonFile === undefined ? require('../core/addon').requireAddon('Pool') : require(addonFile);
  const [thread] = loadShared(addon, sharedAs, [program], false);
  if (told.ahead === undefined) thread.start(addon, told);
  else void thread.startAhead(addon, told.ahead);
}
