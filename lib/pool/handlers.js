'use strict';

/** Worker side: functions called by tasks, loaded on first use. */

const path = require('node:path');
const { methods, receiver } = require('./context');

const FOREIGN = path.join(__dirname, 'foreign.js');

/**
 * @typedef {object} Handler
 * @property {string | null} filename
 * @property {string} name
 * @property {boolean} isSpread whether the value is an array of arguments
 * @property {string | null} source source code of a function that was sent as such
 * @property {boolean} announces whether the start of its tasks is reported
 * @property {((...args: any[]) => any) | null} call null until it is loaded
 * @property {Promise<void> | null} loading
 */

/** Name of the handler that lists the functions for `proxy()`. */
const METHODS = 'methods';

/** Handlers exported by files, each loaded once. @type {Map<string, Handler>} */
const ofFiles = new Map();

/**
 * @param {any[]} definition see `Definitions`
 * @returns {Handler}
 */
function makeHandler([filename, name, isSpread, source, announces = false]) {
  /** @type {Handler} */
  const handler = { filename, name, isSpread, source, announces, call: null, loading: null };
  if (filename === null || source !== null) return handler;
  const key = JSON.stringify([filename, name, isSpread, announces]);
  const known = ofFiles.get(key);
  if (known !== undefined) return known;
  ofFiles.set(key, handler);
  return handler;
}

/** @param {Handler} handler */
function load(handler) {
  handler.loading ??= find(handler).then(
    (found) => {
      if (found === null) {
        const { filename, name } = handler;
        const about = `No handler function exported from ${filename}: it has no function '${name}'`;
        throw require('../core/errors').makeError('ERR_MANYCORE_NO_HANDLER', [about], load);
      }
      const { isSpread } = handler;
      handler.call = isSpread ? (args) => found(...args) : (task) => found(task);
      if (!isSpread) handler.call = /** @type {any} */ (found);
    },
    (error) => {
      // Retried next time, when the file may exist.
      handler.loading = null;
      throw error;
    },
  );
  return handler.loading;
}

/**
 * @param {Handler} handler
 * @returns {Promise<((...args: any[]) => any) | null>}
 */
async function find({ filename, name, isSpread, source }) {
  if (source !== null) return compile(source).bind(receiver);
  if (filename !== null) {
    const exported = await findExported(filename, name);
    if (exported !== null) return exported;
  }
  const method = /** @type {any} */ (methods.get(name));
  if (method !== undefined) return method.bind(receiver);
  if (isSpread && name === METHODS) return () => listMethods(filename);
  if (isSpread) {
    throw require('../core/errors').makeError('ERR_MANYCORE_NO_HANDLER', [`Unknown method "${name}"`], find);
  }
  return null;
}

/** @param {string} source */
function compile(source) {
  const made = require(FOREIGN).evaluate(source);
  if (typeof made !== 'function') throw new TypeError('the source of the function is not that of a function');
  return made;
}

/**
 * @param {string} filename
 * @param {string} name
 */
async function findExported(filename, name) {
  try {
    const found = await pick(require(filename), name);
    if (typeof found === 'function') return found;
  } catch {
    // An ES module, or a module that fails to load: `import` reports the error.
  }
  const module = await importFile(filename);
  const found = typeof module === 'function' ? module : await module[name];
  return typeof found === 'function' ? found : null;
}

/** @param {string} filename */
async function importFile(filename) {
  const { pathToFileURL } = require('node:url');
  try {
    return await require(FOREIGN).importModule(pathToFileURL(filename).href);
  } catch (error) {
    const { code } = /** @type {any} */ (error ?? {});
    if (code !== 'ERR_MODULE_NOT_FOUND' || require('node:fs').existsSync(filename)) throw error;
    // Node's message names a file of ours as the one that imports it.
    const advice = 'the file of a task: give its absolute path or file: URL';
    throw Object.assign(new Error(`Cannot find module '${path.resolve(filename)}', ${advice}`), { code });
  }
}

/**
 * Returns the export of a CommonJS module by name, `default` being `module.exports`.
 * @param {any} exported
 * @param {string} name
 */
function pick(exported, name) {
  if (exported?.__esModule || name !== 'default') return exported?.[name];
  return exported;
}

/** @param {string | null} filename */
async function listMethods(filename) {
  const names = new Set(methods.keys());
  if (filename !== null) {
    const module = await importFile(filename);
    for (const exported of [module, module.default]) {
      if (exported === undefined || exported === null) continue;
      for (const name of Object.keys(exported)) if (typeof exported[name] === 'function') names.add(name);
    }
  }
  // Names of the module itself, the second since Node 23.
  for (const whole of ['default', 'module.exports']) names.delete(whole);
  return [...names];
}

module.exports.makeHandler = makeHandler;
module.exports.load = load;
