'use strict';

const { once } = require('node:events');
const net = require('node:net');

/**
 * Returns a port of 127.0.0.1 that nobody listens on, for servers that have to agree on one.
 * @returns {Promise<number>}
 */
async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

module.exports.freePort = freePort;
