'use strict';

/** When a server takes no more connections, and wants another worker to have them. */

const [major] = process.versions.node.split('.').map(Number);

/**
 * Whether a `maxConnections` is one. From Node 25 on, 0 lets no connection in; before, it was no limit.
 * @param {unknown} maxConnections
 */
function isLimit(maxConnections) {
  return major >= 25 ? maxConnections !== undefined && maxConnections !== null : Boolean(maxConnections);
}

/**
 * Whether a server turns connections away. With `dropMaxConnection` it wants to drop them itself.
 * @param {any} server
 */
function isFull({ maxConnections, dropMaxConnection, _connections: connections }) {
  return isLimit(maxConnections) && connections >= maxConnections && !dropMaxConnection;
}

module.exports.isLimit = isLimit;
module.exports.isFull = isFull;
