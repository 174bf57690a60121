'use strict';

/**
 * Set-up of the lanes between a primary and a worker, for messages (`Ipc`) and requests (`ipc-calls`): created by
 * the primary, inherited and adopted by the worker.
 */

const builtin = require('./builtin');
const { loadAddon } = require('../core/addon');
const { COMMAND } = require('./ipc-messages');
const { PROCESS_STORE_BYTES } = require('../link/layout');
const settings = require('../link/settings');

/** Room for bursts in each direction, powers of two; memory is committed as it is used. */
const MESSAGE_LANE_BYTES = 8 * 1024 * 1024;
const CALL_LANE_BYTES = 256 * 1024;

/** @typedef {{ messages: import('../native/index').ProcessLink, calls: import('../native/index').ProcessLink }} Links */

/**
 * Creates the lanes for a worker that is about to be forked. Returns null if resources have run out; Node's channel
 * is then used alone.
 * @param {import('../core/addon').Binding} addon
 * @returns {Links | null}
 */
function create(addon) {
  let messages;
  try {
    messages = new addon.ProcessLink(MESSAGE_LANE_BYTES, PROCESS_STORE_BYTES);
    return { messages, calls: new addon.ProcessLink(CALL_LANE_BYTES, PROCESS_STORE_BYTES) };
  } catch {
    messages?.close();
    return null;
  }
}

/**
 * Returns the descriptors the worker inherits, in the order in which `attachPrimary` takes them.
 * @param {Links | null} links
 */
function fdsOf(links) {
  return links === null ? [] : [...links.messages.fds, ...links.calls.fds];
}

/** @param {Links | null} links of a worker that could not be forked */
function close(links) {
  links?.messages.close();
  links?.calls.close();
}

/** @param {any} settings `cluster.settings` */
function formatOf(settings) {
  return settings.serialization === 'advanced' ? 'advanced' : 'json';
}

/**
 * In the primary: routes a worker's messages through the lanes.
 * @param {import('../core/addon').Binding} addon
 * @param {Links | null} links
 * @param {any} worker a worker that has just been forked
 * @param {string} format
 */
function attachWorker(addon, links, worker, format) {
  links?.messages.passed();
  links?.calls.passed();
  const { process: child } = worker;
  // Without a channel the process failed to start.
  if (links === null || !child.channel) {
    close(links);
    require('./ipc-calls').giveCalls(worker, null);
    return;
  }
  const report = (/** @type {Error} */ error) => reportTo(worker, error);
  start({ addon, links, target: child, worker, isWorker: false, report }, format);
}

/**
 * In a worker: adopts the worker's ends of the lanes.
 * @param {number} firstFd
 * @param {string} format
 */
function attachPrimary(firstFd, format) {
  if (!process.connected) return;
  const addon = loadAddon();
  if (addon === null) {
    // Otherwise the primary's requests would wait forever.
    /** @type {any} */ (process)._send({ cmd: COMMAND, absent: true }, null, { swallowErrors: true });
    return;
  }
  const messages = addon.ProcessLink.adopt(MESSAGE_LANE_BYTES, firstFd, PROCESS_STORE_BYTES);
  const calls = addon.ProcessLink.adopt(CALL_LANE_BYTES, firstFd + messages.passedCount, PROCESS_STORE_BYTES);
  const report = (/** @type {Error} */ error) => process.emitWarning(error);
  const { worker } = builtin;
  start({ addon, links: { messages, calls }, target: process, worker, isWorker: true, report }, format);
}

/**
 * @param {Pick<import('./ipc').Options, 'addon' | 'target' | 'isWorker' | 'report'> & { links: Links, worker: any }} options
 * @param {string} format
 */
function start({ links, worker, ...options }, format) {
  const { Ipc } = require('./ipc');
  const { giveCalls } = require('./ipc-calls');
  const { formats } = require('./ipc-formats');
  const endpoint = giveCalls(worker, {
    addon: options.addon,
    link: links.calls,
    target: options.target,
    onCorrupt: (error) => ipc.fail(error),
    assist: () => ipc.assist(),
  });
  const onClose = () => endpoint?.close();
  const ipc = new Ipc({ ...options, link: links.messages, format: formats[format], onClose });
  settings.register(worker, ipc);
  settings.register(options.target, ipc);
}

/**
 * Emits an error of a worker's link as 'error' on the worker if there is a listener; otherwise as a warning, since
 * it must not crash the primary.
 * @param {any} worker
 * @param {Error} error
 */
function reportTo(worker, error) {
  if (worker.listenerCount('error') > 0) worker.process.emit('error', error);
  else process.emitWarning(error);
}

module.exports.create = create;
module.exports.fdsOf = fdsOf;
module.exports.close = close;
module.exports.formatOf = formatOf;
module.exports.attachWorker = attachWorker;
module.exports.attachPrimary = attachPrimary;
