'use strict';

const { subscribe } = require('node:diagnostics_channel');
const { setInterval, clearInterval } = require('node:timers');
const { isFull, observeLimit } = require('./limits');

const CONNECTIONS = 0;
const REQUESTS = 1;
const ACCEPTED = 2;
const ACCEPTED_FROM = 3;

/**
 * How often a full server is looked at, in milliseconds: its limit may be raised, and connections may be passed to
 * other processes, without a call that could be intercepted.
 */
const FULL_MS = 20;

/**
 * @typedef {object} Tracked
 * @property {number} count
 * @property {boolean} isFull
 * @property {NodeJS.Timeout} [timer] while it is full
 * @property {(isFull: boolean) => void} onFull
 */

/**
 * Maintains a worker's counters on the scoreboard, where the primary and the other workers read them. `net.Server`
 * counts its connections in `_connections`; that is read after each change: when the listening handle has delivered
 * a connection, and in `_emitCloseIfDrained`, which is called when one ends. (An accessor in place of
 * `_connections` would be simpler, but turns the server into a dictionary-mode object, which slows down every
 * access to it.)
 */
class ConnectionCounter {
  #board;
  /** @type {WeakMap<any, Tracked>} */
  #tracked = new WeakMap();

  /** @param {Int32Array} board counters of this worker; no one else writes them */
  constructor(board) {
    this.#board = board;
  }

  /**
   * Counts HTTP requests, from the arrival of their headers until the response is closed for whatever reason. This
   * has a cost per request, so it starts only when the number is first read.
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
   * Tracks a server that has started to listen.
   * @param {any} server
   * @param {any} handle its listening handle
   * @param {(isFull: boolean) => void} onFull called when the server reaches `maxConnections`, and when it is below
   * again
   */
  track(server, handle, onFull) {
    const board = this.#board;
    const known = this.#tracked.get(server);
    const tracked = known ?? { count: 0, isFull: false, onFull };
    tracked.onFull = onFull;
    tracked.isFull = false;
    clearInterval(tracked.timer);
    if (known === undefined) this.#follow(server, tracked);
    this.#update(server, tracked);
    const update = () => this.#update(server, tracked);
    const { onconnection, fd } = handle;
    // For the gate of a shared socket; handles fed by the hub have no descriptor.
    const from = fd === undefined ? 0 : fd + 1;
    // What the hub sends to a full server is refused.
    if (fd !== undefined) observeLimit(server, update);
    handle.onconnection = function onConnection(/** @type {any[]} */ ...args) {
      // Counted before the call, since a connection listener may block. `update` corrects the count if there was no
      // connection.
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
    if (full === tracked.isFull) return;
    clearInterval(tracked.timer);
    if (full) tracked.timer = setInterval(() => this.#lookAgain(server, tracked), FULL_MS).unref();
    tracked.isFull = full;
    tracked.onFull(full);
  }

  /** @param {any} server a full server @param {Tracked} tracked */
  #lookAgain(server, tracked) {
    if (server.listening) this.#update(server, tracked);
    else clearInterval(tracked.timer);
  }
}

module.exports.ConnectionCounter = ConnectionCounter;
