'use strict';

/** Worker side: loaded by the hooks of `preload.js` once messages should use lanes, or when there is a request. */

const { syncBuiltinESMExports } = require('node:module');
const { PointEndpoint } = require('./call-point');
const { makerOf } = require('./call-port');
const { givePortsMethods, setEndpoint } = require('./calls');
const { Channel } = require('./channel');
const { postWatched } = require('./local-ports');
const settings = require('../link/settings');
const marks = require('./marks');
const receive = require('./receive');
const { kReceivedPorts, dispatch } = require('./node-internals');

/**
 * @param {typeof import('../native/index')} addon
 * @param {import('./launch').Ticket} ticket
 * @param {any} port the built-in `parentPort`
 * @param {{ isStarted: boolean, isRef: boolean }} state whether the port delivers messages, and keeps the event
 * loop alive
 */
function attach(addon, ticket, port, { isStarted, isRef }) {
  const point = new addon.CallPoint(ticket.lanes, true);
  const channel = new Channel(addon, point, ticket.token, workerSide(port), isStarted, Infinity);
  settings.register(port, channel);
  receive.takeBy(port, () => channel.receiveNow());
  givePortsMethods(makerOf(addon));
  // Owned by the port: the endpoint ends with the thread, which tells the parent.
  const endpoint = new PointEndpoint(addon, new addon.CallPoint(ticket.calls, true), channel, isRef);
  setEndpoint(port, endpoint);
  marks.replaceBuiltin();
  syncBuiltinESMExports();
  channel.sendByLane();
  if (isStarted) channel.invite();
  return { channel, endpoint };
}

/**
 * @param {any} port
 * @returns {import('./channel').Side}
 */
function workerSide(port) {
  return {
    port,
    needsPorts: true,
    postOnPort(args) {
      marks.check(args[0]);
      postWatched(port, args);
    },
    deliver(value) {
      dispatch.call(port, value, 'message', undefined);
    },
    deliverFromPort({ data, type, ports }) {
      port[kReceivedPorts] = ports;
      try {
        dispatch.call(port, data, type, undefined);
      } finally {
        port[kReceivedPorts] = undefined;
      }
    },
  };
}

module.exports.attach = attach;
