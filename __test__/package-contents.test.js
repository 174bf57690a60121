'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const { ROOT, npmPack } = require('./package-helpers');

const MANIFEST = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8'));

/** Modules of the core that are only compiled for its tests. */
const TEST_MODULE = /\/tests\/|tests\.rs$|\/testing\.rs$/;

/** Everything that may be in the tarball; anything else is superfluous. */
const ALLOWED = [
  /^(LICENSE|README\.md|CHANGELOG\.md|package\.json)$/,
  /^(index|cluster|worker_threads|register)\.(js|d\.ts)$/,
  /^bin\/[\w-]+\.js$/,
  /^lib\/[\w/-]+\.js$/,
  /^types\/[\w-]+\.d\.ts$/,
  /^scripts\/(install|lib\/addon-file)\.js$/,
  /^(build\.rs|Cargo\.(toml|lock))$/,
  /^src\/[\w/]+\.rs$/,
  /^crates\/core\/(Cargo\.toml|build\.rs|src\/[\w/]+\.rs)$/,
];

/** Files below a folder of the repository, relative to it. */
function sources(folder, extension) {
  return fs
    .readdirSync(path.join(ROOT, folder), { recursive: true })
    .filter((name) => name.endsWith(extension))
    .map((name) => path.posix.join(folder, name));
}

async function packedFiles() {
  const { files } = await npmPack(['--dry-run']);
  assert.ok(files.length > 20, `only ${files.length} files`);
  return new Set(files.map((file) => file.path));
}

test('the tarball contains nothing superfluous', async () => {
  const extra = [...(await packedFiles())].filter(
    (name) => TEST_MODULE.test(name) || !ALLOWED.some((pattern) => pattern.test(name)),
  );
  assert.deepEqual(extra, []);
});

test('the tarball contains everything needed to run and to build', async () => {
  const packed = await packedFiles();
  const needed = [
    ...['LICENSE', 'README.md', 'CHANGELOG.md', 'Cargo.toml', 'Cargo.lock', 'build.rs', 'register.js'],
    ...sources('lib', '.js'),
    ...sources('types', '.d.ts'),
    ...sources('src', '.rs'),
    ...sources('crates/core/src', '.rs').filter((name) => !TEST_MODULE.test(name)),
    'crates/core/Cargo.toml',
  ];
  assert.deepEqual(
    needed.filter((name) => !packed.has(name)),
    [],
  );
});

test('every file named by exports and types is in the tarball', async () => {
  const packed = await packedFiles();
  const named = JSON.stringify([MANIFEST.exports, MANIFEST.types, MANIFEST.main, MANIFEST.bin ?? {}]);
  const files = [...named.matchAll(/"(?:\.\/)?((?:[\w-]+\/)*[\w.-]+\.(?:js|d\.ts|json))"/g)].map(
    (match) => match[1],
  );
  assert.ok(files.length >= 9, `only ${files.length} files named`);
  assert.deepEqual(
    files.filter((name) => !packed.has(name)),
    [],
  );
});

test('every file required by a packed script is packed', async () => {
  const packed = await packedFiles();
  const missing = [];
  let seen = 0;
  for (const name of packed) {
    if (!name.endsWith('.js') || name.startsWith('lib/native/')) continue;
    const text = fs.readFileSync(path.join(ROOT, name), 'utf8');
    for (const [, target] of text.matchAll(/\brequire(?:\.resolve)?\('(\.[^']+)'\)/g)) {
      const file = require.resolve(path.join(ROOT, path.dirname(name), target));
      if (!packed.has(path.relative(ROOT, file))) missing.push(`${name}: ${target}`);
      seen++;
    }
  }
  assert.ok(seen > 5, `only ${seen} require calls found`);
  assert.deepEqual(missing, []);
});

test('consumers get no dependencies and no scripts except the install script', () => {
  assert.equal(MANIFEST.dependencies, undefined);
  assert.equal(MANIFEST.peerDependencies, undefined);
  // Filled in on release, with the packages of the prebuilt addons.
  assert.equal(MANIFEST.optionalDependencies, undefined);
  const atInstallOrPack = /^(pre|post)?(install|pack|prepare|publish)(Only)?$|^(pre|post)?prepare$/;
  const automatic = Object.keys(MANIFEST.scripts).filter((name) => atInstallOrPack.test(name));
  assert.deepEqual(automatic, ['install']);
});

test('package, addon and core have the same version', () => {
  for (const name of ['Cargo.toml', 'crates/core/Cargo.toml']) {
    const [, version] = /^version = "([^"]+)"$/m.exec(fs.readFileSync(path.join(ROOT, name), 'utf8'));
    assert.equal(version, MANIFEST.version, name);
  }
});
