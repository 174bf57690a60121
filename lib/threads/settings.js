'use strict';

/** Link settings (`lib/link/settings.js`), also for a worker's port that has no lanes yet. */

const settings = require('../link/settings');
const { connect, port } = require('./preload');

/**
 * @param {object} endpoint
 * @param {Parameters<typeof settings.configureLink>[1]} options
 */
function configureLink(endpoint, options) {
  if (endpoint === port) connect();
  return settings.configureLink(endpoint, options);
}

/**
 * @param {object} endpoint
 * @param {number} byteLength
 */
function linkBuffer(endpoint, byteLength) {
  if (endpoint === port) connect();
  return settings.linkBuffer(endpoint, byteLength);
}

/** @param {object} endpoint */
function linkStatus(endpoint) {
  if (endpoint === port) connect();
  return settings.linkStatus(endpoint);
}

/** @param {object} endpoint */
async function linkDrained(endpoint) {
  if (endpoint === port) connect();
  return settings.linkDrained(endpoint);
}

module.exports.configureLink = configureLink;
module.exports.configureLinks = settings.configureLinks;
module.exports.linkBuffer = linkBuffer;
module.exports.linkDrained = linkDrained;
module.exports.linkStatus = linkStatus;
