'use strict';

/**
 * Message channels created in this thread, for as long as both ports stay in it: messages are queued beside Node's
 * queue (`port-inbox`), and every way in which a port can leave the thread is intercepted. After that, and for
 * everything else, ports behave as Node's own. Iterators are avoided throughout, since programs may replace those
 * of arrays.
 */

const { replaceMethod } = require('./marks');
const { kDispatch } = require('./node-internals');
const { PortInbox } = require('./port-inbox');
const { hookClone } = require('./install-lazily');
const { nodes } = require('./preload');
const { takeBy } = require('./receive');

const { MessageChannel: NodeChannel, MessagePort } = nodes;
const { postMessage } = MessagePort.prototype;

/** The two ports of a channel. */
class Pair {
  /** Whether both ports are in this thread and open. */
  isActive = true;
  #first;
  #second;

  /**
   * @param {any} port1
   * @param {any} port2
   * @param {(error: any) => void} reportUncaught
   */
  constructor(port1, port2, reportUncaught) {
    const first = new PortInbox(port1, port2, this, reportUncaught);
    const second = new PortInbox(port2, port1, this, reportUncaught);
    this.#first = first;
    this.#second = second;
    new Ends(port1, this, first, second);
    new Ends(port2, this, second, first);
    takeBy(port1, () => first.receiveNow());
    takeBy(port2, () => second.receiveNow());
  }

  /** Hands the channel over to Node, with all queued messages. */
  leave() {
    if (!this.isActive) return;
    this.isActive = false;
    this.#first.settle();
    this.#second.settle();
  }
}

class Given {
  /** @param {object} object */
  constructor(object) {
    return object;
  }
}

/** State of a port, in private fields installed on the port object itself. */
class Ends extends Given {
  /** @type {Pair} */
  #pair;
  /** @type {PortInbox} */
  #incoming;
  /** @type {PortInbox} */
  #outgoing;

  /**
   * @param {object} port
   * @param {Pair} pair
   * @param {PortInbox} incoming
   * @param {PortInbox} outgoing
   */
  constructor(port, pair, incoming, outgoing) {
    super(port);
    this.#pair = pair;
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    Object.defineProperty(port, kDispatch, { configurable: true, writable: true, value: dispatchNoted });
  }

  /** @param {any} port @returns {Pair | undefined} */
  static pairOf(port) {
    return isObject(port) && #pair in port ? port.#pair : undefined;
  }

  /** @param {any} port @returns {PortInbox | undefined} */
  static incomingOf(port) {
    return isObject(port) && #pair in port ? port.#incoming : undefined;
  }

  /** @param {any} port @returns {PortInbox | undefined} */
  static outgoingOf(port) {
    return isObject(port) && #pair in port ? port.#outgoing : undefined;
  }
}

/** @param {any} value */
function isObject(value) {
  return typeof value === 'object' && value !== null;
}

/**
 * Posts on a port as Node does, and hands over the ports in the transfer list.
 * @param {any} port
 * @param {ArrayLike<any>} args arguments of `postMessage`
 */
function postWatched(port, args) {
  const outgoing = Ends.outgoingOf(port);
  const send = (/** @type {any[]} */ list) =>
    outgoing === undefined ? Reflect.apply(postMessage, port, list) : outgoing.postToNode(list);
  /** @type {any[]} */
  const list = [];
  for (let i = 0; i < args.length; i++) list[i] = args[i];
  if (!isObject(list[1])) return send(list);
  return whileLeaving((leave) => {
    list[1] = watched(list[1], leave);
    return send(list);
  });
}

/**
 * Runs a function that may transfer ports. If it throws, the ports are kept here.
 * @template T
 * @param {(leave: (item: any) => void) => T} run
 */
function whileLeaving(run) {
  /** @type {Pair[]} */
  const left = [];
  try {
    return run((item) => {
      const pair = Ends.pairOf(item);
      if (pair === undefined || !pair.isActive) return;
      pair.leave();
      left.push(pair);
    });
  } catch (error) {
    for (let i = 0; i < left.length; i++) left[i].isActive = true;
    throw error;
  }
}

/**
 * Wraps a transfer list, or options that contain one, so that `leave` is called with each item before Node takes
 * it. The list must be read only once.
 * @param {any} list
 * @param {(item: any) => void} leave
 */
function watched(list, leave) {
  if (Array.isArray(list)) {
    for (let i = 0; i < list.length; i++) leave(list[i]);
    return list;
  }
  return new Proxy(list, {
    get(target, name) {
      const value = target[name];
      if (name === 'transfer') return isObject(value) ? watched(value, leave) : value;
      if (name !== Symbol.iterator || typeof value !== 'function') return value;
      return () => watchedIterator(Reflect.apply(value, target, []), leave);
    },
  });
}

/**
 * @param {any} iterator
 * @param {(item: any) => void} leave
 */
function watchedIterator(iterator, leave) {
  if (!isObject(iterator)) return iterator;
  const { next } = iterator;
  if (typeof next !== 'function') return iterator;
  return {
    next() {
      const result = Reflect.apply(next, iterator, []);
      if (!isObject(result)) return result;
      const { done, value } = result;
      if (!done) leave(value);
      return { done, value };
    },
  };
}

/** Hands a port over to Node for good. @param {any} port */
function leave(port) {
  Ends.pairOf(port)?.leave();
}

/**
 * Delivers what Node has received for a port of this thread.
 * @this {any}
 * @param {any} data
 * @param {any} type
 * @param {any} event
 */
function dispatchNoted(data, type, event) {
  if (event === undefined && (type === 'message' || type === 'messageerror') && !isEmitting) {
    if (Ends.incomingOf(this)?.receive(data)) return;
  }
  Reflect.apply(MessagePort.prototype[kDispatch], this, [data, type, event]);
}

/** Whether the program is emitting a message itself, that is, one that does not come from a queue. */
let isEmitting = false;

function hookPorts() {
  const { prototype } = MessagePort;
  const { close } = prototype;
  replaceMethod(prototype, 'postMessage', function (/** @type {any} */ value, /** @type {any} */ transfer) {
    const { length } = arguments;
    if (length === 1 || (length === 2 && isNoTransfer(transfer))) {
      const outgoing = Ends.outgoingOf(this);
      if (outgoing !== undefined) return outgoing.post(value);
      return Reflect.apply(postMessage, this, [value]);
    }
    return postWatched(this, arguments);
  });
  replaceMethod(prototype, 'close', function () {
    const end = () => {
      leave(this);
      return Reflect.apply(close, this, arguments);
    };
    return Ends.outgoingOf(this)?.closeOncePosted(end) ? undefined : end();
  });
  const inherited = Object.getPrototypeOf(prototype);
  const { emit } = inherited;
  /** @this {any} */
  function emitUnqueued(/** @type {any[]} */ ...args) {
    const before = isEmitting;
    isEmitting = true;
    try {
      return Reflect.apply(emit, this, args);
    } finally {
      isEmitting = before;
    }
  }
  Object.defineProperty(inherited, 'emit', {
    ...Object.getOwnPropertyDescriptor(inherited, 'emit'),
    configurable: true,
    writable: true,
    value: named(emit, emitUnqueued),
  });
}

/** Replacement for Node's class, whose channels are handled here. */
function MessageChannel() {
  // Node's class throws if called without `new`.
  if (new.target === undefined) return Reflect.apply(NodeChannel, undefined, []);
  const channel = Reflect.construct(
    NodeChannel,
    [],
    new.target === MessageChannel ? NodeChannel : new.target,
  );
  new Pair(channel.port1, channel.port2, reportUncaught);
  return channel;
}
Object.defineProperty(
  MessageChannel,
  'prototype',
  /** @type {PropertyDescriptor} */ (Object.getOwnPropertyDescriptor(NodeChannel, 'prototype')),
);

/** @type {(error: any) => void} */
let reportUncaught;

/** @param {any} transfer */
function isNoTransfer(transfer) {
  return transfer === undefined || transfer === null || (Array.isArray(transfer) && transfer.length === 0);
}

/**
 * Gives a function the name and length of `like`.
 * @template {Function} T
 * @param {Function} like
 * @param {T} value
 * @returns {T}
 */
function named(like, value) {
  Object.defineProperty(value, 'name', { value: like.name, configurable: true });
  Object.defineProperty(value, 'length', { value: like.length, configurable: true });
  return value;
}

/** Node's function, after handing the port over. */
const moveMessagePortToContext = named(
  nodes.moveMessagePortToContext,
  function moveMessagePortToContext(/** @type {any[]} */ ...args) {
    return whileLeaving((leaving) => {
      leaving(args[0]);
      return Reflect.apply(nodes.moveMessagePortToContext, undefined, args);
    });
  },
);

/**
 * Clones as `structuredClone` does, and hands over the ports in the transfer list.
 * @param {Function} clone Node's `structuredClone`
 * @param {ArrayLike<any>} args its arguments
 */
function cloneWatched(clone, args) {
  const value = args[0];
  const given = args[1];
  if (!isObject(given)) return Reflect.apply(clone, undefined, args);
  return whileLeaving((leaving) => {
    // Only `transfer` matters: the options may be iterable without being a list.
    const options = new Proxy(given, {
      get(target, name) {
        const list = target[name];
        return name === 'transfer' && isObject(list) ? watched(list, leaving) : list;
      },
    });
    return Reflect.apply(clone, undefined, [value, options]);
  });
}

/**
 * Enables local channels: hooks every way in which ports can leave the thread, and replaces the global class.
 * @param {(error: any) => void} report reports an error thrown by a tick
 */
function install(report) {
  reportUncaught = report;
  hookPorts();
  hookClone();
  NodeChannel.prototype.constructor = MessageChannel;
  const global = Object.getOwnPropertyDescriptor(globalThis, 'MessageChannel');
  if (global?.configurable !== true) return;
  Object.defineProperty(globalThis, 'MessageChannel', {
    configurable: true,
    enumerable: global.enumerable,
    writable: true,
    value: MessageChannel,
  });
}

/** Replacements for exports of the built-in module. */
module.exports.exports = { MessageChannel, moveMessagePortToContext };
module.exports.cloneWatched = cloneWatched;
module.exports.install = install;
module.exports.leave = leave;
module.exports.postWatched = postWatched;
