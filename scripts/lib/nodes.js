'use strict';

/** Node binaries of other major versions, kept outside of the repository. */

const path = require('node:path');
const { libcName } = require('./addon-file');
const { cachedPackage } = require('./cache');
const { CheckError } = require('./exec');

/**
 * The path of a Node binary of that major version: this one, one in the cache, or one installed there.
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
