'use strict';

const fs = require('node:fs');
const path = require('node:path');

const NEVER = new Set(['node_modules', '.git', 'target']);

/**
 * Returns the files under a folder, as sorted paths relative to `root`.
 * @param {string} root
 * @param {string} [folder] relative to `root`
 * @returns {string[]}
 */
function listFiles(root, folder = '.') {
  const start = path.join(root, folder);
  if (!fs.existsSync(start)) return [];
  return fs
    .readdirSync(start, { withFileTypes: true })
    .filter((entry) => !NEVER.has(entry.name))
    .flatMap((entry) => {
      const name = path.join(folder, entry.name);
      if (entry.isDirectory()) return listFiles(root, name);
      return entry.isFile() ? [name] : [];
    })
    .sort();
}

module.exports.listFiles = listFiles;
