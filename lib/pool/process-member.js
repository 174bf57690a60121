'use strict';

const { fork } = require('node:child_process');
const path = require('node:path');
const { withSystemErrors } = require('../core/errors');
const { ProcessEncoder } = require('./process-encoder');
const { UNSUPPORTED } = require('../link/unsupported');
const { Member } = require('./member');
const { serialize } = require('./serialization');
const { begin, pick } = require('./start');

const PROGRAM = path.join(__dirname, 'process.js');
const SETTINGS = ['env', 'argv', 'execArgv', 'resourceLimits', 'workerData', 'cwd', 'stdio'];

/** Command-line flags for the resource limits of threads. @type {[string, (value: number) => string][]} */
const LIMITS = [
  ['maxOldGenerationSizeMb', (mb) => `--max-old-space-size=${Math.ceil(mb)}`],
  // The young generation is three times the size of a semi-space.
  ['maxYoungGenerationSizeMb', (mb) => `--max-semi-space-size=${Math.max(Math.floor(mb / 3), 1)}`],
  ['stackSizeMb', (mb) => `--stack-size=${Math.floor(mb * 1024)}`],
];

/** A worker process. */
class ProcessMember extends Member {
  /**
   * @param {Record<string, any>} options of the pool
   * @param {import('../native/index').PoolQueue} native
   * @param {number} number
   * @param {import('../link/memory').Memory} memory
   * @param {import('./member').Events} events
   */
  constructor(options, native, number, memory, events) {
    const given = pick(options, SETTINGS);
    Object.assign(given, options.forkOpts);
    if (options.emitStdStreams) given.stdio = ['ignore', 'pipe', 'pipe'];
    const known = (/** @type {any} */ { forkArgs, forkOpts, workerThreadOpts: _, ...rest }) => ({
      ...(forkArgs === undefined ? {} : { argv: forkArgs }),
      ...forkOpts,
      ...rest,
    });
    super(options, number, memory, begin(options, given, known));
    const {
      argv = [],
      execArgv = process.execArgv,
      resourceLimits = {},
      workerData,
      stdio,
      ...own
    } = this.settings;
    const startup = encode({ ...this.startup(options), workerData });
    const limits = LIMITS.flatMap(([name, flag]) =>
      typeof resourceLimits[name] === 'number' ? [flag(resourceLimits[name])] : [],
    );
    this.worker = fork(PROGRAM, argv.map(String), {
      ...own,
      execArgv: [...withoutScript(execArgv), ...limits],
      serialization: 'advanced',
      stdio: [...threeOf(stdio), 'ipc', .../** @type {any[]} */ (native.passed(number, startup))],
    });
    this.#begin(native, events);
  }

  /**
   * @param {import('../native/index').PoolQueue} native
   * @param {import('./member').Events} events
   */
  #begin(native, events) {
    const { worker: child } = this;
    /** @type {Promise<void>} */
    this.exited = new Promise((resolve) => {
      let isOver = false;
      const over = (/** @type {number | null} */ code, /** @type {string | null} */ signal) => {
        if (isOver) return;
        isOver = true;
        this.isGone = true;
        // Closes the descriptors of the channel, also if the process could not be started.
        if (child.connected) child.disconnect();
        events.onExit(this, code ?? -1, signal);
        resolve(undefined);
      };
      child.once('exit', over);
      child.on('error', (/** @type {any} */ error) => {
        this.cause ??= error;
        if (child.pid === undefined) over(null, null);
      });
    });
    child.on('message', (/** @type {any} */ message) => events.onMessage(this, message));
    // As on threads, for programs that identify workers by it.
    Object.defineProperty(child, 'threadId', { configurable: true, value: child.pid ?? -1 });
    child.unref();
    child.channel?.unref();
    if (child.pid === undefined) return;
    try {
      const { pid } = child;
      withSystemErrors('pidfd_open', () => native.spawned(this.number, pid));
    } catch (error) {
      // A failed start, after which no other process is started until a task needs one.
      this.cause ??= error;
      this.hold();
      this.kill();
    }
  }

  /** @override @returns {number} */
  get id() {
    return this.isGone ? -1 : (this.worker.pid ?? -1);
  }

  /** @override */
  get endsByItself() {
    return true;
  }

  /** @override */
  kill() {
    this.worker.kill('SIGKILL');
  }

  /**
   * @override
   * @param {any} message
   */
  post(message) {
    // It may end meanwhile, which its exit tells.
    if (this.worker.connected) this.worker.send(message, () => {});
  }
}

/**
 * Returns the options without the script of `node -e`. Node removes it as well, but only from `process.execArgv` itself,
 * and a worker that had it would run the program again instead of tasks.
 * @param {any} execArgv
 * @returns {any}
 */
function withoutScript(execArgv) {
  const { _eval: script } = /** @type {any} */ (process);
  if (execArgv !== process.execArgv || script === undefined) return execArgv;
  const at = execArgv.lastIndexOf(script);
  return at > 0 ? execArgv.toSpliced(at - 1, 2) : execArgv;
}

/** @param {any} stdio as in `child_process`; the first three entries count. By default, stdin is ignored */
function threeOf(stdio) {
  if (!Array.isArray(stdio)) return ['ignore', stdio, stdio];
  return [0, 1, 2].map((fd) => stdio[fd] ?? (fd === 0 ? 'ignore' : 'inherit'));
}

/**
 * Encodes a worker's initial data, preceded by a byte that tells the encoding.
 * @param {any} startup
 */
function encode(startup) {
  const encoder = new ProcessEncoder();
  encoder.beginInScratch();
  try {
    encoder.encode(startup);
    return encoder.record();
  } catch (error) {
    if (error !== UNSUPPORTED) throw error;
    // Not a possible first byte of a codec record, whose length is a multiple of 8.
    return Buffer.concat([Buffer.from([1]), serialize(startup)]);
  }
}

module.exports.ProcessMember = ProcessMember;
