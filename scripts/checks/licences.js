'use strict';

/** Checks the licences of all packages in all lock files. */

const fs = require('node:fs');
const path = require('node:path');
const satisfies = require('spdx-satisfies');
const { CheckError, ROOT, exec } = require('../lib/exec');

/** Licences allowed for what is linked into the addon and shipped to users. */
const SHIPPED = ['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT', 'Unicode-3.0', 'Zlib'];
/** Licences allowed for development dependencies. */
const DEVELOPMENT = [
  ...SHIPPED,
  'BlueOak-1.0.0',
  'PSF-2.0',
  'Python-2.0',
  'Unlicense',
  'CC0-1.0',
  'CC-BY-3.0',
  'CC-BY-4.0',
];
/** Licences allowed for what the fuzzer is built with: libFuzzer is LLVM's. */
const FUZZER = [...SHIPPED, 'NCSA'];
/** Packages that state their licence only in a file. */
const ELSEWHERE = new Map([['xmlhttprequest-ssl', 'MIT']]);

/**
 * @param {string | undefined} licence an SPDX expression, or Cargo's older form of one
 * @param {string[]} allowed
 */
function isAllowed(licence, allowed) {
  if (!licence) return false;
  try {
    return satisfies(licence.replaceAll('/', ' OR '), allowed);
  } catch {
    return false;
  }
}

/** @returns {{ name: string, licence: string | undefined, allowed: string[] }[]} */
function npmPackages() {
  const { packages } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8'));
  return Object.entries(packages)
    .filter(([place, { link }]) => place !== '' && !link)
    .map(([place, { version, license }]) => {
      const name = place.replace(/^.*node_modules\//, '');
      return { name: `${name}@${version}`, licence: license ?? ELSEWHERE.get(name), allowed: DEVELOPMENT };
    });
}

/**
 * @param {string} manifest
 * @param {string[]} allowed
 */
async function crates(manifest, allowed) {
  const args = ['metadata', '--format-version=1', '--locked', '--all-features', '--manifest-path', manifest];
  const { stdout } = await exec('cargo', args, { hideStdout: true });
  /** @type {{ name: string, version: string, license?: string, source: string | null }[]} */
  const packages = JSON.parse(stdout).packages;
  return packages
    .filter(({ source }) => source !== null)
    .map(({ name, version, license }) => ({
      name: `${name} ${version}`,
      licence: license,
      allowed,
    }));
}

async function licences() {
  const lists = [npmPackages(), await crates('Cargo.toml', SHIPPED), await crates('fuzz/Cargo.toml', FUZZER)];
  if (lists.some((list) => list.length === 0)) throw new CheckError('a lock file is empty');
  const all = lists.flat();
  const refused = all.filter(({ licence, allowed }) => !isAllowed(licence, allowed));
  for (const { name, licence } of refused) console.log(`${name}: ${licence ?? 'no licence'}`);
  if (refused.length > 0) {
    throw new CheckError(`${refused.length} of ${all.length} licences are not on the list`);
  }
  return { count: all.length, unit: 'packages' };
}

module.exports.licences = licences;
