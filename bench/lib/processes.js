'use strict';

const { spawn } = require('node:child_process');
const { setTimeout: delay } = require('node:timers/promises');

const { statFields } = require('../../scripts/lib/proc');

/* Server processes under measurement: starts and stops them, and reads their CPU time. */

/** Unit of CPU times reported by Linux, independent of the kernel's timer frequency. */
const TICKS_PER_SECOND = 100;

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 10_000;

/**
 * Returns the CPU time of a process, including all its threads, in user and kernel mode.
 * @param {number} pid
 * @returns {number} microseconds
 */
function cpuTimeUs(pid) {
  const fields = statFields(pid);
  return ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS_PER_SECOND;
}

class Server {
  /** @type {import('node:child_process').ChildProcess} */
  #process;

  /**
   * @param {import('node:child_process').ChildProcess} child
   * @param {{ port: number, workers: number[] }} ready
   */
  constructor(child, { port, workers }) {
    this.#process = child;
    this.port = port;
    this.primary = /** @type {number} */ (child.pid);
    this.workers = workers;
  }

  /**
   * Starts a server program and waits for its `{ port, workers }` message.
   * @param {string} node
   * @param {string[]} args
   * @param {Record<string, string | undefined>} env
   */
  static async start(node, args, env) {
    const child = spawn(node, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    try {
      return new Server(child, await reply(child, START_LIMIT_MS));
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  /** @returns {{ primaryUs: number, workersUs: number }} the CPU time used so far */
  cpu() {
    return {
      primaryUs: cpuTimeUs(this.primary),
      workersUs: this.workers.reduce((sum, pid) => sum + cpuTimeUs(pid), 0),
    };
  }

  /**
   * @returns {Promise<number[]>} the requests that each worker has answered so far
   */
  async counts() {
    const answer = reply(this.#process, START_LIMIT_MS);
    this.#process.send('counts');
    return (await answer).counts;
  }

  /** Ends all processes and waits until they have exited. */
  async stop() {
    for (const pid of [this.primary, ...this.workers]) kill(pid);
    const deadline = performance.now() + STOP_LIMIT_MS;
    while ([this.primary, ...this.workers].some(isAlive)) {
      if (performance.now() > deadline) throw new Error(`Processes of the server ${this.primary} do not end`);
      await delay(10);
    }
  }
}

/**
 * Resolves to the next message of a child.
 * @param {import('node:child_process').ChildProcess} child
 * @param {number} limitMs
 * @returns {Promise<any>}
 */
function reply(child, limitMs) {
  return new Promise((resolve, reject) => {
    const settle = (/** @type {() => void} */ act) => {
      clearTimeout(limit);
      child.off('message', onMessage).off('exit', onExit).off('error', onError);
      act();
    };
    const onMessage = (/** @type {any} */ message) =>
      settle(() => (message.failed ? reject(new Error(message.failed)) : resolve(message)));
    const onExit = (/** @type {number | null} */ code, /** @type {string | null} */ signal) =>
      settle(() => reject(new Error(`The server ended (${signal ?? code})`)));
    const onError = (/** @type {Error} */ error) => settle(() => reject(error));
    const limit = setTimeout(() => settle(() => reject(new Error('The server does not answer'))), limitMs);
    child.on('message', onMessage).on('exit', onExit).on('error', onError);
  });
}

/** @param {number} pid */
function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ESRCH') throw error;
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

module.exports.Server = Server;
module.exports.cpuTimeUs = cpuTimeUs;
