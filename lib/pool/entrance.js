'use strict';

/** Start and end of a worker, thread or process. */

const { context, enterWorker, terminators } = require('./context');
const { load, makeHandler } = require('./handlers');

/**
 * @typedef {object} Startup initial data of a worker
 * @property {number} workerId
 * @property {number} concurrency
 * @property {number} niceIncrement
 * @property {number} memoryLimitBytes limit of memory in use; 0 for none
 * @property {string | null} filename file whose handler is loaded before the first task
 * @property {string} name
 * @property {any[] | null} setupArgs arguments for the export `setup`, called before the first task
 * @property {string | null} teardown name of an export called before the worker ends
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
 * Loads the default handler and runs `setup`. Returns false on failure, which ends this worker.
 * @param {string} filename
 * @param {string} name
 * @param {any[] | null} setupArgs
 */
async function preload(filename, name, setupArgs) {
  try {
    await load(makeHandler([filename, name, false, null])).catch((error) => {
      // A file without the default handler may still be used with other names.
      if (error?.code !== 'ERR_MANYCORE_NO_HANDLER') throw error;
    });
    if (setupArgs !== null) await callExport(filename, 'setup', setupArgs);
    return true;
  } catch (error) {
    require('../core/errors').throwUncaught(error);
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
