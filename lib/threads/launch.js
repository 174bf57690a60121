'use strict';

/**
 * How a worker gets its link: the parent hands the link's number over in the environment data, which Node
 * passes before anything runs in the worker, and puts a preload before the worker's own options. The preload
 * takes both away again.
 */

const path = require('node:path');
const workerThreads = require('node:worker_threads');
const { randomUUID } = require('node:crypto');

const PRELOAD = path.join(__dirname, 'preload.js');
const PRELOAD_OPTIONS = ['--require', PRELOAD];
const ENVIRONMENT_KEY = 'manycore.link';
const LANE_BYTES = 256 * 1024;

/**
 * @typedef {object} Ticket what a worker is told
 * @property {number} id of the link
 * @property {string} token see `Channel`
 * @property {string[] | null} execArgv what `process.execArgv` is to be; null: the worker's own options
 * @property {string[]} commandLine options of the process, from which workers without their own start
 * @property {boolean} isInstalled whether the built-in module is replaced in this process
 */

const state = {
  /** Options of the process; a worker is told by its parent. */
  commandLine: [...process.execArgv],
  isInstalled: false,
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
  if (known?.of === of) return known.kept;
  const kept = [];
  for (let at = 0; at < commandLine.length;) {
    let end = at + 1;
    // What does not look like an option is the value of the one before.
    while (end < commandLine.length && !commandLine[end].startsWith('-')) end++;
    const option = commandLine.slice(at, end);
    if (isWorkerOption(option)) kept.push(...option);
    at = end;
  }
  known = { of, kept };
  return kept;
}

/**
 * Asks Node, the only one who knows, by means of a worker that cannot be made: is only the impossible refused?
 * @param {string[]} option with its value
 */
function isWorkerOption(option) {
  const impossible = '--manycore-no-such-option';
  try {
    new workerThreads.Worker('', { eval: true, execArgv: [impossible, ...option] });
    return false;
  } catch (error) {
    return String(/** @type {any} */ (error)?.message).endsWith(`: ${impossible}`);
  }
}

/**
 * Prepares the link of a worker to be made with `options`. Null when the worker is better made by Node alone:
 * options that Node will refuse, or no means left for a link.
 * @param {typeof import('../native/index')} addon
 * @param {any} options
 */
function prepare(addon, options) {
  const own = options?.execArgv;
  if (options === null || (own && !Array.isArray(own))) return null;
  let link;
  try {
    link = new addon.ThreadLink(LANE_BYTES);
  } catch {
    // No file descriptors or memory left for lanes: Node's port does without.
    return null;
  }
  if (tokenPrefix === '') tokenPrefix = `manycore:${randomUUID()}:`;
  const token = tokenPrefix + link.id;
  const execArgv = [...PRELOAD_OPTIONS, ...(own ? own : workerOptions(state.commandLine))];
  /** @type {Ticket} */
  const ticket = {
    id: link.id,
    token,
    execArgv: own ? null : [...process.execArgv],
    commandLine: state.commandLine,
    isInstalled: state.isInstalled,
  };
  workerThreads.setEnvironmentData(ENVIRONMENT_KEY, ticket);
  return { link, token, options: Object.create(options ?? null, { execArgv: { value: execArgv } }) };
}

/** To be called when the worker has been made, or could not be. */
function takeBack() {
  workerThreads.setEnvironmentData(ENVIRONMENT_KEY, undefined);
}

/**
 * In a worker: the ticket, once.
 * @returns {Ticket | undefined}
 */
function redeem() {
  const ticket = /** @type {Ticket | undefined} */ (workerThreads.getEnvironmentData(ENVIRONMENT_KEY));
  if (ticket === undefined) return undefined;
  takeBack();
  const { execArgv } = process;
  // Ours come first.
  if (ticket.execArgv === null) execArgv.splice(0, PRELOAD_OPTIONS.length);
  else execArgv.splice(0, Infinity, ...ticket.execArgv);
  state.commandLine = ticket.commandLine;
  return ticket;
}

module.exports.state = state;
module.exports.prepare = prepare;
module.exports.takeBack = takeBack;
module.exports.redeem = redeem;
