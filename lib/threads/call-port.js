'use strict';

/**
 * Requests on ports that programs created or received. The first side to send a request creates the lanes and
 * announces them by a message on the port, which is not delivered to the program. The answering side is pinned: its
 * port can no longer be transferred. The asking side may transfer its port; its pending requests then fail.
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

/** First element of the message that announces lanes: `[token, number, port beside them]`. */
const TOKEN = 'manycore:calls:5c1d1f0e-7d0b-4f0b-8f3e-8a53e2a0f9d6';

/**
 * Interval at which a blocked caller checks whether the other side still exists, until that side has opened its
 * end.
 */
const PROBE_MS = 100;

/** @typedef {import('../link/call-link').CallLink} CallLink */
/** @typedef {{ data: any, type: string, ports: any }} Held */

/** Endpoints of this thread. @type {Set<PortEndpoint>} */
const answering = new Set();

/** Links created by this thread, by number. @type {Map<number, CallLink>} */
const owners = new Map();
/** The other side of a link, if it is in the same thread. @type {WeakMap<CallLink, CallLink>} */
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
  /** Links that the other side created while this one created its own. @type {CallLink[]} */
  #others = [];
  /** @type {import('../link/call-link').Handler | null} */
  #handler = null;
  /** Messages that arrived without a listener, or were taken off the port early. @type {Held[]} */
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
   * Returns true unless this port or the other one is closed. Nothing may be received on a closed port: the runtime
   * does not expect it.
   * @param {any[]} token
   * @param {any[]} transferList
   */
  #post(token, transferList) {
    // Node's result, which is not documented: undefined if this port is closed, false if the other one is.
    return Boolean(Reflect.apply(postMessage, this.#port, [token, transferList]));
  }

  /** @param {any[]} token */
  #announced(token) {
    // Without a number, it is only a liveness probe.
    if (token.length === 3) this.#join(token);
  }

  /** @param {any[]} token */
  #join([, id, beside]) {
    // The creator of the link may be gone already; the link is then closed from the start.
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
   * @param {any} beside port for values that lanes cannot carry
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

  /**
   * Called while a caller blocks and the other side has not opened its end: that side may be in this thread, or be
   * blocked in a call itself.
   */
  #meet() {
    this.#pump();
    const now = performance.now();
    if (now < this.#probeAt) return;
    this.#probeAt = now + PROBE_MS;
    if (!this.#post([TOKEN], [])) this.#close();
    for (const other of answering) if (other !== this) other.#pump();
  }

  /** Takes all messages off the port, so that announcements among them are seen. */
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
        // Events emitted by the program are passed through; it has no way to produce an announcement.
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

  /** While there is a handler, the port stays started without listeners; messages are held for the next listener. */
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
 * Hooks the class of ports, so that an announcement is handled even on a port that has not been used for requests
 * yet. Returns the function that creates endpoints.
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
