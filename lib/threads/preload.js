'use strict';

/**
 * Runs in each worker before any code of the user: takes what its parent left for it and puts hooks on its port.
 * Nothing else is loaded before it is needed, lanes are not made before messages are worth it (`connect`): until
 * then Node's port serves, and a worker starts and lives as Node's own do.
 *
 * Elsewhere it only tells what Node's own exports are, whatever has been replaced since.
 */

const path = require('node:path');
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
  const attachment = [path.join(__dirname, 'attach.js')];
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

function hookMessages() {
  hide(port, 'postMessage', function postMessage(/** @type {any} */ value, /** @type {any} */ _transfer) {
    if (channel === null && !isForLanes(undefined)) {
      // Looked up: it may have been replaced, see `marks.js`.
      return Reflect.apply(MessagePort.prototype.postMessage, port, arguments);
    }
    const lanes = /** @type {import('./channel').Channel} */ (channel);
    // Almost all messages: rest parameters would make an array for each.
    if (arguments.length === 1 && lanes.post(value)) return;
    lanes.postWithArguments(arguments);
  });
  hide(port, kDispatch, (/** @type {any} */ data, /** @type {any} */ type, /** @type {any} */ event) => {
    const isMessage = event === undefined && !isEmitting && (type === 'message' || type === 'messageerror');
    // Closed, by this side or because the port was passed on.
    if (type === 'close') close();
    if (!isMessage) return dispatch.call(port, data, type, event);
    if (channel === null && !isForLanes(data)) return dispatch.call(port, revived(data), type, event);
    channel?.receiveFromPort({ data, type, ports: port[kReceivedPorts] });
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

/** Delivery starts with the first listener and stops with the last, as Node starts and stops the port. */
function hookListeners() {
  for (const symbol of Object.getOwnPropertySymbols(port)) {
    const isAdded = symbol.description === 'kNewListener';
    if (!isAdded && symbol.description !== 'kRemoveListener') continue;
    const original = port[symbol];
    const descriptor = Object.getOwnPropertyDescriptor(port, symbol);
    Object.defineProperty(port, symbol, {
      ...descriptor,
      value(/** @type {any[]} */ ...args) {
        isNodeActing = true;
        const result = Reflect.apply(original, port, args);
        isNodeActing = false;
        if (args[1] === 'message' && args[0] === (isAdded ? 1 : 0)) setStarted(isAdded);
        return result;
      },
    });
  }
  if (port.listenerCount('message') > 0) setStarted(true);
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

function hookMethods() {
  /** @type {Record<string, () => void>} */
  const before = {
    ref: () => setHold(true),
    unref: () => setHold(false),
    close,
  };
  for (const [name, act] of Object.entries(before)) {
    const original = port[name];
    hide(port, name, (/** @type {any[]} */ ...args) => {
      act();
      return Reflect.apply(original, port, args);
    });
  }
  const { start } = port;
  hide(port, 'start', () => {
    Reflect.apply(start, port, []);
    setStarted(true);
  });
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

/** What belongs to ports of any kind, and to the module, but is loaded with its first use. */
function hookOthers() {
  const { prototype } = MessagePort;
  Object.defineProperty(prototype, kDispatch, {
    configurable: true,
    writable: true,
    value(/** @type {any} */ data, /** @type {any} */ type, /** @type {any} */ event) {
      if (event === undefined && isOurs(data) && connect()) {
        return Reflect.apply(prototype[kDispatch], this, [data, type, event]);
      }
      const isMessage = event === undefined && type === 'message';
      if (isMessage) {
        incoming.arrived();
        data = incoming.revive(data);
      }
      return Reflect.apply(dispatch, this, [data, type, event]);
    },
  });
  const loaded = () => (connect(), require('./calls').methods);
  const portMethods = Object.create(Object.getPrototypeOf(prototype));
  /** @type {Record<string, (this: any, ...args: any[]) => any>} */
  const methods = {
    request(value, options) {
      return Reflect.apply(loaded().request, this, [value, options]);
    },
    call(value, options) {
      return Reflect.apply(loaded().call, this, [value, options]);
    },
    onRequest(handler) {
      return Reflect.apply(loaded().onRequest, this, [handler]);
    },
  };
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(portMethods, name, { configurable: true, writable: true, value });
  }
  Object.setPrototypeOf(prototype, portMethods);
  module.exports.portMethods = portMethods;

  workerThreads.receiveMessageOnPort = receiveMessageOnPort;
  if (nodes.markAsUncloneable !== undefined) {
    workerThreads.markAsUncloneable = function markAsUncloneable(/** @type {any} */ object) {
      return require('./marks').exports.markAsUncloneable(object);
    };
  }
  replaceBroadcastChannel();
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

/**
 * What replaces the exports of the built-in module, loaded when one is asked for.
 * @param {string[]} names
 * @param {string} threadName
 */
function installLazily(names, threadName) {
  if (!('threadName' in nodes)) Object.assign(workerThreads, { threadName, isInternalThread: false });
  for (const name of names) {
    if (workerThreads[name] !== nodes[name] || name === 'threadName' || name === 'isInternalThread') continue;
    const settle = (/** @type {any} */ value) =>
      Object.defineProperty(workerThreads, name, {
        configurable: true,
        enumerable: true,
        writable: true,
        value,
      });
    Object.defineProperty(workerThreads, name, {
      configurable: true,
      enumerable: true,
      get() {
        const { install, installed } = require('./install');
        install();
        settle(installed[name]);
        return installed[name];
      },
      set: settle,
    });
  }
  const global = Object.getOwnPropertyDescriptor(globalThis, 'MessageChannel');
  if (global?.configurable !== true || !names.includes('MessageChannel')) return;
  // Not only when the class is asked for: a global function that changes meanwhile would be noticed.
  hookClone();
  Object.defineProperty(globalThis, 'MessageChannel', {
    configurable: true,
    enumerable: global.enumerable,
    get: () => workerThreads.MessageChannel,
    set(value) {
      Object.defineProperty(globalThis, 'MessageChannel', {
        configurable: true,
        enumerable: global.enumerable,
        writable: true,
        value,
      });
    },
  });
}

let isCloneHooked = false;

/** Lets `structuredClone` take ports along, which may be known here. */
function hookClone() {
  if (isCloneHooked) return;
  isCloneHooked = true;
  const { structuredClone: clone } = globalThis;
  const { enumerable, configurable } = /** @type {PropertyDescriptor} */ (
    Object.getOwnPropertyDescriptor(globalThis, 'structuredClone')
  );
  /** @this {any} */
  function structuredClone(/** @type {any} */ _value, /** @type {any} */ _options) {
    if (arguments.length < 2) return Reflect.apply(clone, this, arguments);
    return require('./local-ports').cloneWatched(clone, arguments);
  }
  Object.defineProperty(structuredClone, 'length', { value: clone.length, configurable: true });
  Object.defineProperty(globalThis, 'structuredClone', {
    configurable,
    enumerable,
    writable: true,
    value: structuredClone,
  });
}

/**
 * @param {object} object
 * @param {PropertyKey} name
 * @param {Function} value
 */
function hide(object, name, value) {
  const inherited = /** @type {any} */ (object)[name];
  if (typeof name === 'string') {
    Object.defineProperty(value, 'name', { value: name, configurable: true });
    Object.defineProperty(value, 'length', { value: inherited.length, configurable: true });
  }
  Object.defineProperty(object, name, { value, writable: true, enumerable: false, configurable: true });
}

module.exports.ALONE = ALONE;
module.exports.BroadcastChannel = BroadcastChannel;
module.exports.FEW_MESSAGES = FEW_MESSAGES;
module.exports.connect = connect;
module.exports.hookClone = hookClone;
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

if (ticket !== undefined) {
  hookMessages();
  hookListeners();
  hookMethods();
  hookOthers();
  workerThreads.workerData = revived(workerThreads.workerData);
  if (ticket.installed !== null) installLazily(ticket.installed, ticket.name);
  if (left <= 0) connect();
  if (ticket.wakeUp !== undefined) require('./spare').prepare(ticket.wakeUp);
}
