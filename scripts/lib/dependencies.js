'use strict';

/** Determines whether node_modules matches package-lock.json. */

const fs = require('node:fs');
const path = require('node:path');

/** @typedef {{ version?: string, integrity?: string, optional?: boolean }} LockEntry */

/**
 * @param {string} file
 * @returns {Record<string, LockEntry> | null} null if there is no such file
 */
function readPackages(file) {
  let text;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return null;
    throw error;
  }
  return JSON.parse(text).packages ?? null;
}

/**
 * Compares contents, not timestamps: a checkout or `npm install` may touch package-lock.json without changing it.
 * @param {string} root
 */
function dependenciesAreCurrent(root) {
  const wanted = readPackages(path.join(root, 'package-lock.json'));
  const installed = readPackages(path.join(root, 'node_modules', '.package-lock.json'));
  if (wanted === null) throw new Error(`${root} has no package-lock.json with packages`);
  if (installed === null) return false;
  const names = new Set([...Object.keys(wanted), ...Object.keys(installed)]);
  names.delete('');
  for (const name of names) {
    const want = wanted[name];
    const have = installed[name];
    // npm omits optional packages for other platforms.
    if (want?.optional && !have) continue;
    if (want?.version !== have?.version || want?.integrity !== have?.integrity) return false;
  }
  return true;
}

module.exports.dependenciesAreCurrent = dependenciesAreCurrent;
