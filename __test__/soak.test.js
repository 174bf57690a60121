'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');

const { ROOT, runOk } = require('./package-helpers');

/** Minutes; scripts/nightly.js takes more of them. */
const MINUTES = '0.12';
const WATCHDOG_MS = 180_000;

test('with everything at work at once and deaths at random, all accounts balance', async () => {
  const args = ['--expose-gc', path.join(ROOT, 'scripts', 'soak'), '--minutes', MINUTES];
  const { counts, complaints } = JSON.parse(
    await runOk(process.execPath, args, { cwd: ROOT, watchdogMs: WATCHDOG_MS }),
  );
  assert.deepEqual(complaints, []);
  for (const what of ['answered', 'messages', 'received', 'threads', 'tasks done', 'pools']) {
    assert.ok(counts[what] > 0, `there were ${what}: ${JSON.stringify(counts)}`);
  }
});
