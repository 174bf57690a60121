'use strict';

/**
 * How a worker gets its link: the parent hands the link's number over in the environment data, which Node
 * passes before anything runs in the worker, and puts a preload before the worker's own options. The preload
 * takes both away again.
 */

const path = require('node:path');
const workerThreads = require('node:worker_threads');

const PRELOAD = path.join(__dirname, 'preload.js');
const PRELOAD_OPTIONS = ['--require', PRELOAD];
const ENVIRONMENT_KEY = 'manycore.link';
/** Room for bursts; memory is taken as it is used. */
const LANE_BYTES = 2 * 1024 * 1024;

/**
 * @typedef {object} Ticket what a worker is told
 * @property {number} id of the link
 * @property {string} token see `Channel`
 * @property {string[] | null} execArgv what `process.execArgv` is to be; null: the worker's own options
 * @property {string[]} commandLine options of the process, from which workers without their own start
 * @property {string | undefined} addonFile
 * @property {string} name of the worker
 * @property {Int32Array | undefined} wakeUp for a spare: where it waits until it is taken
 * @property {boolean} isInstalled whether the built-in module is replaced in this process
 */

const state = {
  /** Options of the process; a worker is told by its parent. */
  commandLine: [...process.execArgv],
  isInstalled: false,
  /** This thread's name. */
  name: '',
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
    new workerThreads.Worker('', { eval: true, execArgv: [impossible, ...options] });
    return false;
  } catch (error) {
    return String(/** @type {any} */ (error)?.message).endsWith(`: ${impossible}`);
  }
}

/** @type {string | undefined} */
let addonFile;

/**
 * The file of the addon, as `require` knows it.
 * @param {typeof import('../native/index')} addon
 */
function addonFileOf(addon) {
  return Object.keys(require.cache).find((file) => {
    return file.endsWith('.node') && require.cache[file]?.exports?.ThreadLink === addon.ThreadLink;
  });
}

/**
 * Prepares the link of a worker to be made with `options`. Null when the worker is better made by Node alone:
 * options that Node will refuse, or no means left for a link.
 * @param {typeof import('../native/index')} addon
 * @param {any} options
 * @param {Int32Array} [wakeUp] for a spare
 */
function prepare(addon, options, wakeUp) {
  const own = options?.execArgv;
  if (options === null || (own && !Array.isArray(own))) return null;
  let link;
  try {
    link = new addon.ThreadLink(LANE_BYTES);
  } catch {
    // No file descriptors or memory left for lanes: Node's port does without.
    return null;
  }
  if (tokenPrefix === '') tokenPrefix = `manycore:${process.hrtime.bigint()}:${Math.random()}:`;
  const token = tokenPrefix + link.id;
  const execArgv = [...PRELOAD_OPTIONS, ...(own ? own : workerOptions(state.commandLine))];
  /** @type {Ticket} */
  const ticket = {
    id: link.id,
    token,
    execArgv: own ? null : [...process.execArgv],
    commandLine: state.commandLine,
    isInstalled: state.isInstalled,
    addonFile: (addonFile ??= addonFileOf(addon)),
    name: options?.name ? String(options.name).trim() : '',
    wakeUp,
  };
  workerThreads.setEnvironmentData(ENVIRONMENT_KEY, ticket);
  return {
    link,
    token,
    name: ticket.name,
    options: Object.create(options === undefined ? null : Object(options), { execArgv: { value: execArgv } }),
  };
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
  state.name = ticket.name;
  addonFile = ticket.addonFile;
  return ticket;
}

module.exports.state = state;
module.exports.prepare = prepare;
module.exports.takeBack = takeBack;
module.exports.redeem = redeem;
