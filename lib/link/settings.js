'use strict';

/** Settings and status of links: for the process, or for one end of a link. */

const { LATENCIES, loadAddon } = require('../core/addon');
const { makeError } = require('../core/errors');

/**
 * @typedef {object} LinkSettings
 * @property {number} [latency]
 * @property {boolean} [views]
 * @property {number} [highWaterMarkBytes]
 */

/**
 * @typedef {object} Link one end of a link
 * @property {(settings: LinkSettings) => boolean} configure
 * @property {(length: number) => ArrayBuffer | undefined} allocate
 * @property {number} bufferedAmount
 * @property {boolean} needsDrain
 * @property {() => Promise<boolean>} drained
 */

/** Links by the object that messages are posted with: a Worker, `parentPort`. @type {WeakMap<object, Link>} */
const links = new WeakMap();

/**
 * @param {object} endpoint
 * @param {Link} link
 */
function register(endpoint, link) {
  links.set(endpoint, link);
}

/** @type {Record<string, string[]>} */
const OPTIONS = {
  configureLinks: ['latency'],
  configureLink: ['latency', 'views', 'highWaterMarkBytes'],
};

/**
 * @param {any} options
 * @param {Function} caller
 */
function checkOptions(options, caller) {
  if (typeof options !== 'object' || options === null) {
    throw makeError('ERR_INVALID_ARG_TYPE', ['options', 'of type object', options], caller);
  }
  const known = OPTIONS[caller.name];
  if (Object.keys(options).every((name) => known.includes(name))) return;
  // Not loaded by every worker.
  const { OptionNames } = require('../core/option-names');
  new OptionNames(`${caller.name}()`, known).check(options);
}

/**
 * @param {any} latency
 * @param {Function} caller
 */
function levelOf(latency, caller) {
  const level = LATENCIES.indexOf(latency);
  if (level >= 0) return level;
  const reason = "must be one of 'low', 'balanced', 'frugal'";
  throw makeError('ERR_INVALID_ARG_VALUE', ['options.latency', latency, reason], caller);
}

/**
 * @param {any} bytes
 * @param {Function} caller
 */
function checkHighWaterMark(bytes, caller) {
  if (typeof bytes !== 'number') {
    throw makeError('ERR_INVALID_ARG_TYPE', ['options.highWaterMarkBytes', 'of type number', bytes], caller);
  }
  if (bytes === Infinity || (Number.isSafeInteger(bytes) && bytes > 0)) return;
  const range = 'a whole number above 0, or Infinity';
  throw makeError('ERR_OUT_OF_RANGE', ['options.highWaterMarkBytes', range, bytes], caller);
}

/**
 * Applies settings to all links of the process that have none of their own.
 * @param {{ latency?: 'low' | 'balanced' | 'frugal' }} options
 */
function configureLinks(options) {
  checkOptions(options, configureLinks);
  const { latency } = options;
  if (latency === undefined) return;
  const level = levelOf(latency, configureLinks);
  loadAddon()?.setProcessLatency(level);
}

/**
 * Applies settings to one end of a link: how it receives, and its back-pressure. Returns false if it is not, or no
 * longer, a link of ours.
 * @param {object} endpoint
 * @param {{ latency?: 'low' | 'balanced' | 'frugal', views?: boolean, highWaterMarkBytes?: number }} options
 */
function configureLink(endpoint, options) {
  checkOptions(options, configureLink);
  const { latency, views, highWaterMarkBytes } = options;
  const level = latency === undefined ? undefined : levelOf(latency, configureLink);
  if (views !== undefined && typeof views !== 'boolean') {
    throw makeError('ERR_INVALID_ARG_TYPE', ['options.views', 'of type boolean', views], configureLink);
  }
  if (highWaterMarkBytes !== undefined) checkHighWaterMark(highWaterMarkBytes, configureLink);
  const link = links.get(endpoint);
  return link === undefined ? false : link.configure({ latency: level, views, highWaterMarkBytes });
}

/** Shorter buffers are copied: passing them would take longer. */
const LEAST_PASSED_BYTES = 16 * 1024;

/**
 * Returns a buffer to be filled and posted by an end of a link, in memory of the link if possible: posting it then
 * passes that memory to the receiver and detaches the buffer. Its contents are arbitrary.
 * @param {object} endpoint
 * @param {number} byteLength
 * @returns {ArrayBuffer}
 */
function linkBuffer(endpoint, byteLength) {
  if (typeof byteLength !== 'number') {
    throw makeError('ERR_INVALID_ARG_TYPE', ['byteLength', 'of type number', byteLength], linkBuffer);
  }
  if (!Number.isSafeInteger(byteLength) || byteLength < 0) {
    throw makeError(
      'ERR_OUT_OF_RANGE',
      ['byteLength', 'a whole number of at least 0', byteLength],
      linkBuffer,
    );
  }
  const link = byteLength < LEAST_PASSED_BYTES ? undefined : links.get(endpoint);
  return link?.allocate(byteLength) ?? new ArrayBuffer(byteLength);
}

/**
 * Returns the state of one end of a link; undefined if it is not a link of ours.
 * @param {object} endpoint
 */
function linkStatus(endpoint) {
  const link = links.get(endpoint);
  if (link === undefined) return undefined;
  return { bufferedAmount: link.bufferedAmount, needsDrain: link.needsDrain };
}

/**
 * Waits until the buffered amount is low enough to continue; resolves at once unless `needsDrain` is set. Resolves
 * to false if the other end no longer receives, or if it is not a link of ours.
 * @param {object} endpoint
 * @returns {Promise<boolean>}
 */
async function linkDrained(endpoint) {
  const link = links.get(endpoint);
  return link === undefined ? false : link.drained();
}

module.exports.register = register;
module.exports.configureLinks = configureLinks;
module.exports.configureLink = configureLink;
module.exports.linkBuffer = linkBuffer;
module.exports.linkStatus = linkStatus;
module.exports.linkDrained = linkDrained;
