'use strict';

/** How the lanes of `Ipc` come about: made by the primary for a worker, inherited and adopted by the worker. */

const { loadAddon } = require('../core/addon');

/** Room for bursts, each way; memory is taken as it is used. A power of two. */
const LANE_BYTES = 8 * 1024 * 1024;

/**
 * Lanes for a worker that is about to be forked. Null when there are no means left for them: Node's channel does
 * without.
 * @param {import('../core/addon').Binding} addon
 */
function create(addon) {
  try {
    return new addon.ProcessLink(LANE_BYTES);
  } catch {
    return null;
  }
}

/** @param {any} settings of the cluster */
function formatOf(settings) {
  return settings.serialization === 'advanced' ? 'advanced' : 'json';
}

/**
 * In the primary: puts the lanes under a worker's messages.
 * @param {import('../core/addon').Binding} addon
 * @param {import('../native/index').ProcessLink} link
 * @param {any} worker that has just been forked
 * @param {string} format
 */
function attachWorker(addon, link, worker, format) {
  link.passed();
  const { process: child } = worker;
  // Without a channel it could not be started.
  if (!child.channel) return link.close();
  const report = (/** @type {Error} */ error) => reportTo(worker, error);
  start({ addon, link, target: child, isWorker: false, report }, format);
}

/**
 * In a worker: adopts its side.
 * @param {number} firstFd
 * @param {string} format
 */
function attachPrimary(firstFd, format) {
  const addon = loadAddon();
  if (addon === null || !process.connected) return;
  const link = addon.ProcessLink.adopt(LANE_BYTES, firstFd);
  const report = (/** @type {Error} */ error) => process.emitWarning(error);
  start({ addon, link, target: process, isWorker: true, report }, format);
}

/**
 * @param {Omit<import('./ipc').Options, 'format'>} options
 * @param {string} format
 */
function start(options, format) {
  const { Ipc } = require('./ipc');
  const { formats } = require('./ipc-formats');
  return new Ipc({ ...options, format: formats[format] });
}

/**
 * An error of a worker's link is an 'error' of the worker where somebody listens for those, else a warning: it must
 * not end the primary.
 * @param {any} worker
 * @param {Error} error
 */
function reportTo(worker, error) {
  if (worker.listenerCount('error') > 0) worker.process.emit('error', error);
  else process.emitWarning(error);
}

module.exports.create = create;
module.exports.formatOf = formatOf;
module.exports.attachWorker = attachWorker;
module.exports.attachPrimary = attachPrimary;
