'use strict';

/* Opens new connections at a fixed rate, each with one request, and records the outcome of each. */

const net = require('node:net');

const TICK_MS = 2;

/**
 * @typedef {object} Outcome
 * @property {'answered' | 'cut' | 'refused'} end `cut`: accepted by the kernel, but closed without an answer
 * @property {number} worker the process that answered; 0 if none did
 * @property {string} client its address and port; empty if it was refused
 * @property {number} from time of opening, in nanoseconds of the monotonic clock
 * @property {number} to time of its end
 */

const now = () => Number(process.hrtime.bigint());

class Connections {
  /** @type {Outcome[]} */
  outcomes = [];
  opened = 0;
  #port;
  #clients;
  #ticker;
  /** @type {Set<net.Socket>} */
  #open = new Set();
  #idle = () => {};

  /**
   * @param {number} port
   * @param {number} rate connections per second
   * @param {number} [clients] number of addresses that connections come from in turn, at most 250
   */
  constructor(port, rate, clients = 1) {
    this.#port = port;
    this.#clients = clients;
    const start = performance.now();
    this.#ticker = setInterval(() => {
      const due = Math.floor(((performance.now() - start) * rate) / 1000);
      while (this.opened < due) this.#connect();
    }, TICK_MS);
  }

  #connect() {
    this.opened++;
    const from = now();
    let answer = '';
    let client = '';
    const localAddress = this.#clients > 1 ? `127.0.0.${2 + (this.opened % this.#clients)}` : undefined;
    const options = { port: this.#port, host: '127.0.0.1', localAddress };
    const socket = net.connect(options, () => (client = `${socket.localAddress}:${socket.localPort}`));
    this.#open.add(socket);
    socket.setEncoding('latin1').on('data', (text) => (answer += text));
    socket.on('error', () => {}); // 'close' follows.
    socket.on('close', () => {
      const worker = Number(/^worker (\d+)\n$/.exec(answer)?.[1] ?? 0);
      const end = worker ? 'answered' : client ? 'cut' : 'refused';
      this.outcomes.push({ end, worker, client, from, to: now() });
      this.#open.delete(socket);
      if (this.#open.size === 0) this.#idle();
    });
    socket.write('hello\n');
  }

  /**
   * Stops opening connections, and waits until all have ended.
   * @param {number} limitMs time after which open connections are abandoned
   * @returns {Promise<number>} number of stuck connections, neither answered nor closed
   */
  async finish(limitMs) {
    clearInterval(this.#ticker);
    if (this.#open.size > 0) {
      await new Promise((resolve) => {
        const limit = setTimeout(resolve, limitMs);
        this.#idle = () => (clearTimeout(limit), resolve(undefined));
      });
    }
    const stuck = this.#open.size;
    for (const socket of this.#open) socket.destroy();
    return stuck;
  }
}

module.exports.Connections = Connections;
