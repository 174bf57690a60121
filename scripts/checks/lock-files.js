'use strict';

/**
 * Checks that the lock files pin exactly what is installed: each package has a hash of its contents and comes from
 * a public registry.
 */

const fs = require('node:fs');
const path = require('node:path');
const { CheckError, ROOT } = require('../lib/exec');

const CRATES_IO = 'registry+https://github.com/rust-lang/crates.io-index';
const NPM = /^https:\/\/registry\.npmjs\.org\//;

/** @param {string} name */
const read = (name) => fs.readFileSync(path.join(ROOT, name), 'utf8');

/**
 * Returns the faults of npm packages in a lock file.
 * @param {string} name
 * @returns {{ count: number, faults: string[] }}
 */
function npmFaults(name) {
  const entries = Object.entries(JSON.parse(read(name)).packages).filter(([place]) => place !== '');
  const faults = entries.flatMap(([place, { dev, integrity, link, resolved }]) => [
    ...(link || /^sha512-/.test(integrity ?? '') ? [] : [`${place} has no sha512`]),
    ...(resolved === undefined || link || NPM.test(resolved) ? [] : [`${place} comes from ${resolved}`]),
    // The package must have no dependencies.
    ...(dev ? [] : [`${place} would be installed with manycore`]),
  ]);
  return { count: entries.length, faults };
}

/**
 * Returns the faults of crates in a lock file.
 * @param {string} name
 * @returns {{ count: number, faults: string[] }}
 */
function crateFaults(name) {
  const entries = read(name)
    .split('[[package]]')
    .slice(1)
    .map((text) =>
      Object.fromEntries([...text.matchAll(/^(\w+) = "(.*)"$/gm)].map(([, key, value]) => [key, value])),
    )
    // Workspace crates have neither.
    .filter(({ source, checksum }) => source !== undefined || checksum !== undefined);
  const faults = entries.flatMap(({ name: crate, source, checksum }) => [
    ...(source === CRATES_IO ? [] : [`${crate} comes from ${source}`]),
    ...(/^[0-9a-f]{64}$/.test(checksum ?? '') ? [] : [`${crate} has no checksum`]),
  ]);
  return { count: entries.length, faults };
}

async function lockFiles() {
  const all = [npmFaults('package-lock.json'), crateFaults('Cargo.lock'), crateFaults('fuzz/Cargo.lock')];
  const faults = all.flatMap((each) => each.faults);
  for (const fault of faults) console.log(fault);
  if (faults.length > 0) throw new CheckError(`${faults.length} faults in lock files`);
  if (all.some(({ count }) => count === 0)) throw new CheckError('a lock file is empty');
  return { count: all.reduce((sum, { count }) => sum + count, 0), unit: 'locked packages' };
}

module.exports.lockFiles = lockFiles;
