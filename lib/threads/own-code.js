'use strict';

/**
 * Loads modules of this package in a worker, faster than Node's loader does: their sources and V8's code cache for
 * them are kept in memory by the addon, put together by the first worker that needs them. Modules are the same
 * as, and shared with, those that `require` finds.
 */

const fs = require('node:fs');
const Module = /** @type {any} */ (require('node:module'));
const path = require('node:path');
const vm = require('node:vm');

const LIBRARY = path.join(__dirname, '..', path.sep);

/**
 * @typedef {object} Entry where a module's parts are in the shared bytes
 * @property {number[]} source start, end
 * @property {number[]} cache start, end
 */

/** Modules compiled here, while nothing is shared yet. @type {Map<string, { source: string, script: vm.Script }>} */
const compiled = new Map();
/** @type {Map<string, { source: string, cachedData: Buffer }> | undefined} */
let shared;

/**
 * @param {typeof import('../native/index')} addon
 * @param {string[]} filenames of modules
 * @returns {any[]} their exports
 */
function load(addon, filenames) {
  const bytes = shared === undefined ? addon.sharedCode() : null;
  if (bytes !== null) shared = unpack(Buffer.from(/** @type {ArrayBuffer} */ (bytes)));
  const loaded = filenames.map((filename) => moduleAt(filename).exports);
  if (shared === undefined) addon.shareCode(pack());
  compiled.clear();
  shared = new Map();
  return loaded;
}

/** @param {string} filename */
function moduleAt(filename) {
  const known = Module._cache[filename];
  if (known !== undefined) return known;
  const module = new Module(filename);
  module.filename = filename;
  module.paths = [];
  Module._cache[filename] = module;
  try {
    const run = compile(filename).runInThisContext();
    const folder = path.dirname(filename);
    run.call(module.exports, module.exports, requireFrom(folder), module, filename, folder);
  } catch (error) {
    delete Module._cache[filename];
    throw error;
  }
  module.loaded = true;
  return module;
}

/** @param {string} folder */
function requireFrom(folder) {
  return (/** @type {string} */ request) => {
    if (!request.startsWith('.')) return require(request);
    const filename = path.join(folder, request);
    const extension = path.extname(filename);
    const isOurs = filename.startsWith(LIBRARY) && (extension === '' || extension === '.js');
    return isOurs ? moduleAt(extension === '' ? `${filename}.js` : filename).exports : require(filename);
  };
}

/** @param {string} filename */
function compile(filename) {
  const known = shared?.get(filename);
  const source = known === undefined ? Module.wrap(fs.readFileSync(filename, 'utf8')) : known.source;
  const script = new vm.Script(source, { filename, cachedData: known?.cachedData });
  if (shared === undefined) compiled.set(filename, { source, script });
  return script;
}

/** What has been compiled, as one piece: the length of the index, the index, the parts. */
function pack() {
  /** @type {[string, Entry][]} */
  const index = [];
  /** @type {Buffer[]} */
  const parts = [];
  let at = 0;
  const put = (/** @type {Buffer} */ part) => {
    parts.push(part);
    return [at, (at += part.length)];
  };
  for (const [filename, { source, script }] of compiled) {
    index.push([filename, { source: put(Buffer.from(source)), cache: put(script.createCachedData()) }]);
  }
  const head = Buffer.from(JSON.stringify(index));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length);
  return Buffer.concat([length, head, ...parts]);
}

/** @param {Buffer} bytes what `pack` made, in this process */
function unpack(bytes) {
  const start = 4 + bytes.readUInt32LE();
  const body = bytes.subarray(start);
  /** @type {[string, Entry][]} */
  const index = JSON.parse(bytes.toString('utf8', 4, start));
  return new Map(
    index.map(([filename, { source, cache }]) => [
      filename,
      { source: body.toString('utf8', ...source), cachedData: body.subarray(...cache) },
    ]),
  );
}

module.exports.load = load;
