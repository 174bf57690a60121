'use strict';

/* A program under test: in a process group of its own, with its output recorded, and a watchdog on every wait. */

const { spawn } = require('node:child_process');
const { readFileSync } = require('node:fs');

/** Time limit of a wait: far more than anything here takes, even on a loaded machine. */
const WATCHDOG_MS = 120_000;

class Program {
  stdout = '';
  stderr = '';
  /** @type {{ code: number | null, signal: string | null } | undefined} */
  #end;
  /** @type {Set<() => void>} */
  #watchers = new Set();

  /**
   * Starts `node` with these arguments.
   * @param {string[]} args
   * @param {{ env?: Record<string, string>, cwd?: string, ipc?: boolean }} [options]
   */
  constructor(args, { env, cwd, ipc = false } = {}) {
    this.process = spawn(process.execPath, args, {
      cwd,
      env: { ...process.env, ...env },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', ...(ipc ? ['ipc'] : [])],
    });
    this.#collect('stdout');
    this.#collect('stderr');
    this.process.on('close', (code, signal) => {
      this.#end = { code, signal };
      this.#notify();
    });
  }

  /** @param {'stdout' | 'stderr'} name */
  #collect(name) {
    this.process[name].setEncoding('utf8').on('data', (text) => {
      this[name] += text;
      this.#notify();
    });
  }

  #notify() {
    for (const watcher of [...this.#watchers]) watcher();
  }

  /** The id of the process, and of its group. */
  get pid() {
    return this.process.pid;
  }

  /**
   * Waits until `probe` returns a result. It is called again whenever the program prints or ends.
   * @template T
   * @param {string} what for the error message
   * @param {() => T | undefined | null | false} probe
   * @returns {Promise<T>}
   */
  #until(what, probe) {
    return new Promise((resolve, reject) => {
      const done = (act) => {
        clearTimeout(watchdog);
        this.#watchers.delete(look);
        act();
      };
      const look = () => {
        const found = probe();
        if (found) done(() => resolve(found));
        else if (this.#end) done(() => reject(this.#failure(`ended before ${what}`)));
      };
      const watchdog = setTimeout(() => {
        done(() => reject(this.#failure(`${what}: not within ${WATCHDOG_MS} ms`)));
        this.kill();
      }, WATCHDOG_MS);
      this.#watchers.add(look);
      look();
    });
  }

  /** @param {string} message */
  #failure(message) {
    return new Error(`${message}\n--- stdout\n${this.stdout}\n--- stderr\n${this.stderr}`);
  }

  /**
   * Waits until the output of the program matches.
   * @param {RegExp} pattern
   */
  printed(pattern) {
    return this.#until(String(pattern), () => pattern.exec(this.stdout));
  }

  /**
   * Waits until the output has a number of matches of a global pattern.
   * @param {RegExp} pattern
   * @param {number} count
   */
  printedTimes(pattern, count) {
    return this.#until(`${count} times ${pattern}`, () => {
      const matches = [...this.stdout.matchAll(pattern)];
      return matches.length >= count && matches;
    });
  }

  /**
   * Waits for the next message of a program started with `ipc`.
   * @returns {Promise<any>}
   */
  message() {
    /** @type {{ message: any } | undefined} */
    let received;
    this.process.once('message', (message) => {
      received = { message };
      this.#notify();
    });
    return this.#until('a message', () => received).then(({ message }) => message);
  }

  /** Waits for the end of the program, and of everything that holds its output open. */
  ended() {
    return this.#until('its end', () => this.#end);
  }

  /**
   * Sends a signal to the whole group, as a terminal does.
   * @param {NodeJS.Signals} signal
   */
  signalGroup(signal) {
    process.kill(-this.pid, signal);
  }

  /** Whether any process of the group is left. */
  get leftBehind() {
    try {
      process.kill(-this.pid, 0);
      return true;
    } catch (error) {
      if (error.code === 'ESRCH') return false;
      throw error;
    }
  }

  /** Kills the remaining processes of the group, at the end of a test. */
  kill() {
    if (this.leftBehind) this.signalGroup('SIGKILL');
  }
}

/**
 * Whether a process is running. One that has exited but has not been reaped is not.
 * @param {number} pid
 */
function isRunning(pid) {
  let stat;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return false;
  }
  const state = stat[stat.lastIndexOf(')') + 2];
  return state !== 'Z' && state !== 'X';
}

/**
 * Runs a program to its end.
 * @param {string[]} args
 * @param {ConstructorParameters<typeof Program>[1]} [options]
 * @returns {Promise<{ code: number | null, signal: string | null, stdout: string, stderr: string }>}
 */
async function run(args, options) {
  const program = new Program(args, options);
  try {
    const end = await program.ended();
    return { ...end, stdout: program.stdout, stderr: program.stderr };
  } finally {
    program.kill();
  }
}

module.exports.Program = Program;
module.exports.run = run;
module.exports.isRunning = isRunning;
module.exports.WATCHDOG_MS = WATCHDOG_MS;
