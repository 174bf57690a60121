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
  const { stdout } = await exec(process.execPath, [
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
  ]);
  const passed = sum(stdout, PASSED);
  if (passed === 0) throw new CheckError(`no test of ${list} passed`);
  return passed;
}

async function conformance() {
  if (!fs.existsSync(path.join(ROOT, 'register.js'))) {
    throw new CheckError('there is no register.js to preload');
  }
  const { stdout } = await exec(path.join(ROOT, 'conformance', 'fetch.sh'), []);
  const suite = /** @type {string} */ (stdout.trim().split('\n').at(-1));
  let count = 0;
  for (const list of LISTS) count += await runList(suite, list);
  if (process.getuid?.() !== 0) count += await runList(suite, 'nonroot');
  else if (fs.existsSync('/usr/bin/setpriv')) {
    count += await runList(suite, 'nonroot', [`--uid=${NOBODY_UID}`]);
  } else console.log('nonroot skipped: root needs setpriv(1) for it');
  return { count, unit: 'tests' };
}

module.exports.conformance = conformance;
