'use strict';

/** The JavaScript tests, on this Node and in part on others. */

const os = require('node:os');
const path = require('node:path');
const { CheckError, ROOT, exec, sum } = require('../lib/exec');
const { listFiles } = require('../lib/files');
const { nodeBinary } = require('../lib/nodes');

const OTHER_MAJORS = [22, 24, 26];
/** Packing and installing has a step of its own: it keeps all cores busy. */
const INSTALL = /package-install\.test\.js$/;
/** Quick tests of what depends on the version of Node. */
const SMOKE = /^__test__\/(smoke|package-(?!install)|fallback)[^/]*\.test\.js$/;
/** For a single test; the tests have closer limits of their own. */
const TIMEOUT_MS = 600_000;

const testFiles = () => listFiles(ROOT, '__test__').filter((name) => name.endsWith('.test.js'));

/**
 * @param {string} binary
 * @param {string[]} files
 */
async function runFiles(binary, files) {
  if (files.length === 0) throw new CheckError('no test files');
  const args = [
    '--test',
    '--test-reporter=spec',
    `--test-concurrency=${Math.min(os.availableParallelism(), 4)}`,
    `--test-timeout=${TIMEOUT_MS}`,
    ...files,
  ];
  const { stdout, code } = await exec(binary, args, {
    allowFailure: true,
    env: { PATH: `${path.dirname(binary)}:${process.env.PATH}`, NODE_OPTIONS: undefined, FORCE_COLOR: '0' },
  });
  const passed = sum(stdout, /^ℹ pass (\d+)$/gm);
  const failed = sum(stdout, /^ℹ fail (\d+)$/gm);
  if (code !== 0) throw new CheckError(`${failed} of ${passed + failed} tests failed (exit code ${code})`);
  if (passed < files.length) throw new CheckError(`${files.length} files, but only ${passed} tests passed`);
  return passed;
}

async function nodeTests() {
  const files = testFiles().filter((name) => !INSTALL.test(name));
  return { count: await runFiles(process.execPath, files), unit: 'tests' };
}

async function smoke() {
  const files = testFiles().filter((name) => SMOKE.test(name));
  let count = 0;
  const failures = [];
  for (const major of OTHER_MAJORS) {
    const binary = await nodeBinary(major);
    await exec(binary, ['--version']);
    try {
      count += await runFiles(binary, files);
    } catch (error) {
      if (!(error instanceof CheckError)) throw error;
      failures.push(`Node ${major}: ${error.message}`);
    }
  }
  if (failures.length > 0) throw new CheckError(failures.join(', '));
  return { count, unit: 'tests' };
}

async function packageInstall() {
  const files = testFiles().filter((name) => INSTALL.test(name));
  return { count: await runFiles(process.execPath, files), unit: 'tests' };
}

module.exports.nodeTests = nodeTests;
module.exports.packageInstall = packageInstall;
module.exports.smoke = smoke;
