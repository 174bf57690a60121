'use strict';

/**
 * How the lanes between a primary and a worker come about, of messages (`Ipc`) and of requests (`ipc-calls`): made by
 * the primary for a worker, inherited and adopted by the worker.
 */

const builtin = require('./builtin');
const { loadAddon } = require('../core/addon');
const { COMMAND } = require('./ipc-messages');
const settings = require('../link/settings');

/** Room for bursts, each way; memory is taken as it is used. Powers of two. */
const MESSAGE_LANE_BYTES = 8 * 1024 * 1024;
const CALL_LANE_BYTES = 256 * 1024;

/** @typedef {{ messages: import('../native/index').ProcessLink, calls: import('../native/index').ProcessLink }} Links */

/**
 * Lanes for a worker that is about to be forked. Null when there are no means left for them: Node's channel does
 * without.
 * @param {import('../core/addon').Binding} addon
 * @returns {Links | null}
 */
function create(addon) {
  let messages;
  try {
    messages = new addon.ProcessLink(MESSAGE_LANE_BYTES);
    return { messages, calls: new addon.ProcessLink(CALL_LANE_BYTES) };
  } catch {
    messages?.close();
    return null;
  }
}

/**
 * The descriptors that the worker inherits, in the order in which `attachPrimary` takes them.
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

/** @param {any} settings of the cluster */
function formatOf(settings) {
  return settings.serialization === 'advanced' ? 'advanced' : 'json';
}

/**
 * In the primary: puts the lanes under a worker's messages.
 * @param {import('../core/addon').Binding} addon
 * @param {Links | null} links
 * @param {any} worker that has just been forked
 * @param {string} format
 */
function attachWorker(addon, links, worker, format) {
  links?.messages.passed();
  links?.calls.passed();
  const { process: child } = worker;
  // Without a channel it could not be started.
  if (links === null || !child.channel) {
    close(links);
    require('./ipc-calls').giveCalls(worker, null);
    return;
  }
  const report = (/** @type {Error} */ error) => reportTo(worker, error);
  start({ addon, links, target: child, worker, isWorker: false, report }, format);
}

/**
 * In a worker: adopts its side.
 * @param {number} firstFd
 * @param {string} format
 */
function attachPrimary(firstFd, format) {
  if (!process.connected) return;
  const addon = loadAddon();
  if (addon === null) {
    // Or the primary's requests would wait for an answer for ever.
    /** @type {any} */ (process)._send({ cmd: COMMAND, absent: true }, null, { swallowErrors: true });
    return;
  }
  const messages = addon.ProcessLink.adopt(MESSAGE_LANE_BYTES, firstFd);
  const calls = addon.ProcessLink.adopt(CALL_LANE_BYTES, firstFd + messages.passedCount);
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
module.exports.fdsOf = fdsOf;
module.exports.close = close;
module.exports.formatOf = formatOf;
module.exports.attachWorker = attachWorker;
module.exports.attachPrimary = attachPrimary;
