'use strict';

// Packs the package and installs it into empty projects, as users get it. Nothing is downloaded: the crates are in
// cargo's cache since the repository's own build.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const { addonFileName } = require('../scripts/lib/addon-file');
const {
  ROOT,
  emptyProject,
  npmInstall,
  pack,
  packPrebuilt,
  pathWithoutRust,
  run,
  runOk,
  scratchFolder,
} = require('./package-helpers');

const { version } = require('manycore/package.json');
// Kept between runs for the dependencies' sake; our own crates are cleaned from it.
const CARGO_TARGET = path.join(ROOT, 'target', 'package-install');

const addonIn = (project) => path.join(project, 'node_modules/manycore/lib/native', addonFileName());

/** Runs a script of the project. */
async function runScript(project, name, text, flags = []) {
  fs.writeFileSync(path.join(project, name), text);
  return runOk(process.execPath, [...flags, name], { cwd: project });
}

const APP = fs.readFileSync(path.join(__dirname, 'fixtures', 'package-app.js'), 'utf8');
const APP_ON_BUILTINS = APP.replace(
  `const { cluster, Worker } = require('manycore');`,
  `const cluster = require('cluster');\nconst { Worker } = require('worker_threads');`,
);
const APP_OUTPUT = 'cluster: Hello!\nworker exit: 0\nthread: Hello from Worker\n';

async function assertUsable(project) {
  assert.equal(await runScript(project, 'app.js', APP), APP_OUTPUT);
  assert.notEqual(APP_ON_BUILTINS, APP);
  const registered = await runScript(project, 'plain.js', APP_ON_BUILTINS, ['-r', 'manycore/register']);
  assert.equal(registered, APP_OUTPUT);
  const modules = `
    import { cluster, Worker } from 'manycore';
    import { createRequire } from 'node:module';
    const require = createRequire(import.meta.url);
    console.log(cluster === require('manycore/cluster'), Worker === require('manycore/worker_threads').Worker);`;
  assert.equal(await runScript(project, 'modules.mjs', modules), 'true true\n');
  const addon = `console.log(require('./node_modules/manycore/lib/core/addon.js').requireAddon('x').version())`;
  assert.equal(await runScript(project, 'addon.js', addon), `${version}\n`);
}

test('install builds from the sources in the tarball', async (t) => {
  const tarball = await pack(t, ROOT);
  const project = emptyProject(t);
  const cargoEnv = { CARGO_TARGET_DIR: CARGO_TARGET, CARGO_NET_OFFLINE: 'true' };
  const { code, stdout, stderr } = await npmInstall(project, [tarball], cargoEnv);
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  assert.ok(fs.existsSync(addonIn(project)));
  await assertUsable(project);
  // Nothing else: the package has no dependencies.
  assert.deepEqual(fs.readdirSync(path.join(project, 'node_modules')).sort(), [
    '.bin',
    '.package-lock.json',
    'manycore',
  ]);
  await runOk('cargo', ['clean', '--release', '-p', 'manycore', '-p', 'manycore-core'], { env: cargoEnv });

  await t.test('reinstalling with an existing addon needs no Rust', async (t2) => {
    const before = fs.statSync(addonIn(project)).mtimeMs;
    await runOk('npm', ['rebuild', '--ignore-scripts=false'], {
      cwd: project,
      env: { PATH: pathWithoutRust(t2) },
    });
    assert.equal(fs.statSync(addonIn(project)).mtimeMs, before);
  });
});

test('install uses a prebuilt package without Rust', async (t) => {
  const project = emptyProject(t);
  const tarballs = [await packPrebuilt(t), await pack(t, ROOT)];
  const { code, stdout, stderr } = await npmInstall(project, tarballs, { PATH: pathWithoutRust(t) });
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  assert.ok(!fs.existsSync(addonIn(project)), 'the addon was built although a prebuilt package exists');
  await assertUsable(project);
});

test('without Rust and without a prebuilt package, one message says what to do', async (t) => {
  const project = emptyProject(t);
  const { code, stderr } = await npmInstall(project, [await pack(t, ROOT)], { PATH: pathWithoutRust(t) });
  assert.notEqual(code, 0);
  const own = stderr.split('\n').filter((line) => /manycore: /.test(line));
  assert.equal(own.length, 1, stderr);
  assert.match(own[0], /no prebuilt addon .* no Rust .*https:\/\/rustup\.rs/);
  assert.doesNotMatch(stderr, /^\s+at /m, 'the output contains a stack trace');
});

test('a failed build is reported and leaves nothing behind', async (t) => {
  const folder = scratchFolder(t);
  for (const name of ['package.json', 'lib', 'scripts']) {
    fs.cpSync(path.join(ROOT, name), path.join(folder, name), {
      recursive: true,
      filter: (file) => !file.endsWith('.node'),
    });
  }
  const bin = pathWithoutRust(t);
  fs.writeFileSync(path.join(bin, 'cargo'), '#!/bin/sh\necho "error: no linker" >&2\nexit 101\n', {
    mode: 0o755,
  });
  const { code, stderr } = await run(process.execPath, ['scripts/install.js'], {
    cwd: folder,
    env: { PATH: bin },
  });
  assert.equal(code, 1);
  assert.match(stderr, /^manycore: building the addon failed\./);
  assert.match(stderr, /error: no linker/);
  assert.ok(!fs.existsSync(path.join(folder, 'target')));
  assert.deepEqual(fs.readdirSync(path.join(folder, 'lib/native')).sort(), ['index.d.ts', 'index.js']);
});
