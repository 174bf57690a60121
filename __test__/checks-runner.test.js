'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');

const { isRunning, run } = require('./support/program');

const LIB = path.join(__dirname, '..', 'scripts', 'lib');

/**
 * Runs checks, given as the source code of an object.
 * @param {string} checks
 */
const runChecks = (checks) =>
  run([
    '-e',
    `const { CheckError, exec } = require(${JSON.stringify(path.join(LIB, 'exec.js'))});
     require(${JSON.stringify(path.join(LIB, 'checks.js'))}).runChecks(${checks}, 'checks');`,
  ]);

test('failures and the tail of their output are repeated at the end', async () => {
  const { code, stdout } = await runChecks(`{
    async bad() {
      for (let i = 0; i < 100; i++) console.log('bad line ' + i + '.');
      throw new CheckError('it is bad');
    },
    async good() {
      for (let i = 0; i < 100; i++) console.log('good line ' + i + '.');
      return { count: 1, unit: 'thing' };
    },
    none: async () => ({ count: 0, unit: 'things' }),
  }`);
  assert.equal(code, 1);
  const end = stdout.slice(stdout.indexOf('=== summary'));
  assert.match(end, /^bad +[\d.]+ s {2}failed: it is bad$/m);
  assert.match(end, /^good +[\d.]+ s {2}1 thing$/m);
  assert.match(end, /^none +[\d.]+ s {2}failed: it covered no things$/m);
  assert.match(end, /bad line 99\./);
  assert.doesNotMatch(end, /bad line 50\.|good line/);
  assert.match(end, /\nFAILED: bad, none\n1 checks passed, 2 failed or not run, 0 skipped in [\d.]+ s\n$/);
});

test('a hanging command is reported and killed with all its descendants, including reparented ones', async () => {
  // Prints its pid and that of a grandchild in a group of its own, whose parent ends.
  const parent = `
    const grandchild = "setInterval(() => {}, 1e6); process.send(process.pid)";
    const { spawn } = require('node:child_process');
    const stdio = ['ignore', 'ignore', 'ignore', 'ipc'];
    spawn(process.execPath, ['-e', grandchild], { stdio, detached: true })
      .once('message', (pid) => { console.log('pid ' + pid); process.exit(); });`;
  const hangs = `
    console.log('pid ' + process.pid);
    require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(parent)}], { stdio: 'inherit' });
    setInterval(() => {}, 1e6);`;
  const { code, stdout } = await runChecks(`{
    hangs: async () => {
      const { stdout } = await exec(process.execPath, ['-e', ${JSON.stringify(hangs)}], { watchdogMs: 6000 });
      return { count: stdout.length, unit: 'characters' };
    },
  }`);
  assert.equal(code, 1);
  const pids = [...stdout.matchAll(/^pid (\d+)$/gm)].map((match) => Number(match[1]));
  const killed = /\nKilled when the time was over:\n([^]*?)\n---/.exec(stdout)?.[1] ?? '';
  assert.ok(pids.length > 0, stdout);
  for (const pid of new Set(pids)) {
    assert.match(killed, new RegExp(`^${pid} .*node`, 'm'));
    assert.equal(isRunning(pid), false);
  }
  assert.match(stdout, /failed: \S+ -e .* did not end within 0\.1 minutes/);
});
