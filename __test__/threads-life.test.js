'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const { it } = require('node:test');
const { ROOT, runOk } = require('./package-helpers');

/*
 * Workers that end in every way and at every point of their life cycle. MANYCORE_LIFE_WORKERS sets a larger number
 * than there is time for in the regular tests.
 */

const WORKERS = Number(process.env.MANYCORE_LIFE_WORKERS ?? 240);
const PROGRAM = path.join(__dirname, 'fixtures', 'threads-life.js');
const WATCHDOG_MS = 300_000 + WORKERS * 500;

/** Tolerance for threads of the runtime's own pools, and for pages it has not returned. */
const SLACK = { fds: 4, threads: 4, mappings: 200, rssBytes: 96 * 1024 * 1024 };

it(`${WORKERS} workers leave nothing behind`, async () => {
  const args = ['--expose-gc', PROGRAM, String(WORKERS)];
  const stdout = await runOk(process.execPath, args, { cwd: ROOT, watchdogMs: WATCHDOG_MS });
  const { ended, begin, end } = JSON.parse(stdout.split('\n').at(-2));
  assert.equal(ended, WORKERS);
  for (const [name, slack] of Object.entries(SLACK)) {
    assert.ok(end[name] <= begin[name] + slack, `${name}: ${begin[name]} before, ${end[name]} after`);
  }
});
