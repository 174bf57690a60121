'use strict';

/** Runs the JavaScript tests on this version of Node, and some of them on others. */

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { CheckError, ROOT, exec, sum } = require('../lib/exec');
const { listFiles } = require('../lib/files');
const { nodeBinary } = require('../lib/nodes');

const FAILED_FILES = path.join(ROOT, 'scripts', 'lib', 'failed-files.js');
const OTHER_MAJORS = [22, 24, 26];
/** Packing and installing is a separate step, since it keeps all cores busy. */
const INSTALL = /package-install\.test\.js$/;
/** Quick tests of features that depend on the version of Node. */
const SMOKE = /^__test__\/(smoke|package-(?!install)|fallback)[^/]*\.test\.js$/;
/** Limit for a single test; the tests have tighter limits of their own. */
const TIMEOUT_MS = 600_000;

/** If more files than this fail, they are not considered flaky. */
const MOST_FLAKY_FILES = 3;

const testFiles = () => listFiles(ROOT, '__test__').filter((name) => name.endsWith('.test.js'));

/**
 * @param {string} binary
 * @param {string[]} files
 * @param {number} concurrency number of concurrent files
 */
async function runOnce(binary, files, concurrency) {
  const failures = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-tests-')), 'failures');
  const args = [
    '--test',
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${FAILED_FILES}`,
    `--test-reporter-destination=${failures}`,
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${TIMEOUT_MS}`,
    ...files,
  ];
  try {
    const { stdout, code } = await exec(binary, args, {
      allowFailure: true,
      env: { PATH: `${path.dirname(binary)}:${process.env.PATH}`, NODE_OPTIONS: undefined, FORCE_COLOR: '0' },
    });
    const passed = sum(stdout, /^ℹ pass (\d+)$/gm);
    const failed = sum(stdout, /^ℹ fail (\d+)$/gm);
    const failedFiles = fs.readFileSync(failures, 'utf8').split('\n').filter(Boolean);
    return { passed, failed, failedFiles, code };
  } finally {
    fs.rmSync(path.dirname(failures), { recursive: true, force: true });
  }
}

/**
 * Runs the files. A file that fails is run again alone; if it passes then, it is reported as flaky instead of
 * failed.
 * @param {string} binary
 * @param {string[]} files
 * @returns {Promise<{ passed: number, flaky: string[] }>}
 */
async function runFiles(binary, files) {
  if (files.length === 0) throw new CheckError('no test files');
  const first = await runOnce(binary, files, Math.min(os.availableParallelism(), 4));
  let { passed } = first;
  /** @type {string[]} */
  let flaky = [];
  if (first.code !== 0) {
    const failure = `${first.failed} of ${first.passed + first.failed} tests failed (exit code ${first.code})`;
    flaky = first.failedFiles.filter((file) => files.includes(file));
    if (flaky.length === 0 || flaky.length > MOST_FLAKY_FILES) throw new CheckError(failure);
    console.log(`\nOnce more, by themselves: ${flaky.join(', ')}`);
    const second = await runOnce(binary, flaky, 1);
    if (second.code !== 0) throw new CheckError(`${failure}, in ${second.failedFiles.join(', ')} twice`);
    for (const file of flaky) console.log(`FLAKY ${file}: failed, and passed by itself`);
    passed += first.failed;
  }
  if (passed < files.length) throw new CheckError(`${files.length} files, but only ${passed} tests passed`);
  return { passed, flaky };
}

/** @param {string[]} flaky */
const unit = (flaky) => (flaky.length === 0 ? 'tests' : `tests, FLAKY: ${flaky.join(', ')}`);

async function nodeTests() {
  const files = testFiles().filter((name) => !INSTALL.test(name));
  const { passed, flaky } = await runFiles(process.execPath, files);
  return { count: passed, unit: unit(flaky) };
}

async function smoke() {
  const files = testFiles().filter((name) => SMOKE.test(name));
  let count = 0;
  const failures = [];
  const allFlaky = [];
  for (const major of OTHER_MAJORS) {
    const binary = await nodeBinary(major);
    await exec(binary, ['--version']);
    try {
      const { passed, flaky } = await runFiles(binary, files);
      count += passed;
      allFlaky.push(...flaky.map((file) => `${file} on Node ${major}`));
    } catch (error) {
      if (!(error instanceof CheckError)) throw error;
      failures.push(`Node ${major}: ${error.message}`);
    }
  }
  if (failures.length > 0) throw new CheckError(failures.join(', '));
  return { count, unit: unit(allFlaky) };
}

async function packageInstall() {
  const files = testFiles().filter((name) => INSTALL.test(name));
  const { passed, flaky } = await runFiles(process.execPath, files);
  return { count: passed, unit: unit(flaky) };
}

module.exports.nodeTests = nodeTests;
module.exports.packageInstall = packageInstall;
module.exports.smoke = smoke;
