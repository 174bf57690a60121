'use strict';

/**
 * Loads the native addon on first use.
 *
 * There are three outcomes: the addon loads; it is unavailable here (another platform, `--no-addons`, the
 * permission model, MANYCORE_FALLBACK), so Node's own modules are used and native-only features throw; or it is
 * missing although it should be present (a broken installation), which is an error.
 */

const { readChoice } = require('./environment');
const { makeError } = require('./errors');
const { version } = require('../../package.json');

/** @typedef {typeof import('../native/index')} Binding */

/** @type {Binding | undefined} */
let binding;
/** @type {string | undefined} why the addon is unavailable */
let unavailable;
/** @type {string | undefined} */
let file;

/** Values of MANYCORE_LATENCY, that is, how long receivers spin. The index is the level used by the addon. */
const LATENCIES = ['frugal', 'balanced', 'low'];

/** Error codes of `process.dlopen` when Node's own settings forbid native addons. */
const REFUSED = new Set(['ERR_DLOPEN_DISABLED', 'ERR_ACCESS_DENIED']);
const WHY_REFUSED =
  'it was started with --no-addons, or with the permission model and without --allow-addons';
/** C libraries, in the names of the addon's files. Only the file for the own one can be loaded. */
const LIBCS = ['gnu', 'musl'];
/** A file that does not exist, so that trying to load it has no effect. */
const NO_ADDON = `${__dirname}/none.node`;

/**
 * Returns the addon, or null if it is unavailable.
 * @returns {Binding | null}
 * @throws ERR_MANYCORE_ADDON_MISSING, ERR_MANYCORE_BUNDLED, ERR_MANYCORE_VERSION_MISMATCH, EMFILE and ENFILE
 */
function loadAddon() {
  if (binding !== undefined) return binding;
  if (unavailable !== undefined) return null;
  if (process.platform !== 'linux') {
    unavailable = `the native addon is for Linux, this is ${process.platform}`;
    return null;
  }
  if (readChoice('MANYCORE_FALLBACK', ['0', '1']) === '1') {
    unavailable = 'MANYCORE_FALLBACK=1 is set';
    return null;
  }
  if (!__filename.endsWith('/lib/core/addon.js')) {
    throw makeError('ERR_MANYCORE_BUNDLED', [__filename], loadAddon);
  }
  let loaded;
  try {
    loaded = requireAtHand() ?? require('../native/index.js');
  } catch (error) {
    const refusal = findRefusal();
    if (refusal !== undefined) {
      unavailable = `Node refuses native addons (${refusal}): ${WHY_REFUSED}`;
      return null;
    }
    // Only the first line: the rest is the list of files that required it.
    const [cause] = firstFailure(error).message.split('\n');
    throw shortage(error) ?? makeError('ERR_MANYCORE_ADDON_MISSING', [cause], loadAddon);
  }
  const addonVersion = loaded.version();
  if (addonVersion !== version) {
    throw makeError('ERR_MANYCORE_VERSION_MISMATCH', [addonVersion, version], loadAddon);
  }
  readChoice('MANYCORE_LATENCY', LATENCIES); // Validated here, read by the addon.
  binding = loaded;
  return binding;
}

/**
 * Returns the addon if its file is where builds and installations put it. The generated loader, which knows all other
 * places and reports what is wrong, takes longer to load than the addon itself.
 * @returns {Binding | undefined}
 */
function requireAtHand() {
  if (process.env.NAPI_RS_NATIVE_LIBRARY_PATH) return undefined;
  for (const libc of LIBCS) {
    try {
      return require(`../native/manycore.linux-${process.arch}-${libc}.node`);
    } catch {
      // Tried again by the generated loader, for its report.
    }
  }
  return undefined;
}

/**
 * Returns the addon, for a feature that has no equivalent in Node's own modules.
 * @param {string} feature
 * @returns {Binding}
 * @throws ERR_FEATURE_UNAVAILABLE_ON_PLATFORM and those of {@link loadAddon}
 */
function requireAddon(feature) {
  const addon = loadAddon();
  if (addon === null) {
    throw makeError('ERR_FEATURE_UNAVAILABLE_ON_PLATFORM', [feature, unavailable], requireAddon);
  }
  return addon;
}

/**
 * Path of the addon as `require.cache` has it, so that threads can load it directly. Undefined if it was loaded by
 * something other than Node's loader.
 * @returns {string | undefined}
 */
function addonFile() {
  if (binding === undefined) return undefined;
  const { CallPoint } = binding;
  file ??= Object.keys(require.cache).find((each) => {
    return each.endsWith('.node') && require.cache[each]?.exports?.CallPoint === CallPoint;
  });
  return file;
}

/**
 * Returns the error code with which Node refuses every addon (`--no-addons`, the permission model), if any. The
 * generated loader reports the messages of its attempts but not their codes, so Node is asked directly.
 */
function findRefusal() {
  try {
    process.dlopen({ exports: {} }, NO_ADDON);
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    if (code !== undefined && REFUSED.has(code)) return code;
  }
  return undefined;
}

/**
 * Returns an error for the case that the addon exists but could not be opened because file descriptors ran out.
 * Failures of `dlopen`, and of Node 24 reading a package.json, have no error code, so the message is matched.
 * @param {any} error
 */
function shortage(error) {
  for (let each = error; each instanceof Error; each = /** @type {any} */ (each.cause)) {
    const { code: known, message } = /** @type {NodeJS.ErrnoException} */ (each);
    const inSystem = known === 'ENFILE' || /too many open files in system/i.test(message);
    if (!inSystem && known !== 'EMFILE' && !/too many open files/i.test(message)) continue;
    const code = inSystem ? 'ENFILE' : 'EMFILE';
    const { message: cause } = firstFailure(error);
    const about = `${code}: too many open files, the native addon of manycore cannot be loaded. Cause: ${cause}`;
    return Object.assign(new Error(about), {
      code,
      errno: -require('node:os').constants.errno[code],
      syscall: 'open',
    });
  }
  return undefined;
}

/**
 * Returns the cause that tells most: the first failure to load a file that exists, or else the first one. The loader
 * tries the file next to it first and chains later failures in front of that one.
 * @param {any} error
 */
function firstFailure(error) {
  let found = error;
  for (let each = error; each.cause instanceof Error; each = each.cause) {
    if (!isAbsence(each.cause) || isAbsence(found) || found === error) found = each.cause;
  }
  return found;
}

/** @param {Error} error */
function isAbsence({ message }) {
  return message.startsWith('Cannot find module');
}

module.exports.LATENCIES = LATENCIES;
module.exports.addonFile = addonFile;
module.exports.loadAddon = loadAddon;
module.exports.requireAddon = requireAddon;
