'use strict';

/** Classifies Node's internal messages, and defines our own commands on its channel. */

const { constants } = require('node:os');
const { isProxy } = require('node:util').types;

/** Prefix of `cmd` in internal messages, which Node does not deliver to users. */
const INTERNAL_PREFIX = 'NODE_';

/**
 * `cmd` of our messages on the channel: `open` if the sender uses its lane from now on, `mark` with or after what
 * has a marker in the lane, `lost` for a mark that will not arrive.
 */
const COMMAND = 'NODE_MANYCORE';

const { hasOwn, getOwnPropertyDescriptor } = Object;

/**
 * Whether a received message is internal, by Node's rule.
 * @param {any} message
 */
function isInternal(message) {
  return typeof message === 'object' && message !== null && hasPrefix(message.cmd);
}

/**
 * Whether a message to be sent is internal, without running getters or traps of proxies: one that turns out to be internal only after
 * encoding is sorted out by the receiver.
 * @param {any} message
 */
function isInternalAtHand(message) {
  if (typeof message !== 'object' || message === null || isProxy(message)) return false;
  if (!hasOwn(message, 'cmd')) return false;
  return hasPrefix(getOwnPropertyDescriptor(message, 'cmd')?.value);
}

/**
 * Returns the callback for a message on the channel. Without one, Node emits an error if the other side has died and
 * the end of the channel has not been read yet; for messages that no program has sent, that would be unexpected.
 * @param {any} message
 * @param {any} callback the program's
 */
function ignoringErrors(message, callback) {
  return callback === undefined && isInternalAtHand(message) ? ignore : callback;
}

function ignore() {}

/** @param {unknown} cmd */
function hasPrefix(cmd) {
  return typeof cmd === 'string' && cmd.length > INTERNAL_PREFIX.length && cmd.startsWith(INTERNAL_PREFIX);
}

/** Creates the error for a message that did not reach the other side, like that of a write to a broken pipe. */
function makeWriteError() {
  return Object.assign(new Error('write EPIPE'), {
    errno: -constants.errno.EPIPE,
    code: 'EPIPE',
    syscall: 'write',
  });
}

module.exports.COMMAND = COMMAND;
module.exports.ignoringErrors = ignoringErrors;
module.exports.isInternal = isInternal;
module.exports.isInternalAtHand = isInternalAtHand;
module.exports.makeWriteError = makeWriteError;
