'use strict';

/** How a worker, thread or process, begins to take tasks, and how it ends when it is to. */

const { context, enterWorker, terminators } = require('./context');
const { load, makeHandler } = require('./handlers');

/**
 * @typedef {object} Startup what a worker is told first
 * @property {number} workerId
 * @property {number} concurrency
 * @property {number} niceIncrement
 * @property {number} memoryLimitBytes 0: none
 * @property {string | null} filename whose handler is loaded before the first task
 * @property {string} name
 * @property {any[] | null} setupArgs with which the export `setup` is called before the first task
 * @property {string | null} teardown name of the export that is called before the worker ends
 */

/**
 * @param {typeof import('../native/index')} addon
 * @param {import('./runner').Runner} runner
 * @param {Startup} startup
 */
async function enter(addon, runner, startup) {
  context.workerId = startup.workerId;
  if (startup.niceIncrement !== 0) addon.poolNice(startup.niceIncrement);
  enterWorker(runner, startup.concurrency > 1);
  runner.onRetire = () => retire(runner, startup);
  const { filename, name, setupArgs } = startup;
  if (filename !== null && !(await preload(filename, name, setupArgs))) return;
  runner.start();
}

/**
 * Loads the handler of most tasks, and sets up what they need. False when that fails, which ends this worker.
 * @param {string} filename
 * @param {string} name
 * @param {any[] | null} setupArgs
 */
async function preload(filename, name, setupArgs) {
  try {
    await load(makeHandler([filename, name, false, null])).catch((error) => {
      // A file without this handler serves other names.
      if (!String(error?.message).startsWith('No handler function exported')) throw error;
    });
    if (setupArgs !== null) await callExport(filename, 'setup', setupArgs);
    return true;
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
    return false;
  }
}

/**
 * @param {string} filename
 * @param {string} name
 * @param {any[]} args
 */
async function callExport(filename, name, args) {
  const handler = makeHandler([filename, name, true, null]);
  await load(handler);
  await /** @type {any} */ (handler.call)(args);
}

/**
 * @param {import('./runner').Runner} runner
 * @param {Startup} startup
 */
async function retire(runner, { filename, teardown }) {
  runner.retire();
  try {
    for (const terminate of terminators) await terminate();
    if (teardown !== null && filename !== null) {
      await callExport(filename, teardown, []);
    }
  } finally {
    process.exit(0);
  }
}

module.exports.enter = enter;
module.exports.preload = preload;
