'use strict';

/** Child processes and scratch folders for the tests of the package as a whole. */

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { addonFileName } = require('../scripts/lib/addon-file');
const { version } = require('../package.json');

const ROOT = path.join(__dirname, '..');
const WATCHDOG_MS = 60_000;
const INSTALL_WATCHDOG_MS = 540_000;
const NPM_FLAGS = ['--offline', '--no-audit', '--no-fund', '--ignore-scripts=false'];

/** The environment without what npm, the test runner and a user's own settings put into it. */
function cleanEnv(extra = {}) {
  const env = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (!/^(npm_|NODE_|MANYCORE_|NAPI_RS_|CARGO_TARGET_DIR$|INIT_CWD$)/i.test(name)) env[name] = value;
  }
  return { ...env, ...extra };
}

/** @param {number} pid its leader, which may be gone */
function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/**
 * Runs a command to its end. Its whole process group is killed when that takes too long.
 * @returns {Promise<{ code: number | null, signal: string | null, stdout: string, stderr: string }>}
 */
function run(command, args, { env = {}, cwd = ROOT, watchdogMs = WATCHDOG_MS } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: cleanEnv(env),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
    const watchdog = setTimeout(() => {
      killGroup(child.pid);
      reject(
        new Error(`no end of ${command} ${args.join(' ')} after ${watchdogMs} ms\n${stdout}\n${stderr}`),
      );
    }, watchdogMs);
    child.once('error', (error) => {
      clearTimeout(watchdog);
      reject(error);
    });
    child.once('close', (code, signal) => {
      clearTimeout(watchdog);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

/** Like {@link run}, for commands that must succeed; gives their standard output. */
async function runOk(command, args, options) {
  const { code, signal, stdout, stderr } = await run(command, args, options);
  if (code !== 0) {
    throw new Error(`${command} ${args.join(' ')} ended with ${signal ?? code}\n${stdout}\n${stderr}`);
  }
  return stdout;
}

/** A folder that is gone after the test. */
function scratchFolder(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}

/** The report of `npm pack` about the one tarball it makes or would make. */
async function npmPack(args) {
  const report = JSON.parse(await runOk('npm', ['pack', '--json', '--ignore-scripts', ...args]));
  // An array up to npm 11, an object by package name in later ones.
  return Object.values(report)[0];
}

/** Packs a folder. @returns {Promise<string>} the path of its tarball */
async function pack(t, folder) {
  const destination = scratchFolder(t);
  const { filename } = await npmPack([folder, '--pack-destination', destination]);
  return path.join(destination, filename);
}

/** A folder with nothing but a manifest. */
function emptyProject(t) {
  const project = scratchFolder(t);
  fs.writeFileSync(path.join(project, 'package.json'), '{ "name": "consumer", "private": true }\n');
  return project;
}

/** A PATH with Node and npm, but without Rust. */
function pathWithoutRust(t) {
  const folder = scratchFolder(t);
  const npm = process.env.PATH.split(':')
    .map((entry) => path.join(entry, 'npm'))
    .find((file) => fs.existsSync(file));
  fs.symlinkSync(process.execPath, path.join(folder, 'node'));
  fs.symlinkSync(fs.realpathSync(npm), path.join(folder, 'npm'));
  fs.symlinkSync('/bin/sh', path.join(folder, 'sh'));
  return folder;
}

/** Installs tarballs into a project, without the network. */
const npmInstall = (project, tarballs, env) =>
  run('npm', ['install', ...NPM_FLAGS, ...tarballs], { cwd: project, env, watchdogMs: INSTALL_WATCHDOG_MS });

/** Packs the addon of this working copy as the prebuilt package of this platform. @returns {Promise<string>} */
async function packPrebuilt(t) {
  const name = addonFileName().replace('.node', '').replace('.', '-');
  const folder = scratchFolder(t);
  fs.copyFileSync(path.join(ROOT, 'lib/native', addonFileName()), path.join(folder, addonFileName()));
  const manifest = { name, version, main: addonFileName(), os: ['linux'], cpu: [process.arch] };
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest));
  return pack(t, folder);
}

module.exports.ROOT = ROOT;
module.exports.emptyProject = emptyProject;
module.exports.npmInstall = npmInstall;
module.exports.npmPack = npmPack;
module.exports.pack = pack;
module.exports.packPrebuilt = packPrebuilt;
module.exports.pathWithoutRust = pathWithoutRust;
module.exports.run = run;
module.exports.runOk = runOk;
module.exports.scratchFolder = scratchFolder;
