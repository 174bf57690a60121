'use strict';

/**
 * Loads modules of this package faster than Node's loader: without path resolution and package.json look-ups, and
 * with compiled code shared between the threads of a process. Sources and their V8 code cache are kept in process
 * memory by the addon. Modules loaded here are shared with `require`. They must not use `import()`; a module that
 * does must be required by its absolute path, which leaves it to Node.
 */

const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');

/** Node's loader without a `require`; something else if another loader is in use. */
const Module = /** @type {any} */ (module).constructor;
const LIBRARY = path.join(__dirname, '..', path.sep);
/** False if something other than Node loads modules, such as a test runner with its own module system. */
const isLoadedByNode = Module._cache?.[__filename] === module;

/**
 * @typedef {object} Entry position of a module's parts in the shared bytes
 * @property {number[]} source start, end
 * @property {number[]} cache start, end
 * @property {'latin1' | 'utf8'} encoding
 */

/** Compiled by this thread and not shared yet. @type {Map<string, { source: string, script: vm.Script }>} */
const compiled = new Map();
/** Compiled by another thread: the bytes and their index. @type {[Buffer, Map<string, Entry>] | null} */
let shared = null;

/**
 * Loads modules and remembers the compiled code for `share`.
 * @param {readonly string[]} filenames
 * @returns {any[]} their exports
 */
function load(filenames) {
  if (!isLoadedByNode) return filenames.map((filename) => require(filename));
  return filenames.map((filename) => moduleAt(filename).exports);
}

/**
 * Loads modules with the code that is shared under a name, if any.
 * @param {typeof import('../native/index')} addon
 * @param {string} name
 * @param {readonly string[]} filenames
 * @param {boolean} shares whether to share the code compiled here if there is none yet
 * @returns {any[]} their exports
 */
function loadShared(addon, name, filenames, shares) {
  const bytes = /** @type {ArrayBuffer | null} */ (addon.sharedCode(name));
  if (bytes === null) {
    const loaded = load(filenames);
    if (shares) share(addon, name, [...compiled.keys()]);
    return loaded;
  }
  shared = unpack(Buffer.from(bytes));
  try {
    return load(filenames);
  } finally {
    shared = null;
  }
}

/**
 * Shares the code of modules, whether loaded or not. The code cache of a module that has run includes the functions
 * compiled so far.
 * @param {typeof import('../native/index')} addon
 * @param {string} name
 * @param {readonly string[]} filenames
 */
function share(addon, name, filenames) {
  for (const filename of filenames) if (!compiled.has(filename)) compile(filename);
  addon.shareCode(name, pack(filenames));
  compiled.clear();
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
    const folder = path.dirname(filename);
    const run = compile(filename).runInThisContext();
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
  const requireHere = (/** @type {string} */ request) => {
    if (!request.startsWith('.')) return require(request);
    const filename = resolve(folder, request);
    const isOurs = filename.startsWith(LIBRARY) && filename.endsWith('.js');
    return isOurs ? moduleAt(filename).exports : require(filename);
  };
  requireHere.cache = require.cache;
  return requireHere;
}

/**
 * Resolves a relative request. Not with `path`, which takes as long as most of our modules take to run.
 * @param {string} folder
 * @param {string} request with dots at its start only, and in its extension
 */
function resolve(folder, request) {
  let at = request.startsWith('./') ? 2 : 0;
  for (; request.startsWith('../', at); at += 3) folder = folder.slice(0, folder.lastIndexOf(path.sep));
  const extension = request.includes('.', at) ? '' : '.js';
  return folder + path.sep + request.slice(at) + extension;
}

/** Node's module wrapper, independent of the loader in use. @param {string} source */
function wrap(source) {
  return `(function (exports, require, module, __filename, __dirname) { ${source}\n});`;
}

/** @param {string} filename */
function compile(filename) {
  const known = takeShared(filename);
  const source = known === null ? wrap(fs.readFileSync(filename, 'utf8')) : known.source;
  const script = new vm.Script(source, { filename, cachedData: known?.cachedData });
  if (known === null) compiled.set(filename, { source, script });
  return script;
}

/** @param {string} filename */
function takeShared(filename) {
  const [bytes, entries] = shared ?? [];
  const entry = entries?.get(filename.slice(LIBRARY.length));
  if (bytes === undefined || entry === undefined) return null;
  const { source, cache, encoding } = entry;
  return {
    source: bytes.toString(encoding, source[0], source[1]),
    cachedData: bytes.subarray(cache[0], cache[1]),
  };
}

/**
 * Serialises the compiled modules: length of the index, index, parts.
 * @param {readonly string[]} filenames
 */
function pack(filenames) {
  /** @type {[string, Entry][]} */
  const index = [];
  /** @type {Buffer[]} */
  const parts = [];
  let at = 0;
  const put = (/** @type {Buffer} */ part) => {
    parts.push(part);
    return [at, (at += part.length)];
  };
  for (const filename of filenames) {
    const code = compiled.get(filename);
    if (code === undefined) continue;
    const source = Buffer.from(code.source);
    const encoding = source.length === code.source.length ? 'latin1' : 'utf8';
    const cache = code.script.createCachedData();
    index.push([filename.slice(LIBRARY.length), { source: put(source), cache: put(cache), encoding }]);
  }
  const head = Buffer.from(JSON.stringify(index));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length);
  return Buffer.concat([length, head, ...parts]);
}

/**
 * @param {Buffer} bytes written by `pack` in this process
 * @returns {[Buffer, Map<string, Entry>]}
 */
function unpack(bytes) {
  const start = 4 + bytes.readUInt32LE();
  return [bytes.subarray(start), new Map(JSON.parse(bytes.toString('utf8', 4, start)))];
}

module.exports.load = load;
module.exports.loadShared = loadShared;
module.exports.share = share;
