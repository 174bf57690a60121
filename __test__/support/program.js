'use strict';

/*
 * A program under test: a process group of its own, with what it prints, and a watchdog on every wait.
 */

const { spawn } = require('node:child_process');
const { readFileSync } = require('node:fs');

/** After so long a wait has failed: far more than anything here takes, even on a loaded machine. */
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

  /** The number of the process, which is also that of its group. */
  get pid() {
    return this.process.pid;
  }

  /**
   * Waits until `probe` gives something. It is asked again whenever the program prints or ends.
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
   * Waits until the program has printed what the pattern matches.
   * @param {RegExp} pattern
   */
  printed(pattern) {
    return this.#until(String(pattern), () => pattern.exec(this.stdout));
  }

  /**
   * Waits until as many matches of the (global) pattern are printed.
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

  /** Waits for the program's end, and for the end of everything that holds its output open. */
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

  /** Kills what is left of the group: for the end of a test, whatever became of it. */
  kill() {
    if (this.leftBehind) this.signalGroup('SIGKILL');
  }
}

/**
 * Whether a process runs. One that has ended but has not been waited for does not.
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
