'use strict';

/** What programs may choose for links, and learn about them: for the process, or for one end of a link. */

const { loadAddon } = require('../core/addon');
const { makeError } = require('../core/errors');

/** In the order of the addon's numbers. */
const LATENCIES = ['frugal', 'balanced', 'low'];

/**
 * @typedef {object} Link what an end of a link offers
 * @property {(settings: { latency?: number, views?: boolean }) => boolean} configure
 * @property {number} bufferedAmount
 */

/** By what programs post messages with: a Worker, `parentPort`. @type {WeakMap<object, Link>} */
const links = new WeakMap();

/**
 * @param {object} endpoint
 * @param {Link} link
 */
function register(endpoint, link) {
  links.set(endpoint, link);
}

/**
 * @param {any} options
 * @param {Function} caller
 */
function checkOptions(options, caller) {
  if (typeof options !== 'object' || options === null) {
    throw makeError('ERR_INVALID_ARG_TYPE', ['options', 'of type object', options], caller);
  }
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
 * Settings of all links of the process that have none of their own.
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
 * Settings of one end of a link: how it receives. Returns false when it is not a link of ours (any more).
 * @param {object} endpoint
 * @param {{ latency?: 'low' | 'balanced' | 'frugal', views?: boolean }} options
 */
function configureLink(endpoint, options) {
  checkOptions(options, configureLink);
  const { latency, views } = options;
  const level = latency === undefined ? undefined : levelOf(latency, configureLink);
  if (views !== undefined && typeof views !== 'boolean') {
    throw makeError('ERR_INVALID_ARG_TYPE', ['options.views', 'of type boolean', views], configureLink);
  }
  const link = links.get(endpoint);
  return link === undefined ? false : link.configure({ latency: level, views });
}

/**
 * The state of one end of a link; undefined when it is not a link of ours.
 * @param {object} endpoint
 */
function linkStatus(endpoint) {
  const link = links.get(endpoint);
  return link === undefined ? undefined : { bufferedAmount: link.bufferedAmount };
}

module.exports.register = register;
module.exports.configureLinks = configureLinks;
module.exports.configureLink = configureLink;
module.exports.linkStatus = linkStatus;
