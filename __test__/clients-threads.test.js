'use strict';

/*
 * Libraries based on worker_threads behave the same with our workers: each program runs with and without
 * `manycore/register`, and prints what it observed.
 */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { describe, test } = require('node:test');

const { ROOT, run } = require('./package-helpers');

const PROGRAMS = path.join(__dirname, 'fixtures', 'clients', 'threads');
const REGISTER = path.join(ROOT, 'register.js');
const LIBRARIES = ['piscina', 'tinypool', 'workerpool', 'synckit', 'comlink', 'pino', 'jest-worker'];
const WATCHDOG_MS = 120_000;

/** @param {string[]} args */
async function seenBy(args) {
  const { code, stdout, stderr } = await run(process.execPath, args, { watchdogMs: WATCHDOG_MS });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

describe('libraries behave identically with and without manycore', () => {
  for (const library of LIBRARIES) {
    test(library, async () => {
      const program = path.join(PROGRAMS, `${library}.js`);
      const stock = await seenBy([program]);
      const registered = await seenBy(['--require', REGISTER, program]);
      assert.deepEqual([stock.isOurs, registered.isOurs], [false, true]);
      assert.deepEqual(registered.seen, stock.seen);
    });
  }
});

test("thread-stream, the basis of pino's transports, passes its own published tests", async () => {
  const folder = path.join(path.dirname(require.resolve('thread-stream')), 'test');
  // The others need transpilers, or packages that are not published with it.
  const names = [
    'base',
    'context',
    'end',
    'error-flush',
    'event',
    'flush',
    'indexes',
    'post-message',
    'ready',
  ];
  const files = names.map((name) => path.join(folder, `${name}.test.js`));
  for (const file of files) assert.ok(fs.existsSync(file), file);
  const { code, stdout } = await run(process.execPath, ['--test', '--test-reporter=tap', ...files], {
    env: { NODE_OPTIONS: `--require=${REGISTER}` },
    watchdogMs: WATCHDOG_MS,
  });
  assert.equal(code, 0, stdout);
  const [, passed] = /^# pass (\d+)$/m.exec(stdout) ?? [];
  assert.ok(Number(passed) >= 25, `only ${passed} tests ran`);
});
