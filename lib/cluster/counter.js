'use strict';

const { subscribe } = require('node:diagnostics_channel');

const CONNECTIONS = 0;
const REQUESTS = 1;
const ACCEPTED = 2;

/**
 * Keeps a worker's numbers on the scoreboard. `net.Server` counts its connections in `_connections`; we turn
 * that into an accessor which keeps the sum over all servers where the primary and the other workers see it.
 */
class ConnectionCounter {
  #board;
  #tracked = new WeakSet();

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
   * @param {any} server
   * @param {(isFull: boolean) => void} onFull told when the server reaches and leaves its `maxConnections`
   */
  track(server, onFull) {
    if (this.#tracked.has(server)) return;
    this.#tracked.add(server);
    const board = this.#board;
    let count = server._connections;
    let isFull = false;
    board[CONNECTIONS] += count;
    Object.defineProperty(server, '_connections', {
      configurable: true,
      enumerable: true,
      get: () => count,
      set(value) {
        board[CONNECTIONS] += value - count;
        if (value > count) board[ACCEPTED] += value - count;
        count = value;
        const nowFull = server.maxConnections > 0 && count >= server.maxConnections;
        if (nowFull !== isFull) onFull((isFull = nowFull));
      },
    });
  }
}

module.exports.ConnectionCounter = ConnectionCounter;
