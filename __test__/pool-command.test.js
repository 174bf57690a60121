'use strict';

/* The command `manycore bench pool`. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { test } = require('node:test');
const { Progress } = require('../lib/bench/progress');

const ROOT = path.join(__dirname, '..');
const { bin } = require('../package.json');

/** @param {string[]} args */
function command(args, cwd = ROOT) {
  const options = /** @type {const} */ ({ cwd, encoding: 'utf8', timeout: 300_000 });
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [path.join(ROOT, bin.manycore), ...args],
    options,
  );
  return { status, stdout, stderr };
}

test('compares with the installed libraries', () => {
  const { status, stdout, stderr } = command(['bench', 'pool', '--scenarios', 'queue-100', '--rounds', '1']);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /queue-100: 100 trivial tasks at a time/);
  for (const name of ['tinypool', 'workerpool', 'manycore']) {
    assert.match(stdout, new RegExp(`${name} +[\\d.,]+ us per task  x[\\d.]+ of piscina`));
    assert.match(stdout, new RegExp(`${name} +[\\d,]+ MiB resident at most`));
  }
  assert.equal(stderr, '');
});

test('reports which libraries are not installed, and measures without them', (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-command-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const { status, stdout } = command(
    ['bench', 'pool', '--scenarios', 'queue-100,sync', '--rounds', '1'],
    folder,
  );
  assert.equal(status, 0);
  const [, leftOut] = /left out: (.*)/.exec(stdout) ?? [];
  assert.deepEqual(leftOut?.split(', ').sort(), ['piscina', 'synckit', 'tinypool', 'workerpool']);
  assert.match(stdout, /manycore +[\d.,]+ us per task$/m);
});

test('prints its usage, and rejects unknown arguments', () => {
  assert.match(command(['--help']).stdout, /Usage: manycore bench pool/);
  for (const args of [
    [],
    ['bench'],
    ['bench', 'x'],
    ['bench', 'pool', '--rounds', '0'],
    ['bench', 'pool', '--scenarios', 'x'],
    ['bench', 'pool', '--unknown'],
  ]) {
    const { status, stdout, stderr } = command(args);
    assert.deepEqual([status, stdout], [2, ''], args.join(' '));
    assert.match(stderr, /Usage/);
  }
});

test('progress is shown only on a terminal', () => {
  for (const isTTY of [true, false]) {
    let written = '';
    const progress = new Progress({ isTTY, write: (text) => (written += text) }, 4);
    progress.show('first');
    progress.step();
    progress.show('second');
    progress.clear();
    assert.equal(written.includes('25 % second'), isTTY);
    assert.equal(written === '', !isTTY);
  }
});
