'use strict';

/**
 * Runs in each worker before any code of the user: takes what its parent left for it and puts hooks on its port.
 * Nothing else is loaded before it is needed, lanes are not made before messages are worth it (`connect`): until
 * then Node's port serves, and a worker starts and lives as Node's own do.
 *
 * Elsewhere it only tells what Node's own exports are, whatever has been replaced since.
 */

const workerThreads = /** @type {any} */ (require('node:worker_threads'));

const ENVIRONMENT_KEY = 'manycore.link';
/** How the first word of a message begins that is not for the program. */
const OURS = 'manycore:';
/** See `channel.js`. */
const ALONE = 'manycore:alone';
/** So many messages are no reason to set anything up for more of them. */
const FEW_MESSAGES = 64;
/** See `lib/link/travellers.js`. */
const STAND_IN = 'manycore:shared';
/** See `node-internals.js`, which is not loaded for these. */
const kDispatch = Symbol.for('nodejs.internal.kHybridDispatch');
const kReceivedPorts = Symbol.for('nodejs.internal.kCurrentlyReceivingPorts');

/** Node's own exports. */
const nodes = { ...workerThreads };
const { MessagePort } = nodes;
/** How Node delivers what has come on a port; the prototype's is replaced below. */
const dispatch = MessagePort.prototype[kDispatch];

/** Node's class, but for the choice of a scope. @type {typeof import('node:worker_threads').BroadcastChannel} */
const BroadcastChannel = new Proxy(nodes.BroadcastChannel, {
  construct(target, args, newTarget) {
    const made = args[1]?.scope === undefined ? target : require('./broadcast').classFor(args);
    if (newTarget === BroadcastChannel) return Reflect.construct(made, args);
    // A class of the program's that extends it.
    return Reflect.construct(made, args, newTarget);
  },
});

/** @type {import('./launch').Ticket | undefined} */
const ticket = workerThreads.isMainThread ? undefined : redeem();

/**
 * The port to the parent, whose messages go by lanes once there are any.
 * @type {any}
 */
const port = ticket === undefined ? null : workerThreads.parentPort;
/** Messages that Node's port carries before lanes are made. */
let left = ticket === undefined ? Infinity : ticket.lanesAfter;
/** Messages of ports between any threads that are no more than counted, see `port-watch.js`. */
let unwatched = ticket === undefined ? FEW_MESSAGES : ticket.lanesAfter;
/** @type {import('./channel').Channel | null} */
let channel = null;
/** @type {import('./call-point').PointEndpoint | null} */
let endpoint = null;
let isClosed = false;
let isAlone = false;
let isEmitting = false;
/** Whether the port delivers messages. */
let isStarted = false;
/** Whether the program wants the port to keep the event loop alive. */
let isRef = true;
/** Within what Node does with the port as listeners come and go. */
let isNodeActing = false;
/** Methods of the port that are hooked. @type {Record<string, Function>} */
let originals;
/** Ports whose messages do not all come from Node's own queue. @type {WeakMap<object, () => { message: any } | undefined>} */
const takers = new WeakMap();

/** The ticket, once. Options that are ours are taken out of sight. */
function redeem() {
  const found = /** @type {import('./launch').Ticket | undefined} */ (
    workerThreads.getEnvironmentData(ENVIRONMENT_KEY)
  );
  if (found === undefined) return undefined;
  workerThreads.setEnvironmentData(ENVIRONMENT_KEY, undefined);
  // `--require` and this file come first.
  if (found.execArgv === null) process.execArgv.splice(0, 2);
  else process.execArgv.splice(0, Infinity, ...found.execArgv);
  return found;
}

/**
 * Loads what is behind the hooks, and lets messages go by lanes.
 * @returns {boolean} false where that cannot be: Node's port goes on alone
 */
function connect() {
  if (channel !== null) return true;
  left = Infinity;
  if (isClosed || ticket === undefined) return false;
  const addon = loadAddon(ticket.addonFile);
  if (addon === null) return stayAlone();
  const attachment = [`${__dirname}/attach.js`];
  const [{ attach }] = require('../core/own-code').loadShared(addon, 'attach', attachment, true);
  ({ channel, endpoint } = attach(addon, ticket, port, { isStarted, isRef }));
  return true;
}

/** Tells the parent, which may wait for lanes. */
function stayAlone() {
  if (!isAlone) Reflect.apply(MessagePort.prototype.postMessage, port, [[ALONE]]);
  isAlone = true;
  return false;
}

/**
 * The addon, null where it cannot be had.
 * @param {string | undefined} file
 * @returns {typeof import('../native/index') | null}
 */
function loadAddon(file) {
  try {
    if (file !== undefined) return require(file);
  } catch {
    // Refused in this worker, or worse: what says so is this.
  }
  return require('../core/addon').loadAddon();
}

/** @param {any} data of a message that may not be for the program */
function isOurs(data) {
  return Array.isArray(data) && typeof data[0] === 'string' && data[0].startsWith(OURS);
}

/**
 * What the platform has cloned, with shared objects in the place of their stand-ins (`lib/link/travellers.js`, which is not
 * loaded before there are any).
 * @param {any} value
 */
function revived(value) {
  return holdsStandIn(value) ? require('../link/travellers').revive(value) : value;
}

/** @param {any} value a clone: reading it runs nothing */
function holdsStandIn(value) {
  if (typeof value !== 'object' || value === null) return false;
  const seen = new Set([value]);
  for (const each of seen) {
    let parts = each;
    if (each instanceof Map) parts = [...each.keys(), ...each.values()];
    else if (each instanceof Set) parts = [...each];
    else if (!Array.isArray(each) && Object.getPrototypeOf(each) !== Object.prototype) continue;
    for (const name in parts) {
      if (name === STAND_IN) return true;
      const part = parts[name];
      if (typeof part === 'object' && part !== null) seen.add(part);
    }
  }
  return false;
}

/** Counts a message. True when it is one for which there must be lanes, and there are. @param {any} data */
function isForLanes(data) {
  return (left-- <= 0 || isOurs(data)) && connect();
}

/**
 * What the port has instead of methods of its class; a class, for its methods have the properties that those have. Such
 * code is compiled in each worker: there is as little of it as can be.
 */
class Hooks {
  postMessage() {
    if (channel === null && !isForLanes(undefined)) {
      // Looked up: it may have been replaced, see `marks.js`.
      return Reflect.apply(MessagePort.prototype.postMessage, port, arguments);
    }
    const lanes = /** @type {import('./channel').Channel} */ (channel);
    // Almost all messages: rest parameters would make an array for each.
    if (arguments.length === 1 && lanes.post(arguments[0])) return;
    lanes.postWithArguments(arguments);
  }

  /**
   * @param {any} data
   * @param {any} type
   * @param {any} event
   */
  [kDispatch](data, type, event) {
    const isMessage = event === undefined && !isEmitting && (type === 'message' || type === 'messageerror');
    // Closed, by this side or because the port was passed on.
    if (type === 'close') close();
    if (!isMessage) return dispatch.call(port, data, type, event);
    if (channel === null && !isForLanes(data)) return dispatch.call(port, revived(data), type, event);
    channel?.receiveFromPort({ data, type, ports: port[kReceivedPorts] });
  }

  /**
   * @param {any} _type
   * @param {any} _arg
   */
  emit(_type, _arg) {
    isEmitting = true;
    try {
      return Reflect.apply(originals.emit, port, arguments);
    } finally {
      isEmitting = false;
    }
  }

  start() {
    Reflect.apply(originals.start, port, []);
    setStarted(true);
  }

  ref() {
    setHold(true);
    return Reflect.apply(originals.ref, port, arguments);
  }

  unref() {
    setHold(false);
    return Reflect.apply(originals.unref, port, arguments);
  }

  /** @param {any} _callback */
  close(_callback) {
    close();
    return Reflect.apply(originals.close, port, arguments);
  }
}

/**
 * @param {object} object
 * @param {Function} Class
 */
function addMethods(object, Class) {
  const methods = Object.getOwnPropertyDescriptors(Class.prototype);
  Reflect.deleteProperty(methods, 'constructor');
  Object.defineProperties(object, methods);
}

/** @param {boolean} on */
function setStarted(on) {
  isStarted = on;
  if (on) channel?.invite();
  channel?.setStarted(on);
}

function close() {
  isClosed = true;
  endpoint?.close();
  channel?.close();
}

/** @param {boolean} on */
function setHold(on) {
  if (isNodeActing) return;
  isRef = on;
  endpoint?.setHold(on);
}

/** What is done with messages that Node delivers on ports of any kind. It changes when they become many. */
const incoming = {
  arrived() {
    if (unwatched-- > 0) return;
    Object.assign(incoming, require('./port-watch').watch(loadAddon(ticket?.addonFile)));
  },
  revive: revived,
};

/** What ports of any kind have, loaded with its first use. */
class PortMethods {
  /**
   * @this {any}
   * @param {any} value
   * @param {any} options
   */
  request(value, options) {
    return Reflect.apply(loadCalls().request, this, [value, options]);
  }

  /**
   * @this {any}
   * @param {any} value
   * @param {any} options
   */
  call(value, options) {
    return Reflect.apply(loadCalls().call, this, [value, options]);
  }

  /**
   * @this {any}
   * @param {any} handler
   */
  onRequest(handler) {
    return Reflect.apply(loadCalls().onRequest, this, [handler]);
  }
}

function loadCalls() {
  connect();
  return require('./calls').methods;
}

/**
 * How messages on ports of any kind are delivered.
 * @this {any}
 * @param {any} data
 * @param {any} type
 * @param {any} event
 */
function dispatchOfAny(data, type, event) {
  if (event === undefined && isOurs(data) && connect()) {
    return Reflect.apply(MessagePort.prototype[kDispatch], this, [data, type, event]);
  }
  if (event === undefined && type === 'message') {
    incoming.arrived();
    data = incoming.revive(data);
  }
  return Reflect.apply(dispatch, this, [data, type, event]);
}

/** Replaces it on the built-in module and the global object. */
function replaceBroadcastChannel() {
  workerThreads.BroadcastChannel = BroadcastChannel;
  const global = Object.getOwnPropertyDescriptor(globalThis, 'BroadcastChannel');
  if (global?.configurable !== true) return;
  Object.defineProperty(globalThis, 'BroadcastChannel', {
    configurable: true,
    enumerable: global.enumerable,
    writable: true,
    value: BroadcastChannel,
  });
}

/**
 * @param {any} from
 * @returns {{ message: any } | undefined}
 */
function receiveMessageOnPort(from) {
  const take = takers.get(from);
  if (take !== undefined) return take();
  const message = nodes.receiveMessageOnPort(from);
  if (message === undefined) return message;
  const isAside = from === port && isForLanes(message.message) && channel?.takeAside(message.message);
  if (isAside) return receiveMessageOnPort(from);
  message.message = revived(message.message);
  return message;
}

module.exports.ALONE = ALONE;
module.exports.BroadcastChannel = BroadcastChannel;
module.exports.FEW_MESSAGES = FEW_MESSAGES;
module.exports.connect = connect;
module.exports.dispatch = dispatch;
module.exports.incoming = incoming;
module.exports.nodes = nodes;
module.exports.port = port;
/**
 * What gives ports `request`, `call` and `onRequest`, standing between their class and its prototype.
 * @type {object | null}
 */
module.exports.portMethods = null;
module.exports.replaceBroadcastChannel = replaceBroadcastChannel;
module.exports.ticket = ticket;
module.exports.revived = revived;
module.exports.takers = takers;
module.exports.receiveMessageOnPort = receiveMessageOnPort;

// Not in functions: those are read twice before they run.
if (ticket !== undefined) {
  if (ticket.compileCache !== null) {
    /** @type {any} */ (require('node:module')).enableCompileCache(ticket.compileCache);
  }

  // The port.
  originals = { emit: port.emit, start: port.start, ref: port.ref, unref: port.unref, close: port.close };
  addMethods(port, Hooks);
  // Delivery starts with the first listener and stops with the last, as Node starts and stops the port.
  for (const symbol of Object.getOwnPropertySymbols(port)) {
    const isAdded = symbol.description === 'kNewListener';
    if (!isAdded && symbol.description !== 'kRemoveListener') continue;
    const descriptor = /** @type {PropertyDescriptor} */ (Object.getOwnPropertyDescriptor(port, symbol));
    const original = descriptor.value;
    descriptor.value = (
      /** @type {number} */ size,
      /** @type {string} */ type,
      /** @type {any[]} */ ...more
    ) => {
      isNodeActing = true;
      const result = Reflect.apply(original, port, [size, type, ...more]);
      isNodeActing = false;
      if (type === 'message' && size === (isAdded ? 1 : 0)) setStarted(isAdded);
      return result;
    };
    Object.defineProperty(port, symbol, descriptor);
  }
  if (port.listenerCount('message') > 0) setStarted(true);

  // Ports of any kind, and the module.
  const { prototype } = MessagePort;
  Object.defineProperty(prototype, kDispatch, {
    configurable: true,
    writable: true,
    value: dispatchOfAny,
  });
  const portMethods = Object.create(Object.getPrototypeOf(prototype));
  addMethods(portMethods, PortMethods);
  Object.setPrototypeOf(prototype, portMethods);
  module.exports.portMethods = portMethods;

  workerThreads.receiveMessageOnPort = receiveMessageOnPort;
  if (nodes.markAsUncloneable !== undefined) {
    workerThreads.markAsUncloneable = function markAsUncloneable(/** @type {any} */ object) {
      return require('./marks').exports.markAsUncloneable(object);
    };
  }
  replaceBroadcastChannel();

  workerThreads.workerData = revived(workerThreads.workerData);
  if (ticket.installed !== null) require('./install-lazily').installLazily(ticket.installed, ticket.name);
  if (left <= 0) connect();
  if (ticket.wakeUp !== undefined) require('./spare').prepare(ticket.wakeUp);
}
