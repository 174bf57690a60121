'use strict';

/**
 * Prepares a checkout: installs the development dependencies and builds the addon, each only if needed. Only
 * requires Node and Rust, so it must not load anything from node_modules.
 */

const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { addonIsCurrent } = require('./lib/addon-build');
const { dependenciesAreCurrent } = require('./lib/dependencies');

const ROOT = path.join(__dirname, '..');

/** An error whose message says what to do; ends the process. */
class SetupError extends Error {}

/**
 * @param {string} command
 * @param {string[]} args
 */
function run(command, args) {
  console.error(`> ${command} ${args.join(' ')}`);
  // Output goes to stderr: stdout belongs to the program started afterwards.
  const { error, status, signal } = spawnSync(command, args, { cwd: ROOT, stdio: ['ignore', 2, 2] });
  if (error) throw new SetupError(`${command} could not be started: ${error.message}`);
  if (status !== 0) {
    throw new SetupError(`${command} ${args.join(' ')} failed (${signal ?? `exit code ${status}`})`);
  }
}

function setup() {
  if (!dependenciesAreCurrent(ROOT)) run('npm', ['ci', '--ignore-scripts']);
  if (process.platform !== 'linux' || addonIsCurrent(ROOT)) return;
  if (spawnSync('cargo', ['--version']).error) {
    throw new SetupError('The addon is built with Rust, but there is no cargo. See https://rustup.rs');
  }
  run('npm', ['run', '--silent', 'build']);
  if (!addonIsCurrent(ROOT)) throw new SetupError('The build ended well but left no up-to-date addon');
}

try {
  setup();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup: ${error.message}`);
  process.exitCode = 1;
}
