'use strict';

/** In a worker: puts the lanes under the built-in `parentPort`, in place, so that all code in it uses them. */

const { syncBuiltinESMExports } = require('node:module');
const workerThreads = require('node:worker_threads');
const broadcast = require('./broadcast');
const relay = require('./broadcast-relay');
const { PointEndpoint } = require('./call-point');
const { makerOf } = require('./call-port');
const { givePortsMethods, setEndpoint } = require('./calls');
const { Channel } = require('./channel');
const settings = require('../link/settings');
const marks = require('./marks');
const receive = require('./receive');
const { kDispatch, kReceivedPorts, dispatch, supported, listenerHooksOf } = require('./node-internals');

const { MessagePort } = workerThreads;

/**
 * @param {typeof import('../native/index')} addon
 * @param {import('./launch').Ticket} ticket
 */
function attach(addon, ticket) {
  /** @type {any} */
  const port = workerThreads.parentPort;
  const hooks = port === null ? undefined : listenerHooksOf(port);
  if (!supported || hooks === undefined) return;
  const isStarted = port.listenerCount('message') > 0;
  const link = addon.ThreadLink.attach(ticket.id);
  const channel = new Channel(addon, link, ticket.token, workerSide(port), isStarted);
  settings.register(port, channel);
  hookDelivery(port, channel);
  hookListeners(port, hooks, channel, isStarted);
  hookMethods(port, channel);
  receive.takeBy(port, () => channel.receiveNow());
  answerRequests(addon, ticket, port, channel);
  relay.setParent((entry) => channel.postBroadcast(entry));
  broadcast.replaceBuiltin();
  receive.replaceBuiltin();
  marks.replaceBuiltin();
  syncBuiltinESMExports();
}

/**
 * @param {typeof import('../native/index')} addon
 * @param {import('./launch').Ticket} ticket
 * @param {any} port
 * @param {Channel} channel
 */
function answerRequests(addon, ticket, port, channel) {
  givePortsMethods(makerOf(addon));
  // Kept by the port: its end, with that of the thread, tells the parent.
  const endpoint = new PointEndpoint(addon, new addon.CallPoint(ticket.id, true), channel, true);
  setEndpoint(port, endpoint);
  for (const [name, on] of /** @type {const} */ ([
    ['ref', true],
    ['unref', false],
  ])) {
    const original = port[name];
    hide(port, name, () => {
      endpoint.setHold(on);
      return Reflect.apply(original, port, []);
    });
  }
  const { close } = port;
  hide(port, 'close', (/** @type {any[]} */ ...args) => {
    endpoint.close();
    return Reflect.apply(close, port, args);
  });
}

/**
 * @param {any} port
 * @returns {import('./channel').Side}
 */
function workerSide(port) {
  const { postMessage } = MessagePort.prototype;
  return {
    port,
    needsPorts: true,
    postOnPort(args) {
      Reflect.apply(postMessage, port, args);
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

/**
 * @param {any} port
 * @param {Channel} channel
 */
function hookDelivery(port, channel) {
  let isEmitting = false;
  hide(port, kDispatch, (/** @type {any} */ data, /** @type {any} */ type, /** @type {any} */ event) => {
    const isMessage = event === undefined && !isEmitting && (type === 'message' || type === 'messageerror');
    // Closed, by this side or because the port was passed on.
    if (type === 'close') channel.close();
    if (!isMessage) return dispatch.call(port, data, type, event);
    channel.receiveFromPort({ data, type, ports: port[kReceivedPorts] });
  });
  const { emit } = port;
  hide(port, 'emit', (/** @type {any[]} */ ...args) => {
    isEmitting = true;
    try {
      return Reflect.apply(emit, port, args);
    } finally {
      isEmitting = false;
    }
  });
}

/**
 * Delivery starts with the first listener and stops with the last, as Node starts and stops the port.
 * @param {any} port
 * @param {{ added: symbol, removed: symbol }} hooks
 * @param {Channel} channel
 * @param {boolean} isStarted
 */
function hookListeners(port, hooks, channel, isStarted) {
  let isInvited = false;
  const start = () => {
    if (!isInvited) channel.invite();
    isInvited = true;
    channel.setStarted(true);
  };
  if (isStarted) start();
  const added = port[hooks.added];
  replace(port, hooks.added, (/** @type {any[]} */ ...args) => {
    const result = Reflect.apply(added, port, args);
    if (args[1] === 'message' && args[0] === 1) start();
    return result;
  });
  const removed = port[hooks.removed];
  replace(port, hooks.removed, (/** @type {any[]} */ ...args) => {
    const result = Reflect.apply(removed, port, args);
    if (args[1] === 'message' && args[0] === 0) channel.setStarted(false);
    return result;
  });
  const { start: startPort } = port;
  hide(port, 'start', () => {
    Reflect.apply(startPort, port, []);
    start();
  });
}

/**
 * @param {any} port
 * @param {Channel} channel
 */
function hookMethods(port, channel) {
  let sendsByLane = false;
  hide(port, 'postMessage', function postMessage(/** @type {any} */ value, /** @type {any} */ _transfer) {
    if (!sendsByLane) {
      channel.sendByLane();
      sendsByLane = true;
    }
    // Almost all messages: rest parameters would make an array for each.
    if (arguments.length === 1 && channel.post(value)) return;
    channel.postWithArguments(arguments);
  });
  const { close } = port;
  hide(port, 'close', (/** @type {any[]} */ ...args) => {
    channel.close();
    return Reflect.apply(close, port, args);
  });
}

/**
 * @param {any} object
 * @param {PropertyKey} name
 * @param {Function} value
 */
function hide(object, name, value) {
  const inherited = object[name];
  if (typeof name === 'string') {
    Object.defineProperty(value, 'name', { value: name, configurable: true });
    Object.defineProperty(value, 'length', { value: inherited.length, configurable: true });
  }
  Object.defineProperty(object, name, { value, writable: true, enumerable: false, configurable: true });
}

/**
 * @param {any} object
 * @param {symbol} name of an own property
 * @param {Function} value
 */
function replace(object, name, value) {
  const descriptor = Object.getOwnPropertyDescriptor(object, name);
  Object.defineProperty(object, name, { ...descriptor, value });
}

module.exports.attach = attach;
