'use strict';

// An installation whose addon is missing or has another version, on a supported platform.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');
const { addonFileName } = require('../scripts/lib/addon-file');
const { ROOT, runOk, scratchFolder } = require('./package-helpers');

/** Copies the files of an installation, with or without the addon. */
function installation(t, { withAddon, version }) {
  const folder = scratchFolder(t);
  for (const name of ['index.js', 'package.json', 'lib']) {
    fs.cpSync(path.join(ROOT, name), path.join(folder, name), {
      recursive: true,
      filter: (file) => withAddon || !file.endsWith('.node'),
    });
  }
  if (version) {
    const file = path.join(folder, 'package.json');
    fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(file, 'utf8')), version }));
  }
  return folder;
}

const SCRIPT = `
const root = process.argv[1];
const manycore = require(root);
const names = Object.keys(manycore).length;
const { loadAddon, requireAddon } = require(root + '/lib/core/addon');
const actions = [loadAddon, () => requireAddon('Pool')];
if (process.argv[2] === 'use') actions.push(() => manycore.cluster.fork(), () => new manycore.Pool());
const failures = actions.map((action) => {
  try {
    action();
    return null;
  } catch (error) {
    return { code: error.code, message: error.message };
  }
});
console.log(JSON.stringify({ names, failures }));
`;

const inspect = async (folder, { env, uses = false } = {}) => {
  const args = ['-e', SCRIPT, '--', folder, ...(uses ? ['use'] : [])];
  return JSON.parse(await runOk(process.execPath, args, { env, cwd: folder }));
};

test('a missing addon is reported on first use, with advice', async (t) => {
  const { names, failures } = await inspect(installation(t, { withAddon: false }), { uses: true });
  assert.ok(names > 10, 'requiring the package failed');
  assert.equal(failures.length, 4);
  for (const failure of failures) {
    assert.equal(failure.code, 'ERR_MANYCORE_ADDON_MISSING');
    assert.match(failure.message, /npm rebuild manycore/);
    assert.match(failure.message, /rustup\.rs/);
    assert.match(failure.message, /Cannot find module/);
  }
});

test('the error names what is wrong with the prebuilt package, not that a build of one’s own is missing', async (t) => {
  const folder = installation(t, { withAddon: false });
  const file = addonFileName();
  const prebuilt = path.join(folder, 'node_modules', file.replace('.node', '').replace('.', '-'));
  fs.mkdirSync(prebuilt, { recursive: true });
  fs.writeFileSync(path.join(prebuilt, 'package.json'), JSON.stringify({ main: file }));
  fs.writeFileSync(path.join(prebuilt, file), 'garbage, longer than the header that says what it is');
  const { failures } = await inspect(folder);
  for (const failure of failures) {
    assert.equal(failure.code, 'ERR_MANYCORE_ADDON_MISSING');
    assert.match(
      failure.message,
      new RegExp(`Cause: .*/${file}: (file too short|invalid ELF header|.*format error)`),
    );
  }
});

test('a missing addon is not an error when no addon is wanted', async (t) => {
  const folder = installation(t, { withAddon: false });
  const { failures } = await inspect(folder, { env: { MANYCORE_FALLBACK: '1' } });
  assert.equal(failures[0], null);
  assert.equal(failures[1].code, 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM');
});

test('an addon of another version is rejected', async (t) => {
  const { failures } = await inspect(installation(t, { withAddon: true, version: '99.0.0' }));
  for (const failure of failures) {
    assert.equal(failure.code, 'ERR_MANYCORE_VERSION_MISMATCH');
    assert.match(failure.message, /99\.0\.0/);
  }
});

test('a complete copy of the package works', async (t) => {
  const { failures } = await inspect(installation(t, { withAddon: true }));
  assert.deepEqual(failures, [null, null]);
});

const SHORT = `
const fs = require('node:fs');
const { loadAddon } = require(process.argv[1] + '/lib/core/addon');
require('node:os');
const open = [];
const results = new Set();
try {
  for (;;) open.push(fs.openSync('/dev/null'));
} catch {
  // With none, and then, one by one, as many as loading takes.
  for (let left = 0; left < 12; left++) {
    try {
      loadAddon();
      results.add('loaded');
    } catch (error) {
      const { code, syscall, errno, message } = error;
      const says = /too many open files.*the native addon/.test(message);
      results.add(JSON.stringify({ code, syscall, errno, says }));
    }
    fs.closeSync(open.pop());
  }
}
console.log(JSON.stringify([...results]));
`;

test('running out of file descriptors is reported as such, not as a missing addon', async () => {
  const line = 'ulimit -n 64 && exec "$0" -e "$1" "$2"';
  const stdout = await runOk('sh', ['-c', line, process.execPath, SHORT, ROOT], { cwd: ROOT });
  const errno = -os.constants.errno.EMFILE;
  const told = JSON.stringify({ code: 'EMFILE', syscall: 'open', errno, says: true });
  assert.deepEqual(JSON.parse(stdout), [told, 'loaded']);
});

// What bundlers make of a package: all of its modules believe to be the bundle, and nothing lies beside that.
const BUNDLED = `
const { Module } = require('node:module');
const { _compile } = Module.prototype;
Module.prototype._compile = function (source, filename) {
  const place = filename.startsWith(process.argv[1]) ? '__filename = "/app/bundle.js"; __dirname = "/app"; ' : '';
  return _compile.call(this, place + source, filename);
};
${SCRIPT}`;

test('inside a bundle, first use reports that the package was bundled', async (t) => {
  const folder = installation(t, { withAddon: true });
  const args = ['-e', BUNDLED, '--', folder, 'use'];
  const { names, failures } = JSON.parse(await runOk(process.execPath, args, { cwd: folder }));
  assert.ok(names > 10, 'requiring the package failed');
  assert.equal(failures.length, 4);
  for (const failure of failures) {
    assert.equal(failure.code, 'ERR_MANYCORE_BUNDLED');
    assert.match(failure.message, /\/app\/bundle\.js/);
    assert.match(failure.message, /--external:manycore/);
  }
});
