'use strict';

/**
 * The native addon, loaded when first needed.
 *
 * Three cases are told apart: it loads; it cannot be had here (other platform, `--no-addons`, the permission
 * model, MANYCORE_FALLBACK), where Node's own modules serve and native-only features throw; it is missing
 * although it should be there (a broken installation), which is an error.
 */

const { makeError } = require('./errors');
const { version } = require('../../package.json');

/** @typedef {typeof import('../native/index')} Binding */

/** @type {Binding | undefined} */
let binding;
/** @type {string | undefined} why the addon cannot be had here */
let unavailable;

/** Codes with which Node refuses native code by its own settings. */
const REFUSED = new Set(['ERR_DLOPEN_DISABLED', 'ERR_ACCESS_DENIED']);

/**
 * The addon, or null where it cannot be had.
 * @returns {Binding | null}
 * @throws ERR_MANYCORE_ADDON_MISSING, ERR_MANYCORE_VERSION_MISMATCH
 */
function loadAddon() {
  if (binding !== undefined) return binding;
  if (unavailable !== undefined) return null;
  if (process.platform !== 'linux') {
    unavailable = `the native addon is for Linux, this is ${process.platform}`;
    return null;
  }
  if (process.env.MANYCORE_FALLBACK === '1') {
    unavailable = 'MANYCORE_FALLBACK=1 is set';
    return null;
  }
  let loaded;
  try {
    loaded = require('../native/index.js');
  } catch (error) {
    const reason = rootCause(error);
    if (REFUSED.has(reason.code)) {
      unavailable = `Node refuses native addons (${reason.code})`;
      return null;
    }
    throw makeError('ERR_MANYCORE_ADDON_MISSING', [reason.message], loadAddon);
  }
  const addonVersion = loaded.version();
  if (addonVersion !== version) {
    throw makeError('ERR_MANYCORE_VERSION_MISMATCH', [addonVersion, version], loadAddon);
  }
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

/** @param {any} error */
function rootCause(error) {
  for (let depth = 0; error?.cause && depth < 16; depth++) {
    const { cause } = error;
    if (Array.isArray(cause)) error = cause.find((each) => REFUSED.has(each?.code)) ?? cause[0];
    else error = cause;
    if (REFUSED.has(error?.code)) break;
  }
  return error;
}

module.exports.loadAddon = loadAddon;
module.exports.requireAddon = requireAddon;
