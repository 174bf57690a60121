'use strict';

const net = require('node:net');

/**
 * Node's handle classes for TCP and Unix connections, which are not public: each is taken from the first connection
 * of its kind, which is opened through a socket.
 * @type {{ tcp?: any, unix?: any }}
 */
const classes = {};

/**
 * Creates a handle for an accepted connection, like the one a server handle passes to `onconnection`.
 * @param {number} fd
 * @param {boolean} isUnix
 * @returns {any} null if the descriptor cannot be opened; the caller still owns it then
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
