'use strict';

/**
 * Worker side: hooks `_getServer` of the builtin cluster, through which `net`, `http`, `http2`, `tls` and
 * everything built on them get a handle to listen with. Node's function runs unchanged, and the hook adds one of
 * two things. If the primary's hub accepts, connections arrive on our link and are passed to the handle created by
 * Node. If workers share the socket, the handle accepts by itself and is gated.
 */

const net = require('node:net');
const builtin = require('./builtin');
const { loadAddon } = require('../core/addon');
const { checkProxyProtocol, policyName } = require('./policy');
const { ConnectionContext } = require('./connection-context');
const { ConnectionCounter } = require('./counter');
const { openHandle } = require('./handles');
const { isFull, isLimit } = require('./limits');

/** Delivery target for the connections of one listener. */
class Entry {
  /** @param {any} server @param {any} handle @param {boolean} isUnix */
  constructor(server, handle, isUnix) {
    this.server = server;
    this.handle = handle;
    this.isUnix = isUnix;
  }
}

class Link {
  /** @type {Map<number, Entry>} */
  #entries = new Map();
  #receiver;
  #counter;
  #context;
  /** The reply Node's cluster is processing, so that our callback knows which listener it is for. */
  #reply = /** @type {any} */ (null);

  /**
   * @param {import('../core/addon').Binding} addon
   * @param {{ slot: number, controlFd: number, scoreboardFd: number }} link
   */
  constructor(addon, { slot, controlFd, scoreboardFd }) {
    this.#receiver = new addon.Receiver(
      controlFd,
      scoreboardFd,
      slot,
      (/** @type {any[]} */ ...args) => this.#deliver(args[0], args[1], args.slice(2)),
      () => this.#counter.trackRequests(),
    );
    this.#counter = new ConnectionCounter(new Int32Array(this.#receiver.counters()));
    this.#context = new ConnectionContext(addon.reportUncaught);
    /** @type {NodeJS.EventEmitter} */ (process).prependListener('internalMessage', (message) => {
      if (message?.cmd === 'NODE_CLUSTER') this.#reply = message;
    });
  }

  /**
   * Replacement for `_getServer` of the builtin.
   * @param {Function} getServer Node's `_getServer`
   * @param {any} server
   * @param {any} options
   * @param {(errno: number, handle: any) => void} callback
   */
  getServer(getServer, server, options, callback) {
    if (typeof options.addressType === 'string') return getServer.call(builtin, server, options, callback);
    const { maxConnections, proxyProtocol } = server;
    const manycore = { limited: isLimit(maxConnections), policy: ownPolicy(server), proxyProtocol };
    getServer.call(
      builtin,
      server,
      { ...options, manycore },
      (/** @type {number} */ errno, /** @type {any} */ handle) => {
        const listener = this.#reply?.manycore?.listener;
        this.#reply = null;
        callback(errno, handle);
        // The server may have been closed meanwhile, or may have failed to take the handle.
        if (listener === undefined || !handle || server._handle !== handle) return;
        const isShared = handle.fd !== undefined;
        // Also of a descriptor, whose kind is not in the options.
        const isUnix = handle.getsockname === undefined;
        if (isShared) {
          this.#gate(listener, handle);
          this.#isolate(handle);
        }
        this.#counter.track(server, handle, (full) => {
          if (isShared && server._handle === handle) this.#receiver.setFull(handle.fd, full);
        });
        if (!isShared) this.#receive(listener, new Entry(server, handle, isUnix));
      },
    );
  }

  /** @param {number} listener @param {Entry} entry */
  #receive(listener, entry) {
    const { handle } = entry;
    const { close } = handle;
    handle.close = (/** @type {any[]} */ ...args) => {
      if (this.#entries.get(listener) === entry) {
        this.#entries.delete(listener);
        this.#receiver.stop(listener);
      }
      return close.apply(handle, args);
    };
    this.#entries.set(listener, entry);
    this.#receiver.ready(listener);
  }

  /** @param {number} listener @param {any} handle */
  #gate(listener, handle) {
    const { close, fd } = handle;
    handle.close = (/** @type {any[]} */ ...args) => {
      this.#receiver.ungate(fd);
      handle.close = close;
      return close.apply(handle, args);
    };
    this.#receiver.gate(listener, fd);
  }

  /**
   * What a listener enters with `AsyncLocalStorage.enterWith()` would otherwise stay with the handle, for the next
   * connection. In Node's cluster each connection comes with a message, and so without a context.
   * @param {any} handle
   */
  #isolate(handle) {
    const { onconnection } = handle;
    handle.onconnection = (/** @type {any[]} */ ...args) => this.#context.run(onconnection, handle, args);
  }

  /**
   * Delivers connections from the hub.
   * @param {number} listener
   * @param {number} hops number of workers that have refused them
   * @param {number[]} fds
   */
  #deliver(listener, hops, fds) {
    for (let at = 0; at < fds.length; at++) {
      // Also before the first one, as the previous message may have left something behind when a tick threw.
      if (!this.#context.tick(at === 0)) {
        setImmediate(() => this.#deliver(listener, hops, fds.slice(at)));
        return;
      }
      try {
        this.#open(listener, hops, fds[at]);
      } catch (error) {
        // A connection listener that throws must not affect the other connections.
        this.#context.report(error);
      }
    }
  }

  /** @param {number} listener @param {number} hops @param {number} fd */
  #open(listener, hops, fd) {
    const entry = this.#entries.get(listener);
    if (entry === undefined || isFull(entry.server)) {
      this.#receiver.refuse(listener, hops, fd);
      return;
    }
    const client = openHandle(fd, entry.isUnix);
    if (client === null) this.#receiver.discard(fd);
    else this.#context.run(entry.handle.onconnection, entry.handle, [0, client]);
  }
}

/** Returns the server's own policy, from its listen options. @param {any} server */
function ownPolicy({ schedulingPolicy }) {
  return schedulingPolicy === undefined ? undefined : policyName(schedulingPolicy);
}

/**
 * Makes `server.listen()` accept `schedulingPolicy` and `proxyProtocol`, which Node does not forward to the
 * primary: they are stored as properties of the server, which may also be set directly.
 */
function acceptListenOptions() {
  const { listen } = net.Server.prototype;
  net.Server.prototype.listen = /** @type {any} */ (
    /** @this {any} @param {any[]} args */
    function listenWithOptions(...args) {
      const [options] = args;
      if (typeof options === 'object' && options !== null) {
        if (options.schedulingPolicy !== undefined) {
          this.schedulingPolicy = policyName(options.schedulingPolicy);
        }
        checkProxyProtocol(options.proxyProtocol);
        if (options.proxyProtocol !== undefined) this.proxyProtocol = options.proxyProtocol;
      }
      return Reflect.apply(listen, this, args);
    }
  );
}

/**
 * Hooks the builtin cluster of this process. Without the addon (`--no-addons`), Node's own is used.
 * @param {{ slot: number, controlFd: number, scoreboardFd: number }} inherited
 */
function install(inherited) {
  const addon = loadAddon();
  if (addon === null || !builtin.isWorker) return;
  const link = new Link(addon, inherited);
  acceptListenOptions();
  const { _getServer: getServer } = builtin;
  builtin._getServer = function _getServer(
    /** @type {any} */ server,
    /** @type {any} */ options,
    /** @type {(errno: number, handle: any) => void} */ callback,
  ) {
    return link.getServer(getServer, server, options, callback);
  };
}

module.exports.install = install;
