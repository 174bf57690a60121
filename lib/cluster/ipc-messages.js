'use strict';

/** Which messages are Node's own, and what we say to the other side on its channel. */

const { constants } = require('node:os');

/** What Node takes for a message of its own, and does not deliver to users. */
const INTERNAL_PREFIX = 'NODE_';

/**
 * Our messages on the channel: `open` when the sender uses its lane from there on, `mark` with or behind what has a
 * marker in the lane, `lost` for a mark that does not come.
 */
const COMMAND = 'NODE_MANYCORE';

const { hasOwn, getOwnPropertyDescriptor } = Object;

/**
 * Whether a received message is Node's, by its rule.
 * @param {any} message
 */
function isInternal(message) {
  return typeof message === 'object' && message !== null && hasPrefix(message.cmd);
}

/**
 * Whether a message to be sent is, without running a getter: one that only turns out to be Node's when it has been
 * encoded is sorted out by the receiver.
 * @param {any} message
 */
function isInternalAtHand(message) {
  if (typeof message !== 'object' || message === null || !hasOwn(message, 'cmd')) return false;
  return hasPrefix(getOwnPropertyDescriptor(message, 'cmd')?.value);
}

/** @param {unknown} cmd */
function hasPrefix(cmd) {
  return typeof cmd === 'string' && cmd.length > INTERNAL_PREFIX.length && cmd.startsWith(INTERNAL_PREFIX);
}

/** The error for a message that did not get to the other side, as of a write to its end of a pipe. */
function makeWriteError() {
  return Object.assign(new Error('write EPIPE'), {
    errno: -constants.errno.EPIPE,
    code: 'EPIPE',
    syscall: 'write',
  });
}

module.exports.COMMAND = COMMAND;
module.exports.isInternal = isInternal;
module.exports.isInternalAtHand = isInternalAtHand;
module.exports.makeWriteError = makeWriteError;
