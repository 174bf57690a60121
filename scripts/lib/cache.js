'use strict';

/** Downloads that are kept outside the repository. */

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { exec } = require('./exec');

/** @param {string[]} names */
function cachePath(...names) {
  return path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'manycore', ...names);
}

/**
 * Returns the folder of an npm package in the cache, which is fetched if missing.
 * @param {string} name
 * @param {number} major
 * @param {string[]} names path of the folder in the cache
 */
async function cachedPackage(name, major, ...names) {
  const folder = cachePath(...names);
  const found = path.join(folder, 'node_modules', name);
  if (!fs.existsSync(found)) await install(`${name}@${major}`, folder);
  return found;
}

/**
 * @param {string} spec
 * @param {string} folder
 */
async function install(spec, folder) {
  fs.mkdirSync(path.dirname(folder), { recursive: true });
  const work = fs.mkdtempSync(`${folder}.`);
  try {
    fs.writeFileSync(path.join(work, 'package.json'), '{ "private": true }\n');
    await exec('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', spec], { cwd: work });
    // If another process was faster, its result is used.
    if (!fs.existsSync(folder)) fs.renameSync(work, folder);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

module.exports.cachePath = cachePath;
module.exports.cachedPackage = cachedPackage;
