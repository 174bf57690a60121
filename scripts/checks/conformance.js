'use strict';

/** Node's own tests of cluster, worker_threads and the messaging globals, with our modules in their place. */

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { CheckError, ROOT, exec, sum } = require('../lib/exec');
const { nodeBinary } = require('../lib/nodes');

/** The suite is that of Node 20. */
const MAJOR = 20;
const LISTS = ['cluster-20', 'threads-20', 'globals-20'];
const FAILED = /^\d+ passed, (\d+) failed, \d+ skipped$/gm;
const PASSED = /^(\d+) passed, 0 failed, \d+ skipped$/gm;
/** The user `nobody`, for tests that root cannot pass. */
const NOBODY_UID = 65534;

/**
 * @param {string} suite
 * @param {string} list
 * @param {string[]} more
 */
async function runList(suite, list, more = []) {
  const folder = path.join(ROOT, 'conformance');
  const args = [
    path.join(folder, 'run.mjs'),
    `--suite=${path.join(suite, 'test')}`,
    `--node=${await nodeBinary(MAJOR)}`,
    `--preload=${path.join(ROOT, 'register.js')}`,
    `--list=${path.join(folder, `${list}.txt`)}`,
    `--out=${path.join(ROOT, 'target', 'conformance', `${list}.tsv`)}`,
    `--noise-ok=${path.join(folder, 'noise-ok-20.txt')}`,
    `--expect-fail=${path.join(folder, 'expected-failures.txt')}`,
    `--jobs=${Math.min(os.availableParallelism(), 4)}`,
    '--strict',
    '--timeout=60',
    '--retries=1',
    ...more,
  ];
  const { code, stdout } = await exec(process.execPath, args, { allowFailure: true });
  const failed = sum(stdout, FAILED);
  if (failed > 0) return { passed: 0, complaint: `${list}: ${failed} tests failed` };
  const passed = sum(stdout, PASSED);
  if (code !== 0 || passed === 0) {
    return { passed: 0, complaint: `${list}: no test passed (exit code ${code})` };
  }
  return { passed, complaint: '' };
}

async function conformance() {
  if (!fs.existsSync(path.join(ROOT, 'register.js'))) {
    throw new CheckError('there is no register.js to preload');
  }
  const { stdout } = await exec(path.join(ROOT, 'conformance', 'fetch.sh'), []);
  const suite = /** @type {string} */ (stdout.trim().split('\n').at(-1));
  const results = [];
  for (const list of LISTS) results.push(await runList(suite, list));
  if (process.getuid?.() !== 0) {
    results.push(await runList(suite, 'nonroot'));
  } else if (fs.existsSync('/usr/bin/setpriv')) {
    results.push(await runList(suite, 'nonroot', [`--uid=${NOBODY_UID}`]));
  } else {
    console.log('nonroot skipped: root needs setpriv(1) for it');
  }
  const complaints = results.flatMap(({ complaint }) => complaint || []);
  if (complaints.length > 0) throw new CheckError(complaints.join(', '));
  return { count: results.reduce((total, { passed }) => total + passed, 0), unit: 'tests' };
}

module.exports.conformance = conformance;
