'use strict';

// When scripts/setup.js installs or builds.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const { addonIsCurrent } = require('../scripts/lib/addon-build');
const { addonFileName } = require('../scripts/lib/addon-file');
const { dependenciesAreCurrent } = require('../scripts/lib/dependencies');
const { ROOT, run, scratchFolder } = require('./package-helpers');

test('setup does and prints nothing in an up-to-date checkout', async () => {
  const { code, stdout, stderr } = await run(process.execPath, ['scripts/setup.js'], { cwd: ROOT });
  assert.deepEqual([code, stdout, stderr], [0, '', '']);
});

test('without cargo, one message says what is missing', async (t) => {
  const checkout = makeCheckout(t);
  fs.cpSync(path.join(ROOT, 'scripts'), path.join(checkout, 'scripts'), { recursive: true });
  lock(checkout, { 'node_modules/a': { version: '1.0.0' } }, { 'node_modules/a': { version: '1.0.0' } });
  const { code, stdout, stderr } = await run(process.execPath, ['scripts/setup.js'], {
    cwd: checkout,
    env: { PATH: scratchFolder(t) },
  });
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(stderr, /^setup: .*no cargo.*https:\/\/rustup\.rs\n$/);
});

/** The files that determine the age of the addon. */
function makeCheckout(t) {
  const folder = scratchFolder(t);
  for (const name of ['Cargo.toml', 'Cargo.lock', 'build.rs', 'src/lib.rs', 'crates/core/src/deep/x.rs']) {
    fs.mkdirSync(path.join(folder, path.dirname(name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), '');
  }
  return folder;
}

const setAge = (file, minutes) => {
  const time = new Date(Date.now() - minutes * 60_000);
  fs.utimesSync(file, time, time);
};

test('the addon is out of date when it is missing or older than a source', (t) => {
  const checkout = makeCheckout(t);
  assert.equal(addonIsCurrent(checkout), false, 'a missing addon was reported as current');
  const addon = path.join(checkout, 'lib/native', addonFileName());
  fs.mkdirSync(path.dirname(addon), { recursive: true });
  fs.writeFileSync(addon, '');
  assert.equal(addonIsCurrent(checkout), true, 'a freshly built addon was reported as out of date');
  setAge(addon, 5);
  assert.equal(addonIsCurrent(checkout), false, 'an addon older than all sources was reported as current');
  for (const name of ['Cargo.toml', 'Cargo.lock', 'build.rs', 'src/lib.rs', 'crates/core/src/deep/x.rs']) {
    setAge(path.join(checkout, name), 10);
  }
  assert.equal(addonIsCurrent(checkout), true, 'an addon newer than all sources was reported as out of date');
  setAge(path.join(checkout, 'crates/core/src/deep/x.rs'), 1);
  assert.equal(addonIsCurrent(checkout), false, 'an addon older than one source was reported as current');
});

function lock(folder, wanted, installed) {
  fs.writeFileSync(
    path.join(folder, 'package-lock.json'),
    JSON.stringify({ packages: { '': { name: 'x' }, ...wanted } }),
  );
  if (!installed) return;
  fs.mkdirSync(path.join(folder, 'node_modules'), { recursive: true });
  fs.writeFileSync(
    path.join(folder, 'node_modules/.package-lock.json'),
    JSON.stringify({ packages: installed }),
  );
}

const A = { 'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' } };
const NEWER_A = { 'node_modules/a': { version: '1.0.1', integrity: 'sha512-b' } };
const OTHER_PLATFORM = { 'node_modules/a-win32': { version: '1.0.0', optional: true } };

for (const { name, wanted, installed, current } of [
  { name: 'nothing is installed', wanted: A, installed: undefined, current: false },
  { name: 'everything is installed', wanted: A, installed: A, current: true },
  { name: 'a package is missing', wanted: A, installed: {}, current: false },
  { name: 'a package is of another version', wanted: NEWER_A, installed: A, current: false },
  { name: 'a package is superfluous', wanted: {}, installed: A, current: false },
  {
    name: 'a package for another platform is left out',
    wanted: { ...A, ...OTHER_PLATFORM },
    installed: A,
    current: true,
  },
]) {
  test(`dependencies are ${current ? 'current' : 'out of date'} when ${name}`, (t) => {
    const folder = scratchFolder(t);
    lock(folder, wanted, installed);
    assert.equal(dependenciesAreCurrent(folder), current);
  });
}

test('the lockfile lists the packages of all platforms, which npm ci requires', () => {
  const { packages } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8'));
  const missing = [];
  let optional = 0;
  for (const [place, { optionalDependencies = {} }] of Object.entries(packages)) {
    for (const name of Object.keys(optionalDependencies)) {
      optional++;
      if (!packages[`${place}/node_modules/${name}`] && !packages[`node_modules/${name}`]) missing.push(name);
    }
  }
  assert.ok(optional > 0, 'there are no optional packages');
  assert.deepEqual(missing, []);
});
