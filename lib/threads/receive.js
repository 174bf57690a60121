'use strict';

/** `receiveMessageOnPort`, for ports whose messages do not all come from Node's own queue. */

const { revive } = require('../link/travellers');
const { nodes, receiveMessageOnPort, takers } = require('./preload');

/**
 * What is in Node's own queue of a port, with objects that travel as themselves.
 * @param {any} port
 * @returns {{ message: any } | undefined}
 */
function receiveFromNode(port) {
  const received = nodes.receiveMessageOnPort(port);
  if (received !== undefined) received.message = revive(received.message);
  return received;
}

/**
 * Lets `take` answer for a port.
 * @param {object} port
 * @param {() => { message: any } | undefined} take
 */
function takeBy(port, take) {
  takers.set(port, take);
}

module.exports.receiveFromNode = receiveFromNode;
module.exports.receiveMessageOnPort = receiveMessageOnPort;
module.exports.takeBy = takeBy;
