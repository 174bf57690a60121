'use strict';

const path = require('node:path');
const { execFile, execFileSync } = require('node:child_process');
const { promisify } = require('node:util');

const { UsageError } = require('./driver');

/* The load generator wrk, which must be in PATH. */

const SCRIPT = path.join(__dirname, 'wrk-report.lua');
const MARK = 'manycore-report ';

/** @throws {UsageError} if wrk is not installed */
function requireWrk() {
  try {
    execFileSync('wrk', ['--version'], { stdio: 'ignore' });
  } catch (error) {
    // wrk prints its version and exits with 1; it is only missing if it cannot be started.
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') return;
    throw new UsageError('this benchmark needs wrk in PATH. On Debian and Ubuntu: apt-get install wrk');
  }
}

/**
 * @typedef {{ requests: number, durationUs: number, errors: number,
 *   latencyUs: { p50: number, p99: number, max: number } }} Load
 */

/**
 * Applies maximum load to a server.
 * @param {{ port: number, connections: number, threads: number, durationS: number, close: boolean }} load `close`:
 * a new connection for every request
 * @returns {Promise<Load>}
 */
async function wrk({ port, connections, threads, durationS, close }) {
  const args = ['--latency', '-s', SCRIPT, '-t', `${threads}`, '-c', `${connections}`, '-d', `${durationS}s`];
  if (close) args.push('-H', 'Connection: close');
  const { stdout } = await promisify(execFile)('wrk', [...args, `http://127.0.0.1:${port}/`]);
  const report = stdout.split('\n').find((line) => line.startsWith(MARK));
  if (!report) throw new Error(`wrk did not report:\n${stdout}`);
  return JSON.parse(report.slice(MARK.length));
}

module.exports.requireWrk = requireWrk;
module.exports.wrk = wrk;
