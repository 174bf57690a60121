'use strict';

/** Decides when a server accepts no more connections and another worker should take them. */

const [major] = process.versions.node.split('.').map(Number);

/**
 * Whether `maxConnections` is a limit. Since Node 25, 0 rejects every connection; before, it meant no limit.
 * @param {unknown} maxConnections
 */
function isLimit(maxConnections) {
  return major >= 25 ? maxConnections !== undefined && maxConnections !== null : Boolean(maxConnections);
}

/**
 * Whether a server is at its limit. With `dropMaxConnection` it is never considered full, since it drops excess
 * connections itself.
 * @param {any} server
 */
function isFull({ maxConnections, dropMaxConnection, _connections: connections }) {
  return isLimit(maxConnections) && connections >= maxConnections && !dropMaxConnection;
}

module.exports.isLimit = isLimit;
module.exports.isFull = isFull;
