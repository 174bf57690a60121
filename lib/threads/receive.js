'use strict';

/** `receiveMessageOnPort`, for ports whose messages do not all come from Node's own queue. */

const { receiveMessageOnPort, takers } = require('./preload');

/**
 * Lets `take` answer for a port.
 * @param {object} port
 * @param {() => { message: any } | undefined} take
 */
function takeBy(port, take) {
  takers.set(port, take);
}

module.exports.receiveMessageOnPort = receiveMessageOnPort;
module.exports.takeBy = takeBy;
