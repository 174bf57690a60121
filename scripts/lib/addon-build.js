'use strict';

/** Determines whether the addon is older than its sources. */

const fs = require('node:fs');
const path = require('node:path');
const { addonFileName } = require('./addon-file');

/** Inputs of the addon's build, relative to the repository. */
const SOURCES = ['Cargo.toml', 'Cargo.lock', 'build.rs', 'src', 'crates'];

/**
 * @param {string} entry file or folder
 * @returns {number} the latest modification of a file in it, in ms since the epoch
 */
function newestMs(entry) {
  const stats = fs.statSync(entry);
  if (!stats.isDirectory()) return stats.mtimeMs;
  const times = fs.readdirSync(entry).map((name) => newestMs(path.join(entry, name)));
  return Math.max(0, ...times);
}

/** @param {string} root */
function addonIsCurrent(root) {
  const addon = path.join(root, 'lib', 'native', addonFileName());
  if (!fs.existsSync(addon)) return false;
  const builtMs = fs.statSync(addon).mtimeMs;
  return SOURCES.every((name) => newestMs(path.join(root, name)) <= builtMs);
}

module.exports.addonIsCurrent = addonIsCurrent;
