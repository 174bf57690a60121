'use strict';

/** `receiveMessageOnPort`, for ports whose messages do not all come from Node's own queue. */

const { revive } = require('../link/travellers');
const { nodes, receiveMessageOnPort, takers } = require('./preload');

/**
 * Receives from Node's own queue of a port, with stand-ins replaced by shared objects.
 * @param {any} port
 * @returns {{ message: any } | undefined}
 */
function receiveFromNode(port) {
  const received = nodes.receiveMessageOnPort(port);
  if (received !== undefined) received.message = revive(received.message);
  return received;
}

/**
 * Registers the receive function of a port.
 * @param {object} port
 * @param {() => { message: any } | undefined} take
 */
function takeBy(port, take) {
  takers.set(port, take);
}

module.exports.receiveFromNode = receiveFromNode;
module.exports.receiveMessageOnPort = receiveMessageOnPort;
module.exports.takeBy = takeBy;
