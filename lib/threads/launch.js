'use strict';

/**
 * Sets up a worker's link: the parent passes a ticket in the environment data, which Node transfers before any code
 * runs in the worker, and puts a preload in front of the worker's own options. The preload removes both again.
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
 * @typedef {object} Ticket what the parent passes to a worker
 * @property {number} lanes number of the call point of the message lanes
 * @property {number} calls number of the call point of the request lanes
 * @property {string} token see `Channel`
 * @property {number} lanesAfter number of messages before lanes are created
 * @property {string[] | null} execArgv the value for `process.execArgv`; null for the worker's own options
 * @property {string[]} commandLine options of the process, inherited by workers without `execArgv`
 * @property {string | undefined} addonFile
 * @property {string} name name of the worker
 * @property {string | null} compileCache directory of Node's compile cache, if it is enabled in this process
 * @property {Int32Array | undefined} wakeUp for a spare: the word it waits on until it is taken
 * @property {string[] | null} installed names of exports replaced on the built-in module in this process
 */

const state = {
  /** Options of the process; in a worker, as passed by its parent. */
  commandLine: own?.commandLine ?? [...process.execArgv],
  /** Names of exports replaced on the built-in module. */
  installed: own?.installed ?? null,
  /**
   * Number of messages between a worker and its parent before lanes are created: their cost in time and memory pays
   * off only for lasting traffic.
   */
  lanesAfter: own?.lanesAfter ?? readCount('MANYCORE_LANES_AFTER') ?? FEW_MESSAGES,
  /** This thread's name. */
  name: own?.name ?? '',
};

/** Prefix that tells lane announcements from the program's messages. */
let tokenPrefix = '';

/** @type {{ of: string, kept: string[] } | undefined} */
let known;

/**
 * Returns the process options that a worker accepts. Options for the whole process or for V8 apply to the worker
 * anyway, but Node rejects them in a worker's `execArgv`.
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
 * Tries the options one by one, and rejected ones again, since some depend on others.
 * @param {string[]} commandLine
 */
function accepted(commandLine) {
  /** @type {string[][]} */
  const options = [];
  for (const word of commandLine) {
    // A word that does not look like an option is the value of the one before.
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
 * Whether a worker accepts these options. Only Node knows, so it is asked to create a worker with an additional
 * option that does not exist: if that is the only one rejected, the rest is accepted.
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
 * Prepares the link of a worker to be created with `options`. Returns null if the worker should be left to Node,
 * which will reject the options.
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

/** Must be called after the worker has been created, or has failed to be. */
function takeBack() {
  nodes.setEnvironmentData(ENVIRONMENT_KEY, undefined);
}

module.exports.state = state;
module.exports.prepare = prepare;
module.exports.takeBack = takeBack;
