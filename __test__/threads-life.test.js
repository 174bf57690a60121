'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const { it } = require('node:test');
const { ROOT, runOk } = require('./package-helpers');

/*
 * Workers that end in every way and at every point of their lives. MANYCORE_LIFE_WORKERS makes it more of them than
 * a run of all tests has time for.
 */

const WORKERS = Number(process.env.MANYCORE_LIFE_WORKERS ?? 240);
const PROGRAM = path.join(__dirname, 'fixtures', 'threads-life.js');
const WATCHDOG_MS = 300_000 + WORKERS * 500;

/** What a few threads more or less in the runtime's own pools, or pages it has not given back, may make. */
const SLACK = { fds: 4, threads: 4, mappings: 200, rssBytes: 96 * 1024 * 1024 };

it(`leaves nothing behind of ${WORKERS} workers`, async () => {
  const args = ['--expose-gc', PROGRAM, String(WORKERS)];
  const stdout = await runOk(process.execPath, args, { cwd: ROOT, watchdogMs: WATCHDOG_MS });
  const { ended, begin, end } = JSON.parse(stdout.split('\n').at(-2));
  assert.equal(ended, WORKERS);
  for (const [name, slack] of Object.entries(SLACK)) {
    assert.ok(end[name] <= begin[name] + slack, `${name}: ${begin[name]} before, ${end[name]} after`);
  }
});
