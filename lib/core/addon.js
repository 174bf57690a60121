'use strict';

/**
 * The native addon, loaded when first needed.
 *
 * Three cases are told apart: it loads; it cannot be had here (other platform, `--no-addons`, the permission
 * model, MANYCORE_FALLBACK), where Node's own modules serve and native-only features throw; it is missing
 * although it should be there (a broken installation), which is an error.
 */

const { readChoice } = require('./environment');
const { makeError } = require('./errors');
const { version } = require('../../package.json');

/** @typedef {typeof import('../native/index')} Binding */

/** @type {Binding | undefined} */
let binding;
/** @type {string | undefined} why the addon cannot be had here */
let unavailable;
/** @type {string | undefined} */
let file;

/** How long receivers poll, by the level that the addon knows it by. */
const LATENCIES = ['frugal', 'balanced', 'low'];

/** Codes with which Node refuses native code by its own settings. */
const REFUSED = new Set(['ERR_DLOPEN_DISABLED', 'ERR_ACCESS_DENIED']);
const WHY_REFUSED =
  'it was started with --no-addons, or with the permission model and without --allow-addons';
/** No file, so that asking for it can do nothing. */
const NO_ADDON = `${__dirname}/none.node`;

/**
 * The addon, or null where it cannot be had.
 * @returns {Binding | null}
 * @throws ERR_MANYCORE_ADDON_MISSING, ERR_MANYCORE_VERSION_MISMATCH, EMFILE and ENFILE
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
  let loaded;
  try {
    loaded = require('../native/index.js');
  } catch (error) {
    const refusal = findRefusal();
    if (refusal !== undefined) {
      unavailable = `Node refuses native addons (${refusal}): ${WHY_REFUSED}`;
      return null;
    }
    // Only the first line: which of our files asked for it helps nobody.
    const [cause] = firstFailure(error).message.split('\n');
    throw shortage(error) ?? makeError('ERR_MANYCORE_ADDON_MISSING', [cause], loadAddon);
  }
  const addonVersion = loaded.version();
  if (addonVersion !== version) {
    throw makeError('ERR_MANYCORE_VERSION_MISMATCH', [addonVersion, version], loadAddon);
  }
  readChoice('MANYCORE_LATENCY', LATENCIES); // It is the addon that uses it.
  binding = loaded;
  return binding;
}

/**
 * The addon, for a feature that Node's own modules cannot stand in for.
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
 * The file of the addon, as `require` knows it, for threads to load it from at once. Undefined where something else
 * than Node has loaded it.
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
 * The code with which Node refuses every addon, if it does (`--no-addons`, the permission model). The
 * generated loader reports the messages of its attempts without their codes, so Node is asked directly.
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
 * An error that says so if the addon is there, but could not be opened for want of file descriptors: a message is all
 * that tells, where it was `dlopen` that failed, or Node 24 reading a package.json.
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
 * The loader tries the file beside it first and chains what happens later in front of that.
 * @param {any} error
 */
function firstFailure(error) {
  while (error.cause instanceof Error) error = error.cause;
  return error;
}

module.exports.LATENCIES = LATENCIES;
module.exports.addonFile = addonFile;
module.exports.loadAddon = loadAddon;
module.exports.requireAddon = requireAddon;
