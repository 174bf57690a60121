'use strict';

/**
 * Loads modules of this package faster than Node's loader does: it looks for no file and no folder's settings, and
 * what one thread has compiled, others of the process take over: sources and V8's code cache for them are kept in
 * memory by the addon. Modules are the same as, and shared with, those that `require` finds. They cannot say `import()`:
 * one that does is to be asked for by its whole path, which leaves it to Node.
 */

const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');

/** Node's loader, without having to look it up; something else where something else loads modules. */
const Module = /** @type {any} */ (module).constructor;
const LIBRARY = path.join(__dirname, '..', path.sep);
/** Not so where something else than Node loads modules, such as a test runner with modules of its own. */
const isLoadedByNode = Module._cache?.[__filename] === module;

/**
 * @typedef {object} Entry where a module's parts are in the shared bytes
 * @property {number[]} source start, end
 * @property {number[]} cache start, end
 * @property {'latin1' | 'utf8'} encoding
 */

/** Compiled here, until it is shared. @type {Map<string, { source: string, script: vm.Script }>} */
const compiled = new Map();
/** Compiled by another thread: bytes, and what is where. @type {[Buffer, Map<string, Entry>] | null} */
let shared = null;

/**
 * Loads modules, and remembers what has been compiled for `share`.
 * @param {readonly string[]} filenames
 * @returns {any[]} their exports
 */
function load(filenames) {
  if (!isLoadedByNode) return filenames.map((filename) => require(filename));
  return filenames.map((filename) => moduleAt(filename).exports);
}

/**
 * Loads modules with the code that has been shared under a name.
 * @param {typeof import('../native/index')} addon
 * @param {string} name
 * @param {readonly string[]} filenames
 * @param {boolean} shares whether what is compiled here is shared if nothing has been
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
 * Shares the code of modules, loaded here or not. What has been run has its functions compiled, too.
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
    const filename = path.join(folder, request);
    const extension = path.extname(filename);
    const isOurs = filename.startsWith(LIBRARY) && (extension === '' || extension === '.js');
    return isOurs ? moduleAt(extension === '' ? `${filename}.js` : filename).exports : require(filename);
  };
  requireHere.cache = require.cache;
  return requireHere;
}

/** As Node's loader does, whatever loads this. @param {string} source */
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
 * What has been compiled, as one piece: the length of the index, the index, the parts.
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
 * @param {Buffer} bytes what `pack` made, in this process
 * @returns {[Buffer, Map<string, Entry>]}
 */
function unpack(bytes) {
  const start = 4 + bytes.readUInt32LE();
  return [bytes.subarray(start), new Map(JSON.parse(bytes.toString('utf8', 4, start)))];
}

module.exports.load = load;
module.exports.loadShared = loadShared;
module.exports.share = share;
