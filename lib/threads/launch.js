'use strict';

/**
 * How a worker gets its link: the parent hands a ticket over in the environment data, which Node passes before
 * anything runs in the worker, and puts a preload before the worker's own options. The preload takes both away
 * again.
 */

const path = require('node:path');
const { addonFile } = require('../core/addon');
const { compileCacheForWorkers } = require('../core/compile-cache');
const { readCount } = require('../core/environment');
const { FEW_MESSAGES, nodes, ticket: own } = require('./preload');

const PRELOAD = path.join(__dirname, 'preload.js');
const PRELOAD_OPTIONS = ['--require', PRELOAD];
const ENVIRONMENT_KEY = 'manycore.link';

/**
 * @typedef {object} Ticket what a worker is told
 * @property {number} lanes number under which the lanes of messages meet
 * @property {number} calls number under which those of requests meet
 * @property {string} token see `Channel`
 * @property {number} lanesAfter how many messages go without lanes
 * @property {string[] | null} execArgv what `process.execArgv` is to be; null: the worker's own options
 * @property {string[]} commandLine options of the process, from which workers without their own start
 * @property {string | undefined} addonFile
 * @property {string} name of the worker
 * @property {string | null} compileCache where Node keeps compiled code, if this process has asked for that
 * @property {Int32Array | undefined} wakeUp for a spare: where it waits until it is taken
 * @property {string[] | null} installed exports that are replaced on the built-in module in this process
 */

const state = {
  /** Options of the process; a worker is told by its parent. */
  commandLine: own?.commandLine ?? [...process.execArgv],
  /** Exports that are replaced on the built-in module. */
  installed: own?.installed ?? null,
  /**
   * Messages between a worker and its parent that Node's port carries before there are lanes: what these cost, in
   * time and memory, is worth it for those only that go on.
   */
  lanesAfter: own?.lanesAfter ?? readCount('MANYCORE_LANES_AFTER') ?? FEW_MESSAGES,
  /** This thread's name. */
  name: own?.name ?? '',
};

/** Tells the messages by which sides announce their lanes from those of users. */
let tokenPrefix = '';

/** @type {{ of: string, kept: string[] } | undefined} */
let known;

/**
 * The options of the process that a worker may have. Those for the process as a whole, or for V8, hold in the
 * worker anyway, but must not be given to it.
 * @param {string[]} commandLine
 */
function workerOptions(commandLine) {
  const of = commandLine.join('\0');
  if (known === undefined || known.of !== of) {
    known = { of, kept: isAccepted(commandLine) ? commandLine : accepted(commandLine) };
  }
  return known.kept;
}

/**
 * Tries the options one by one, and those that were refused again: some need others.
 * @param {string[]} commandLine
 */
function accepted(commandLine) {
  /** @type {string[][]} */
  const options = [];
  for (const word of commandLine) {
    // What does not look like an option is the value of the one before.
    if (word.startsWith('-') || options.length === 0) options.push([word]);
    else options[options.length - 1].push(word);
  }
  /** @type {Set<string[]>} */
  const kept = new Set();
  const inOrder = () => options.filter((option) => kept.has(option)).flat();
  for (let before = -1; kept.size !== before;) {
    before = kept.size;
    for (const option of options) {
      if (!kept.has(option) && isAccepted([...inOrder(), ...option])) kept.add(option);
    }
  }
  return inOrder();
}

/**
 * Whether a worker may have these options. Only Node knows, and is asked by means of a worker that cannot be
 * made: is only the impossible refused?
 * @param {string[]} options
 */
function isAccepted(options) {
  const impossible = '--manycore-no-such-option';
  try {
    new nodes.Worker('', { eval: true, execArgv: [impossible, ...options] });
    return false;
  } catch (error) {
    return String(/** @type {any} */ (error)?.message).endsWith(`: ${impossible}`);
  }
}

/**
 * Prepares the link of a worker to be made with `options`. Null when the worker is better made by Node alone:
 * it will refuse the options.
 * @param {typeof import('../native/index')} addon
 * @param {any} options
 * @param {Int32Array} [wakeUp] for a spare
 */
function prepare(addon, options, wakeUp) {
  const execArgv = options?.execArgv;
  if (options === null || (execArgv && !Array.isArray(execArgv))) return null;
  const lanes = new addon.CallPoint();
  const calls = new addon.CallPoint();
  if (tokenPrefix === '') tokenPrefix = `manycore:${process.hrtime.bigint()}:${Math.random()}:`;
  /** @type {Ticket} */
  const ticket = {
    lanes: lanes.id,
    calls: calls.id,
    token: tokenPrefix + lanes.id,
    lanesAfter: state.lanesAfter,
    execArgv: execArgv ? null : [...process.execArgv],
    commandLine: state.commandLine,
    installed: state.installed,
    addonFile: own?.addonFile ?? addonFile(),
    name: options?.name ? String(options.name).trim() : '',
    compileCache: compileCacheForWorkers(),
    wakeUp,
  };
  nodes.setEnvironmentData(ENVIRONMENT_KEY, ticket);
  const ours = [...PRELOAD_OPTIONS, ...(execArgv ? execArgv : workerOptions(state.commandLine))];
  return {
    lanes,
    calls,
    ticket,
    options: Object.create(options === undefined ? null : Object(options), { execArgv: { value: ours } }),
  };
}

/** To be called when the worker has been made, or could not be. */
function takeBack() {
  nodes.setEnvironmentData(ENVIRONMENT_KEY, undefined);
}

module.exports.state = state;
module.exports.prepare = prepare;
module.exports.takeBack = takeBack;
