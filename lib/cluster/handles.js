'use strict';

const net = require('node:net');

/**
 * Node's classes of handles for TCP and Unix connections, for which there is no public way: each is read off
 * the first connection of its kind, that a socket has opened.
 * @type {{ tcp?: any, unix?: any }}
 */
const classes = {};

/**
 * A handle for an accepted connection, as a server handle passes to its `onconnection`.
 * @param {number} fd
 * @param {boolean} isUnix
 * @returns {any} null when the descriptor cannot be opened; it is still the caller's then
 */
function openHandle(fd, isUnix) {
  const kind = isUnix ? 'unix' : 'tcp';
  const Handle = classes[kind];
  if (Handle === undefined) return openFirst(fd, kind);
  const handle = new Handle(0);
  return handle.open(fd) === 0 ? handle : null;
}

/** @param {number} fd @param {'tcp' | 'unix'} kind */
function openFirst(fd, kind) {
  /** @type {any} */
  let socket;
  try {
    socket = new net.Socket(/** @type {any} */ ({ fd, manualStart: true }));
  } catch {
    return null;
  }
  const handle = socket._handle;
  socket._handle = null;
  classes[kind] = handle.constructor;
  return handle;
}

module.exports.openHandle = openHandle;
