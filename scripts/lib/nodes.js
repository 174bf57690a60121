'use strict';

/** Node binaries of other major versions, kept outside of the repository. */

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { libcName } = require('./addon-file');
const { CheckError, exec } = require('./exec');

/** @param {string[]} names */
function cachePath(...names) {
  return path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'manycore', ...names);
}

/**
 * The path of a Node binary of that major version: this one, one in the cache, or one installed there.
 * @param {number} major
 */
async function nodeBinary(major) {
  if (process.versions.node.startsWith(`${major}.`)) return process.execPath;
  const name = `node-linux-${process.arch}`;
  if (process.platform !== 'linux' || libcName() !== 'gnu') {
    throw new CheckError(`npm has no Node ${major} for this platform`);
  }
  const folder = cachePath('nodes', `${major}-${process.arch}`);
  const binary = path.join(folder, 'node_modules', name, 'bin', 'node');
  if (!fs.existsSync(binary)) await installNode(`${name}@${major}`, folder);
  return binary;
}

/**
 * @param {string} spec
 * @param {string} folder
 */
async function installNode(spec, folder) {
  fs.mkdirSync(path.dirname(folder), { recursive: true });
  const work = fs.mkdtempSync(`${folder}.`);
  try {
    fs.writeFileSync(path.join(work, 'package.json'), '{ "private": true }\n');
    await exec('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', spec], { cwd: work });
    // When another process was quicker, its result is as good.
    if (!fs.existsSync(folder)) fs.renameSync(work, folder);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

module.exports.cachePath = cachePath;
module.exports.nodeBinary = nodeBinary;
