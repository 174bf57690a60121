'use strict';

/**
 * Runs in each worker before any user code: takes over what the parent passed and hooks the port to the parent.
 * Everything else is loaded on demand, and lanes are created only once traffic justifies them (`connect`); until
 * then Node's port is used, and a worker starts and runs like Node's own.
 *
 * In other threads it only captures Node's original exports, before they are replaced.
 */

const workerThreads = /** @type {any} */ (require('node:worker_threads'));

const ENVIRONMENT_KEY = 'manycore.link';
/** Prefix of the first element of messages that are not for the program. */
const OURS = 'manycore:';
/** See `channel.js`. */
const ALONE = 'manycore:alone';
/** Up to this many messages do not justify any set-up. */
const FEW_MESSAGES = 64;
/** See `lib/link/travellers.js`. */
const STAND_IN = 'manycore:shared';
/** See `node-internals.js`, which is not loaded just for these. */
const kDispatch = Symbol.for('nodejs.internal.kHybridDispatch');
const kReceivedPorts = Symbol.for('nodejs.internal.kCurrentlyReceivingPorts');

/** Where another copy of manycore that has replaced Node's exports in this process keeps the original ones. */
const ORIGINALS = Symbol.for('manycore.originals');

/** Node's original exports. */
const nodes = workerThreads[ORIGINALS] ?? { ...workerThreads };
const { MessagePort } = nodes;
/** Node's delivery of a message on a port; the method on the prototype is replaced below. */
const dispatch = MessagePort.prototype[kDispatch];

/** Node's class with the additional option `scope`. @type {typeof import('node:worker_threads').BroadcastChannel} */
const BroadcastChannel = new Proxy(nodes.BroadcastChannel, {
  construct(target, args, newTarget) {
    const made = args.length < 2 ? target : require('./broadcast').classFor(args);
    if (newTarget === BroadcastChannel) return Reflect.construct(made, args);
    // A subclass defined by the program.
    return Reflect.construct(made, args, newTarget);
  },
});

/** @type {import('./launch').Ticket | undefined} */
const ticket = workerThreads.isMainThread ? undefined : redeem();

/**
 * The port to the parent, whose messages use lanes once there are any.
 * @type {any}
 */
const port = ticket === undefined ? null : workerThreads.parentPort;
/** Number of messages left that Node's port carries before lanes are created. */
let left = ticket === undefined ? Infinity : ticket.lanesAfter;
/** Number of messages left, on ports between any threads, that are only counted, see `port-watch.js`. */
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
/** Whether Node itself is starting or stopping the port because listeners were added or removed. */
let isNodeActing = false;
/** Original methods of the port that are hooked. @type {Record<string, Function>} */
let originals;
/**
 * Receive functions of ports whose messages do not all come from Node's own queue.
 * @type {WeakMap<object, () => { message: any } | undefined>}
 */
const takers = new WeakMap();

/** Takes the ticket, once, and removes our own entries from `process.execArgv`. */
function redeem() {
  const found = /** @type {import('./launch').Ticket | undefined} */ (
    workerThreads.getEnvironmentData(ENVIRONMENT_KEY)
  );
  if (found === undefined) return undefined;
  workerThreads.setEnvironmentData(ENVIRONMENT_KEY, undefined);
  // The first two are `--require` and this file.
  if (found.execArgv === null) process.execArgv.splice(0, 2);
  else process.execArgv.splice(0, Infinity, ...found.execArgv);
  return found;
}

/**
 * Loads the code behind the hooks and switches messages to lanes.
 * @returns {boolean} false if lanes are not possible; Node's port is then used alone
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

/** Tells the parent, which may be waiting for lanes. */
function stayAlone() {
  if (!isAlone) Reflect.apply(MessagePort.prototype.postMessage, port, [[ALONE]]);
  isAlone = true;
  return false;
}

/**
 * Returns the addon, or null if it is unavailable.
 * @param {string | undefined} file
 * @returns {typeof import('../native/index') | null}
 */
function loadAddon(file) {
  try {
    if (file !== undefined) return require(file);
  } catch {
    // Refused in this worker, or a broken file: the call below reports why.
  }
  return require('../core/addon').loadAddon();
}

/** @param {any} data data of a message */
function isOurs(data) {
  return Array.isArray(data) && typeof data[0] === 'string' && data[0].startsWith(OURS);
}

/**
 * Returns a cloned value with stand-ins replaced by the shared objects they stand for (`lib/link/travellers.js`,
 * which is loaded only if there are any).
 * @param {any} value
 */
function revived(value) {
  return holdsStandIn(value) ? require('../link/travellers').revive(value) : value;
}

/** @param {any} value a clone, so reading it has no side effects */
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

/** Counts a message. Returns true if the message requires lanes and they are available. @param {any} data */
function isForLanes(data) {
  return (left-- <= 0 || isOurs(data)) && connect();
}

/**
 * Methods put on the port in place of those of its class; a class, so that they have the same property attributes.
 * This code is compiled in every worker and therefore kept small.
 */
class Hooks {
  postMessage() {
    if (channel === null && !isForLanes(undefined)) {
      // Looked up on each call: it may have been replaced, see `marks.js`.
      return Reflect.apply(MessagePort.prototype.postMessage, port, arguments);
    }
    const lanes = /** @type {import('./channel').Channel} */ (channel);
    // The common case; rest parameters would allocate an array per message.
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
    // Closed by this side, or because the port was transferred.
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

/** Callbacks for messages that Node delivers on any port. Replaced once there are many. */
const incoming = {
  arrived() {
    if (unwatched-- > 0) return;
    Object.assign(incoming, require('./port-watch').watch(loadAddon(ticket?.addonFile)));
  },
  revive: revived,
};

/** Methods of every port, whose implementation is loaded on first use. */
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
 * Delivers messages on any port.
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

/** Replaces the class on the built-in module and the global object. */
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
 * Object with `request`, `call` and `onRequest`, inserted between the ports' class and its prototype.
 * @type {object | null}
 */
module.exports.ORIGINALS = ORIGINALS;
module.exports.portMethods = null;
module.exports.replaceBroadcastChannel = replaceBroadcastChannel;
module.exports.ticket = ticket;
module.exports.revived = revived;
module.exports.takers = takers;
module.exports.receiveMessageOnPort = receiveMessageOnPort;

// Not in functions: those would be parsed twice, before they run.
if (ticket !== undefined) {
  if (ticket.compileCache !== null) {
    /** @type {any} */ (require('node:module')).enableCompileCache(ticket.compileCache);
  }

  // Hooks on the port to the parent.
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

  // Hooks on all ports, and on the module.
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
