'use strict';

/** Node binaries of other major versions, kept outside the repository. */

const path = require('node:path');
const { libcName } = require('./addon-file');
const { cachedPackage } = require('./cache');
const { CheckError } = require('./exec');

/**
 * Returns the path of a Node binary of a major version: this one, or one in the cache, which is fetched if missing.
 * @param {number} major
 */
async function nodeBinary(major) {
  if (process.versions.node.startsWith(`${major}.`)) return process.execPath;
  if (process.platform !== 'linux' || libcName() !== 'gnu') {
    throw new CheckError(`npm has no Node ${major} for this platform`);
  }
  const name = `node-linux-${process.arch}`;
  const folder = await cachedPackage(name, major, 'nodes', `${major}-${process.arch}`);
  return path.join(folder, 'bin', 'node');
}

module.exports.nodeBinary = nodeBinary;
