'use strict';

// Options of Node that change what a program may rely on.

const assert = require('node:assert/strict');
const path = require('node:path');
const test = require('node:test');
const { runOk, run } = require('./package-helpers');
const { names } = require('./fixtures/everything');

const PROGRAM = path.join(__dirname, 'fixtures', 'everything.js');
const PRINTS = names.map((name) => `${name}\n`).join('');

for (const flags of [
  ['--disable-proto=delete'],
  ['--disable-proto=throw'],
  ['--frozen-intrinsics'],
  ['--jitless'],
  ['--disallow-code-generation-from-strings'],
  ['--stack-size=500'],
  ['--enable-source-maps', '--preserve-symlinks', '--title=manycore'],
]) {
  test(`everything works with ${flags.join(' ')}`, async () => {
    assert.equal(await runOk(process.execPath, [...flags, PROGRAM]), PRINTS);
  });
}

test('nothing deprecated is called', async () => {
  const flags = ['--pending-deprecation', '--throw-deprecation'];
  const { code, stdout, stderr } = await run(process.execPath, [...flags, PROGRAM]);
  assert.equal(stderr, '');
  assert.equal(stdout, PRINTS);
  assert.equal(code, 0);
});
