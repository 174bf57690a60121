'use strict';

/**
 * Requests on ports that programs made or were given. Whoever asks first makes the lanes and tells the other
 * side by a message on the port, which is not delivered. The side that answers stays where it is: its port
 * cannot be transferred any more. The side that asks may pass its port on, and what waits for an answer then
 * fails.
 */

const { makeError } = require('../core/errors');
const { openLink, portsIn } = require('./call-transport');
const localPorts = require('./local-ports');
const { kDispatch, kReceivedPorts, dispatch, listenerHooksOf } = require('./node-internals');
const { incoming, nodes } = require('./preload');
const { receiveFromNode, takeBy } = require('./receive');
const { revive } = require('../link/travellers');
const { setEndpoint } = require('./calls');

const { MessageChannel, MessagePort, markAsUntransferable } = nodes;
const postMessage = MessagePort.prototype.postMessage;
const { start, ref } = MessagePort.prototype;

/** Begins the message by which lanes are announced: `[token, number, port beside them]`. */
const TOKEN = 'manycore:calls:5c1d1f0e-7d0b-4f0b-8f3e-8a53e2a0f9d6';

/** How often a blocked caller looks whether there is still another side, as long as that has not come. */
const PROBE_MS = 100;

/** @typedef {import('../link/call-link').CallLink} CallLink */
/** @typedef {{ data: any, type: string, ports: any }} Held */

/** Ports of this thread that answer. @type {Set<PortEndpoint>} */
const answering = new Set();

/** Links whose owners are in this thread, by number. @type {Map<number, CallLink>} */
const owners = new Map();
/** The other side of a link, where it is in the same thread. @type {WeakMap<CallLink, CallLink>} */
const neighbours = new WeakMap();

/** @param {any} data */
function isToken(data) {
  return Array.isArray(data) && data[0] === TOKEN;
}

class PortEndpoint {
  #addon;
  #port;
  /** @type {CallLink | undefined} */
  #link;
  /** Lanes that the other side made while this one made its own. @type {CallLink[]} */
  #others = [];
  /** @type {import('../link/call-link').Handler | null} */
  #handler = null;
  /** What came while nobody listened, or has been taken off the port before its turn. @type {Held[]} */
  #held = [];
  #isFlushing = false;
  #isClosed = false;
  #probeAt = 0;

  /**
   * @param {typeof import('../native/index')} addon
   * @param {any} port
   */
  constructor(addon, port) {
    this.#addon = addon;
    this.#port = port;
    localPorts.leave(port);
    this.#hookDelivery();
    this.#hookListeners();
    takeBy(port, () => this.#takeNow());
  }

  link() {
    if (this.#isClosed) throw makeError('ERR_MANYCORE_PEER_GONE', [], this.link);
    if (this.#link === undefined || !this.#link.isOpen) this.#link = this.#makeLink();
    return this.#link;
  }

  /** @param {import('../link/call-link').Handler | null} handler */
  setHandler(handler) {
    if (this.#isClosed) return;
    const port = this.#port;
    this.#handler = handler;
    for (const link of this.#links()) link.setHandler(handler, false);
    if (handler !== null) {
      markAsUntransferable(port);
      answering.add(this);
      Reflect.apply(start, port, []);
      Reflect.apply(ref, port, []);
    } else {
      answering.delete(this);
      if (port.listenerCount('message') === 0) port.unref();
    }
  }

  #links() {
    return this.#link === undefined ? this.#others : [this.#link, ...this.#others];
  }

  #makeLink() {
    const point = new this.#addon.CallPoint();
    const { port1, port2 } = new MessageChannel();
    const link = this.#open(point, port1);
    this.#link = link;
    owners.set(point.id, link);
    if (!this.#post([TOKEN, point.id, port2], [port2])) {
      this.#close();
      throw makeError('ERR_MANYCORE_PEER_GONE', [], this.link);
    }
    return link;
  }

  /**
   * True unless this port or the other one is closed. On a port that is, nothing may be received: the runtime
   * does not expect it.
   * @param {any[]} token
   * @param {any[]} transferList
   */
  #post(token, transferList) {
    // Node's own result, which it documents not: undefined when this port is closed, false when the other is.
    return Boolean(Reflect.apply(postMessage, this.#port, [token, transferList]));
  }

  /** @param {any[]} token */
  #announced(token) {
    // Without a number, it only asks whether anybody is here.
    if (token.length === 3) this.#join(token);
  }

  /** @param {any[]} token */
  #join([, id, beside]) {
    // The owner of the number may be gone already: then the link is closed from the start.
    const link = this.#open(new this.#addon.CallPoint(id, true), beside);
    const owner = owners.get(id);
    if (owner !== undefined) {
      neighbours.set(owner, link);
      neighbours.set(link, owner);
    }
    if (this.#link === undefined || !this.#link.isOpen) {
      this.#link?.close();
      this.#link = link;
    } else {
      this.#others = [...this.#others.filter((other) => other.isOpen), link];
    }
    link.setHandler(this.#handler, false);
  }

  /**
   * @param {import('../native/index').CallPoint} point
   * @param {any} beside port for what lanes cannot carry
   */
  #open(point, beside) {
    /** @type {Map<string, any>} */
    const arrived = new Map();
    const link = openLink(this.#addon, point, {
      postBeside: (entry, transferList) => beside.postMessage(entry, transferList),
      takeBeside: (kind, id) => {
        for (;;) {
          const key = `${kind}:${id}`;
          if (arrived.has(key)) {
            const value = arrived.get(key);
            arrived.delete(key);
            return value;
          }
          const message = receiveFromNode(beside);
          if (message === undefined) return undefined;
          const [itsKind, itsId, value] = message.message;
          arrived.set(`${itsKind}:${itsId}`, value);
        }
      },
      assist: () => {
        if (!link.hasHeard) this.#meet();
        neighbours.get(link)?.serveNow();
        for (const other of this.#others) other.serveNow();
        if (this.#link !== link) this.#link?.serveNow();
      },
      close: () => {
        owners.delete(point.id);
        beside.close();
      },
    });
    link.setHandler(this.#handler, false);
    return link;
  }

  /** A blocked caller whose peer has not come yet: it may be in this thread, or be calling, too. */
  #meet() {
    this.#pump();
    const now = performance.now();
    if (now < this.#probeAt) return;
    this.#probeAt = now + PROBE_MS;
    if (!this.#post([TOKEN], [])) this.#close();
    for (const other of answering) if (other !== this) other.#pump();
  }

  /** Takes all from the port, so that announcements among it are seen. */
  #pump() {
    if (this.#isClosed) return;
    for (;;) {
      const message = receiveFromNode(this.#port);
      if (message === undefined) return;
      this.#keep({ data: message.message, type: 'message', ports: undefined });
    }
  }

  /** @param {Held} message */
  #keep(message) {
    if (isToken(message.data)) return this.#announced(message.data);
    message.ports ??= portsIn(message.data);
    this.#held.push(message);
    this.#flushSoon();
  }

  /** @returns {{ message: any } | undefined} */
  #takeNow() {
    const held = this.#held.shift();
    if (held !== undefined) return { message: held.data };
    for (;;) {
      const message = receiveFromNode(this.#port);
      if (message === undefined || !isToken(message.message)) return message;
      this.#announced(message.message);
    }
  }

  #hookDelivery() {
    const port = this.#port;
    Object.defineProperty(port, kDispatch, {
      configurable: true,
      value: (/** @type {any} */ data, /** @type {any} */ type, /** @type {any} */ event) => {
        if (type === 'close') this.#close();
        // What a program emits itself is its own; announcements are unlike anything it would.
        if (event !== undefined || (type !== 'message' && type !== 'messageerror')) {
          return dispatch.call(port, data, type, event);
        }
        data = revive(data);
        if (isToken(data)) return this.#announced(data);
        if (this.#held.length === 0 && port.listenerCount('message') > 0) {
          return dispatch.call(port, data, type, event);
        }
        this.#keep({ data, type, ports: port[kReceivedPorts] ?? [] });
      },
    });
  }

  /** While there is a handler, the port goes on without listeners: what comes is held for the next one. */
  #hookListeners() {
    const port = this.#port;
    const hooks = listenerHooksOf(port);
    if (hooks === undefined) return;
    const after = (/** @type {symbol} */ name, /** @type {() => void} */ act) => {
      const descriptor = Object.getOwnPropertyDescriptor(port, name);
      const inherited = port[name];
      Object.defineProperty(port, name, {
        ...descriptor,
        value(/** @type {any[]} */ ...args) {
          const result = Reflect.apply(inherited, this, args);
          if (args[1] === 'message') act();
          return result;
        },
      });
    };
    after(hooks.added, () => this.#flushSoon());
    after(hooks.removed, () => {
      if (this.#handler === null || this.#isClosed || port.listenerCount('message') > 0) return;
      Reflect.apply(start, port, []);
      Reflect.apply(ref, port, []);
    });
  }

  #flushSoon() {
    if (this.#held.length === 0 || this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      const port = this.#port;
      if (port.listenerCount('message') === 0) return;
      const message = this.#held.shift();
      this.#flushSoon();
      if (message === undefined) return;
      port[kReceivedPorts] = message.ports;
      try {
        dispatch.call(port, message.data, message.type, undefined);
      } finally {
        port[kReceivedPorts] = undefined;
      }
    });
  }

  #close() {
    this.#isClosed = true;
    answering.delete(this);
    for (const link of this.#links()) link.close();
  }
}

/**
 * Hooks the class of ports, so that a port whose other side asks is met even if nothing was done with it yet.
 * @param {typeof import('../native/index')} addon
 */
function makerOf(addon) {
  const { prototype } = MessagePort;
  Object.defineProperty(prototype, kDispatch, {
    configurable: true,
    writable: true,
    value(/** @type {any} */ data, /** @type {any} */ type, /** @type {any} */ event) {
      if (event === undefined && isToken(data)) {
        const endpoint = new PortEndpoint(addon, this);
        setEndpoint(this, endpoint);
        return this[kDispatch](data, type, event);
      }
      if (event === undefined && type === 'message') {
        incoming.arrived();
        data = revive(data);
      }
      return Reflect.apply(dispatch, this, [data, type, event]);
    },
  });
  return (/** @type {any} */ port) => new PortEndpoint(addon, port);
}

module.exports.makerOf = makerOf;
