'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');

const { ROOT, runOk } = require('./package-helpers');

/** Minutes; scripts/nightly.js runs longer. */
const MINUTES = '0.12';
const WATCHDOG_MS = 180_000;

const WHAT = [
  ...['answered', 'messages', 'large messages', 'received', 'published', 'broadcasts', 'requests', 'jobs'],
  ...['leaders in the end', 'threads', 'tasks done', 'pools of threads'],
];

test('under mixed load with random deaths, all counts balance', async () => {
  const args = ['--expose-gc', path.join(ROOT, 'scripts', 'soak'), '--minutes', MINUTES];
  const { counts, complaints } = JSON.parse(
    await runOk(process.execPath, args, { cwd: ROOT, watchdogMs: WATCHDOG_MS }),
  );
  assert.deepEqual(complaints, []);
  for (const what of WHAT) {
    assert.ok(counts[what] > 0, `too few ${what}: ${JSON.stringify(counts)}`);
  }
});
