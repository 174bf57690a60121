'use strict';

/**
 * The primary's listening sockets, one per address that workers listen on.
 *
 * Node binds each socket, so addresses, permissions and errors are Node's. The descriptor is then either given to
 * the hub, which accepts on it, or sent to the workers, which share it. Node never listens on it in the primary, as
 * its event loop would accept connections.
 */

const net = require('node:net');
const { constants } = require('node:os');
const path = require('node:path');
const builtin = require('./builtin');
const { errnoOf } = require('../core/errors');
const { SHARED } = require('./policy');

const [major] = process.versions.node.split('.').map(Number);

/** Since then, a second listen on a fixed port in one worker fails with EADDRINUSE instead of sharing the port. */
const INDEX_ONLY_FOR_PORT_0 = major >= 25;

/** libuv's names for the mode bits of a Unix socket. */
const UV_READABLE = 1;
const UV_WRITABLE = 2;

const DEFAULT_BACKLOG = 511;

/** @typedef {{ worker: any, token: number, scheduler: import('./scheduler').Scheduler }} Client */
/** @typedef {import('./policy').Chooser} Chooser */

class ListenerTable {
  /** @type {Map<string, Listener>} */
  #listeners = new Map();
  #defaultPolicy;

  /** @param {() => string | Chooser} defaultPolicy */
  constructor(defaultPolicy) {
    this.#defaultPolicy = defaultPolicy;
  }

  /**
   * Handles a message from a worker. Returns false if it is for Node's cluster.
   * @param {Client} client
   * @param {any} message
   */
  handle(client, message) {
    if (message.cmd !== 'NODE_CLUSTER') return false;
    switch (message.act) {
      case 'queryServer':
        if (message.addressType === 'udp4' || message.addressType === 'udp6') return false;
        this.#listen(client, message);
        return true;
      case 'listening':
        this.#listeners.get(keyOf(message))?.setReady(client);
        return false;
      case 'close':
        return this.#close(client, message.key);
      default:
        return false;
    }
  }

  /**
   * Removes a worker from all listeners, and closes those it was the last worker of.
   * @param {Client} client
   */
  removeWorker(client) {
    for (const [key, listener] of this.#listeners) {
      if (listener.remove(client)) this.#listeners.delete(key);
    }
  }

  /** @param {Client} client @param {any} message */
  #listen(client, message) {
    // As in Node, a worker that is disconnecting gets no answer.
    if (client.worker.exitedAfterDisconnect) return;
    const key = keyOf(message);
    const known = this.#listeners.get(key);
    if (known?.has(client)) return reply(client, message, { errno: -constants.errno.EADDRINUSE });
    const listener =
      known ?? new Listener(message, message.manycore?.policy ?? this.#defaultPolicy(), client.scheduler);
    listener.data ??= message.data;
    if (listener.errno === 0) this.#listeners.set(key, listener);
    const { details, handle } = listener.add(client, message.manycore !== undefined);
    reply(client, message, { key, data: listener.data, ...details }, handle);
  }

  /** @param {Client} client @param {string} key */
  #close(client, key) {
    const listener = this.#listeners.get(key);
    if (listener === undefined) return false;
    if (listener.remove(client)) this.#listeners.delete(key);
    return true;
  }
}

class Listener {
  /** Data that the first worker's server passed for the others: TLS ticket keys. */
  data = /** @type {any} */ (undefined);
  errno = 0;
  #handle = /** @type {any} */ (null);
  /** @type {Map<number, Client>} */
  #clients = new Map();
  #scheduler;
  #acceptor;
  #isHub = false;
  #id = -1;

  /**
   * @param {any} message
   * @param {string | Chooser} policy
   * @param {import('./scheduler').Scheduler} scheduler
   */
  constructor(message, policy, scheduler) {
    this.#scheduler = scheduler;
    this.#acceptor = scheduler.acceptor;
    const handle = bind(message);
    if (typeof handle === 'number') {
      this.errno = handle;
      return;
    }
    this.#handle = handle;
    // A shared Unix socket, or servers with a connection limit, are better served by the hub, which assigns each
    // connection.
    const isUnix = handle.getsockname === undefined;
    const isHub = policy !== SHARED || isUnix || message.manycore?.limited === true;
    try {
      if (isHub) this.errno = this.#startHub(message, policy === SHARED ? 'rr' : policy);
      else this.#id = this.#acceptor.share(this.#handle.fd);
    } catch (error) {
      // No descriptor left to duplicate it.
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      this.errno = errno;
    }
    if (this.errno !== 0) this.#closeHandle();
  }

  /** @param {any} message @param {string | Chooser} policy */
  #startHub(message, policy) {
    const backlog = message.backlog > 0 ? message.backlog : DEFAULT_BACKLOG;
    const asks = typeof policy === 'function';
    const wantsAddress = asks || policy === 'ip-hash';
    const proxyProtocol = message.manycore?.proxyProtocol ?? builtin.settings.proxyProtocol;
    const { errno, listener } = this.#acceptor.listen(this.#handle.fd, backlog, {
      policy: asks ? 'rr' : policy,
      asks,
      readsProxyHeader: wantsAddress && Boolean(proxyProtocol),
    });
    if (errno !== 0) return errno;
    this.#isHub = true;
    this.#id = listener;
    if (asks) this.#scheduler.deciders.set(listener, () => this.#decide(policy));
    return 0;
  }

  /** Calls the user's policy for each new connection. @param {Chooser} choose */
  #decide(choose) {
    const clients = [...this.#clients.values()];
    const workers = clients.map((client) => client.worker);
    const undecided = this.#acceptor.takeUndecided(this.#id);
    /** @type {number[]} */
    const tokens = new Array(undecided.length).fill(0);
    try {
      undecided.forEach(({ address, port, family }, index) => {
        const remoteFamily = family === 0 ? undefined : family === 4 ? 'IPv4' : 'IPv6';
        // A copy, as the policy may change the list.
        const chosen = choose({ remoteAddress: address, remotePort: port, remoteFamily }, [...workers]);
        tokens[index] = clients.find((client) => client.worker === chosen)?.token ?? 0;
      });
    } finally {
      // Also if the policy throws: the remaining ones are assigned in turn.
      const ids = undecided.map((connection) => connection.id);
      this.#acceptor.decide(ids, tokens);
    }
  }

  /** @param {Client} client */
  has(client) {
    return this.#clients.has(client.token);
  }

  /**
   * @param {Client} client
   * @param {boolean} isLinked whether the worker can receive from the hub
   * @returns {{ details: object, handle?: any }} for the reply to its request
   */
  add(client, isLinked) {
    if (this.errno !== 0) return { details: { errno: this.errno } };
    this.#clients.set(client.token, client);
    this.#acceptor.attach(this.#id, client.token);
    const manycore = { listener: this.#id };
    if (!this.#isHub || !isLinked) return { details: { errno: 0, manycore }, handle: this.#handle };
    const sockname = {};
    const hasName = this.#handle.getsockname !== undefined;
    if (hasName) this.#handle.getsockname(sockname);
    return { details: { errno: null, manycore, ...(hasName && { sockname }) } };
  }

  /** Called when the worker is listening. @param {Client} client */
  setReady(client) {
    if (this.#isHub && this.has(client)) this.#acceptor.setReady(this.#id, client.token);
  }

  /**
   * @param {Client} client
   * @returns {boolean} whether it was the last worker, and the listener has been closed
   */
  remove(client) {
    if (!this.#clients.delete(client.token)) return false;
    this.#acceptor.detach(this.#id, client.token);
    if (this.#clients.size > 0) return false;
    this.#acceptor.closeListener(this.#id);
    this.#scheduler.deciders.delete(this.#id);
    this.#closeHandle();
    return true;
  }

  #closeHandle() {
    this.#handle.close();
    this.#handle = null;
  }
}

/**
 * @param {Client} client
 * @param {any} message the request
 * @param {object} details
 * @param {any} [handle]
 */
function reply({ worker }, { seq }, details, handle) {
  if (worker.process.connected) worker.process.send({ cmd: 'NODE_CLUSTER', ack: seq, ...details }, handle);
}

/** @param {any} message */
function keyOf({ address, port, addressType, fd, index }) {
  const suffix = INDEX_ONLY_FOR_PORT_0 && port !== 0 ? '' : `:${index}`;
  return `${address}:${port}:${addressType}:${fd}${suffix}`;
}

/**
 * Returns a bound socket as a handle of Node, or a negative error number.
 * @param {any} message
 * @returns {any}
 */
function bind({ address, port, addressType, fd, flags, readableAll, writableAll }) {
  const { _createServerHandle: createHandle } = /** @type {any} */ (net);
  const handle = createHandle(shortest(address, port), port, addressType, fd, flags);
  if (typeof handle === 'number') return handle;
  // libuv delays reporting an address in use until another operation on the socket.
  const errno = handle.getsockname?.({}) ?? 0;
  if (errno !== 0) {
    handle.close();
    return errno;
  }
  const mode = (readableAll ? UV_READABLE : 0) | (writableAll ? UV_WRITABLE : 0);
  const modeErrno = mode !== 0 && handle.fchmod !== undefined ? handle.fchmod(mode) : 0;
  if (modeErrno !== 0) {
    handle.close();
    return modeErrno;
  }
  return handle;
}

/**
 * Returns the path of a Unix socket relative to the working directory if that is shorter: the kernel accepts about
 * 100 bytes.
 */
function shortest(/** @type {any} */ address, /** @type {number} */ port) {
  if (!(port < 0) || typeof address !== 'string') return address;
  const relative = path.relative(process.cwd(), address);
  return relative.length < address.length ? relative : address;
}

module.exports.ListenerTable = ListenerTable;
