'use strict';

/**
 * Install script of the package: makes sure that the addon exists. On most systems, a prebuilt package provides it;
 * elsewhere it is built from the Rust sources in this package.
 */

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { addonFileName, libcName } = require('./lib/addon-file');
const { version } = require('../package.json');

const ROOT = path.join(__dirname, '..');
const NATIVE = path.join(ROOT, 'lib', 'native');
const OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024;

/** An error whose message is all that is shown to the user. */
class InstallError extends Error {}

/** @returns {Error | undefined} why the addon does not load */
function loadFailure() {
  // In a separate process, which a broken library may crash.
  const script = `console.log(require(${JSON.stringify(path.join(NATIVE, 'index.js'))}).version())`;
  const { status, stdout, stderr, error } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  if (error) return error;
  if (status !== 0) return new Error(stderr.trim());
  const found = stdout.trim();
  return found === version ? undefined : new Error(`it is of version ${found}, not ${version}`);
}

/** @param {string} output JSON lines of cargo */
function findLibrary(output) {
  for (const line of output.split('\n')) {
    if (!line.startsWith('{')) continue;
    const message = JSON.parse(line);
    if (message.reason === 'compiler-artifact' && message.target.kind.includes('cdylib')) {
      return message.filenames.find((/** @type {string} */ name) => name.endsWith('.so'));
    }
  }
  return undefined;
}

/** @param {string} targetDir */
function build(targetDir) {
  /** @type {NodeJS.ProcessEnv} */
  const env = { ...process.env, CARGO_TARGET_DIR: targetDir };
  if (libcName() === 'musl') {
    // On musl, Rust links statically by default, and a static library cannot be loaded.
    env.RUSTFLAGS = `${env.RUSTFLAGS ?? ''} -C target-feature=-crt-static`.trim();
  }
  const args = ['build', '--release', '--locked', '--message-format=json-render-diagnostics'];
  const { error, status, stdout, stderr } = spawnSync('cargo', args, {
    cwd: ROOT,
    env,
    encoding: 'utf8',
    maxBuffer: OUTPUT_LIMIT_BYTES,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (error && /** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') {
    throw new InstallError(
      `there is no prebuilt addon for linux-${process.arch} here and no Rust to build it. ` +
        'Install Rust from https://rustup.rs and install again, or allow optional dependencies.',
    );
  }
  if (error) throw new InstallError(`cargo could not be run: ${error.message}`);
  if (status !== 0) {
    throw new InstallError(
      `building the addon failed. Rust 1.88 or newer and a C linker are needed.\n${stderr}`,
    );
  }
  const library = findLibrary(stdout);
  if (!library) throw new InstallError('cargo built no library');
  return library;
}

function install() {
  if (process.platform !== 'linux' || loadFailure() === undefined) return;
  // Hundreds of megabytes, which must not stay in node_modules.
  const isCheckout = fs.existsSync(path.join(ROOT, '.git'));
  const ownTarget = process.env.CARGO_TARGET_DIR ? path.resolve(process.env.CARGO_TARGET_DIR) : undefined;
  const targetDir = ownTarget ?? path.join(ROOT, 'target');
  try {
    const temporary = path.join(NATIVE, `${addonFileName()}.${process.pid}`);
    fs.copyFileSync(build(targetDir), temporary);
    fs.renameSync(temporary, path.join(NATIVE, addonFileName()));
  } finally {
    if (!ownTarget && !isCheckout) fs.rmSync(targetDir, { recursive: true, force: true });
  }
  const failure = loadFailure();
  if (failure) throw new InstallError(`the addon was built but does not load: ${failure.message}`);
}

try {
  install();
} catch (error) {
  if (!(error instanceof InstallError)) throw error;
  console.error(`manycore: ${error.message}`);
  process.exitCode = 1;
}
