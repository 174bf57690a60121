'use strict';

const { subscribe } = require('node:diagnostics_channel');
const { isFull } = require('./limits');

const CONNECTIONS = 0;
const REQUESTS = 1;
const ACCEPTED = 2;
const ACCEPTED_FROM = 3;

/** @typedef {{ count: number, isFull: boolean, onFull: (isFull: boolean) => void }} Tracked */

/**
 * Keeps a worker's numbers on the scoreboard, where the primary and the other workers see them. `net.Server`
 * counts its connections in `_connections`; we look at it after each change: when the listening handle has
 * delivered a connection, and in `_emitCloseIfDrained`, which follows the end of each. (An accessor in place of
 * `_connections` would be simpler, but makes V8 give up on the shape of the server object, which slows down each
 * use of it.)
 */
class ConnectionCounter {
  #board;
  /** @type {WeakMap<any, Tracked>} */
  #tracked = new WeakMap();

  /** @param {Int32Array} board this worker's counters; written from here only */
  constructor(board) {
    this.#board = board;
  }

  /**
   * Counts HTTP requests from their headers' arrival to the end of the response, whatever ends it. That costs
   * each request something, so it begins when somebody first asks for the number.
   */
  trackRequests() {
    const board = this.#board;
    const onClose = () => {
      board[REQUESTS]--;
    };
    subscribe('http.server.request.start', (/** @type {any} */ { response }) => {
      board[REQUESTS]++;
      response.once('close', onClose);
    });
  }

  /**
   * Follows a server that has begun to listen.
   * @param {any} server
   * @param {any} handle what it listens with
   * @param {(isFull: boolean) => void} onFull told when the server reaches and leaves its `maxConnections`
   */
  track(server, handle, onFull) {
    const board = this.#board;
    const known = this.#tracked.get(server);
    const tracked = known ?? { count: 0, isFull: false, onFull };
    tracked.onFull = onFull;
    tracked.isFull = false;
    if (known === undefined) this.#follow(server, tracked);
    this.#update(server, tracked);
    const update = () => this.#update(server, tracked);
    const { onconnection, fd } = handle;
    // For the socket's gate; handles that the hub feeds have no descriptor.
    const from = fd === undefined ? 0 : fd + 1;
    handle.onconnection = function onConnection(/** @type {any[]} */ ...args) {
      // At once: what listens for connections may block. The update below corrects it when there is none.
      tracked.count++;
      board[CONNECTIONS]++;
      board[ACCEPTED]++;
      board[ACCEPTED_FROM] = from;
      try {
        return Reflect.apply(onconnection, this, args);
      } finally {
        update();
      }
    };
  }

  /** @param {any} server @param {Tracked} tracked */
  #follow(server, tracked) {
    this.#tracked.set(server, tracked);
    const update = () => this.#update(server, tracked);
    const { _emitCloseIfDrained: emitCloseIfDrained } = server;
    Object.defineProperty(server, '_emitCloseIfDrained', {
      configurable: true,
      enumerable: false,
      writable: true,
      /** @this {any} @param {any[]} args */
      value(...args) {
        update();
        return Reflect.apply(emitCloseIfDrained, this, args);
      },
    });
  }

  /** @param {any} server @param {Tracked} tracked */
  #update(server, tracked) {
    const { _connections: count } = server;
    if (count !== tracked.count) {
      this.#board[CONNECTIONS] += count - tracked.count;
      tracked.count = count;
    }
    const full = isFull(server);
    if (full !== tracked.isFull) tracked.onFull((tracked.isFull = full));
  }
}

module.exports.ConnectionCounter = ConnectionCounter;
