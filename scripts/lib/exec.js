'use strict';

/** Runs a command whose output is both shown and returned. */

const { spawn } = require('node:child_process');
const { randomUUID } = require('node:crypto');
const path = require('node:path');
const { MARK, killFamily } = require('./family');

const ROOT = path.join(__dirname, '..', '..');

/** Far more than any command needs; one that takes longer hangs. */
const WATCHDOG_MS = 20 * 60_000;

const SHOWN_CHARACTERS = 100;

/** Failure of a check for the reason in the message; details are in the output above. */
class CheckError extends Error {}

/**
 * @typedef {object} ExecOptions
 * @property {Record<string, string | undefined>} [env] added to the environment; undefined removes a variable
 * @property {boolean} [hideStdout] does not show standard output
 * @property {boolean} [allowFailure] does not throw on a non-zero exit code
 * @property {string} [cwd] default: the repository
 * @property {number} [watchdogMs] time limit; default: {@link WATCHDOG_MS}
 *
 * @typedef {{ code: number | null, stdout: string, output: string }} ExecResult `output` holds stderr, too
 */

/**
 * @param {string} command
 * @param {string[]} args
 * @param {ExecOptions} [options]
 * @returns {Promise<ExecResult>}
 * @throws CheckError if it cannot be started or fails
 */
function exec(command, args, options = {}) {
  const mark = randomUUID();
  const env = { ...process.env, [MARK]: mark, ...options.env };
  const line = [path.basename(command), ...args].join(' ').replace(/\s+/g, ' ');
  const shown = line.length > SHOWN_CHARACTERS ? `${line.slice(0, SHOWN_CHARACTERS)}...` : line;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? ROOT,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
      output += text;
      if (!options.hideStdout) process.stdout.write(text);
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      output += text;
      process.stdout.write(text);
    });
    const watchdogMs = options.watchdogMs ?? WATCHDOG_MS;
    const watchdog = setTimeout(() => {
      const ran = child.pid === undefined ? [] : killFamily(child.pid, mark);
      // Processes that escaped may hold the pipes open, and thereby keep this process alive.
      child.stdout.destroy();
      child.stderr.destroy();
      console.log(`\nKilled when the time was over:\n${ran.join('\n')}`);
      reject(new CheckError(`${shown} did not end within ${watchdogMs / 60_000} minutes`));
    }, watchdogMs);
    child.once('error', (error) => {
      clearTimeout(watchdog);
      reject(new CheckError(`${shown}: ${error.message}`));
    });
    child.once('close', (code, signal) => {
      clearTimeout(watchdog);
      if (code === 0 || (options.allowFailure && signal === null)) resolve({ code, stdout, output });
      else reject(new CheckError(`${shown} failed (${signal ?? `exit code ${code}`})`));
    });
  });
}

/**
 * Sums up a number printed by a tool, matched by `(\d+)` in the pattern.
 * @param {string} output
 * @param {RegExp} pattern with the flag g
 */
function sum(output, pattern) {
  let total = 0;
  for (const match of output.matchAll(pattern)) total += Number(match[1]);
  return total;
}

module.exports.CheckError = CheckError;
module.exports.ROOT = ROOT;
module.exports.exec = exec;
module.exports.sum = sum;
