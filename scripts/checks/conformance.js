'use strict';

/** Runs Node's own tests of cluster, worker_threads and the messaging globals against our modules. */

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { CheckError, ROOT, exec, sum } = require('../lib/exec');
const { nodeBinary } = require('../lib/nodes');

/** Version of Node that the test suite belongs to. */
const MAJOR = 20;
const LISTS = ['cluster-20', 'threads-20', 'globals-20'];
const FAILED = /^\d+ passed, (\d+) failed, \d+ skipped$/gm;
const PASSED = /^(\d+) passed, 0 failed, \d+ skipped$/gm;
/** The user `nobody`, for tests that root cannot pass. */
const NOBODY_UID = 65534;

/** Returns the folder of the suite. */
async function suiteFolder() {
  const { stdout } = await exec(path.join(ROOT, 'conformance', 'fetch.sh'), []);
  return /** @type {string} */ (stdout.trim().split('\n').at(-1));
}

/**
 * @param {string} suite
 * @param {string} list
 * @param {string[]} more
 * @param {Record<string, string>} env
 */
async function runList(suite, list, more = [], env = {}) {
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
  const { code, stdout } = await exec(process.execPath, args, { allowFailure: true, env });
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
  const suite = await suiteFolder();
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

/** Runs the thread tests with lanes from the first message on, which few of them would use otherwise. */
async function lanes() {
  const out = path.join(ROOT, 'target', 'conformance', 'threads-20-lanes.tsv');
  const { passed, complaint } = await runList(await suiteFolder(), 'threads-20', [`--out=${out}`], {
    MANYCORE_LANES_AFTER: '0',
  });
  if (complaint !== '') throw new CheckError(complaint);
  return { count: passed, unit: 'tests' };
}

module.exports.conformance = conformance;
module.exports.lanes = lanes;
