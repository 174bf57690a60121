'use strict';

/* What nightly checks say without the network, or without their tools. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { deny } = require('../scripts/checks/nightly');

const NO_NETWORK = 'failed to clone: Could not resolve host: github.com';
const NO_DATABASE = "failed to get 'FETCH_HEAD' metadata";
const BAD_ORIGIN = 'error[source-not-allowed]: detected an unknown registry';

/**
 * Runs the check with a `cargo` that prints and ends by its arguments.
 * @param {import('node:test').TestContext} t
 * @param {string} cases of a shell's `case`
 */
async function denyWith(t, cases) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-cargo-'));
  const { PATH } = process.env;
  t.after(() => {
    process.env.PATH = PATH;
    fs.rmSync(folder, { recursive: true });
  });
  const script = `#!/bin/sh\ncase "$*" in\n${cases}\n*) echo "unexpected: $*"; exit 99;;\nesac\n`;
  fs.writeFileSync(path.join(folder, 'cargo'), script, { mode: 0o755 });
  process.env.PATH = `${folder}:${PATH}`;
  return deny();
}

const ALL = "'deny check advisories bans sources'";
const OFFLINE = "'deny --offline check advisories bans sources'";
const REST = "'deny --offline check bans sources'";

test('deny passes with the network', async (t) => {
  assert.deepEqual(await denyWith(t, `${ALL}) ;;`), { count: 1, unit: 'lock file of crates' });
});

test('deny uses what was fetched before if there is no network', async (t) => {
  const cases = `${ALL}) echo "${NO_NETWORK}"; exit 1;;\n${OFFLINE}) ;;`;
  assert.equal((await denyWith(t, cases)).count, 1);
});

test('deny fails if nothing was ever fetched, and says what it has checked', async (t) => {
  const cases = `${ALL}) echo "${NO_NETWORK}"; exit 1;;\n${OFFLINE}) echo "${NO_DATABASE}"; exit 1;;\n${REST}) ;;`;
  await assert.rejects(denyWith(t, cases), { message: /^bans and sources passed, but no advisories/ });
});

test('deny fails for what can be checked without a database', async (t) => {
  const cases = `${ALL}) echo "${NO_NETWORK}"; exit 1;;\n${OFFLINE}) echo "${NO_DATABASE}"; exit 1;;
    ${REST}) echo "${BAD_ORIGIN}"; exit 4;;`;
  await assert.rejects(denyWith(t, cases), { message: 'cargo deny failed (exit code 4)' });
});

test('deny names the tool that is missing', async (t) => {
  const cases = `${ALL}) echo "error: no such command: \\\`deny\\\`"; exit 101;;`;
  await assert.rejects(denyWith(t, cases), { message: /^cargo-deny is missing: cargo install/ });
});
