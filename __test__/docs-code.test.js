'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, describe, it } = require('node:test');
const { shared } = require('..');
const { ROOT, runOk } = require('./package-helpers');

/*
 * Every JavaScript sample in README.md and docs/ runs as is. One that starts with a file name in a comment is a
 * file for those that follow on its page.
 */

const PRELOAD = path.join(__dirname, 'fixtures', 'docs-preload.js');
const WATCHDOG_MS = 60_000;
const BLOCK = /```(?<language>js|mjs|cjs|ts)\n(?<code>[^]*?)```/g;
const FILE_NAME = /^\/\/ ([\w-]+\.m?js)\n/;

/** @param {string} file relative to the repository */
function blocksOf(file) {
  const text = fs.readFileSync(path.join(ROOT, file), 'utf8');
  return [...text.matchAll(BLOCK)].map(({ index, groups }) => ({
    ...groups,
    line: text.slice(0, index).split('\n').length,
  }));
}

const documents = [
  'README.md',
  ...fs
    .readdirSync(path.join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => path.join('docs', name)),
];

describe('code in the documentation', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-docs-'));
  /** Segments that outlive the programs. @type {Set<string>} */
  const names = new Set();
  after(() => {
    fs.rmSync(folder, { recursive: true, force: true });
    for (const name of names) shared.unlink(name);
  });
  fs.mkdirSync(path.join(folder, 'node_modules'));
  fs.symlinkSync(ROOT, path.join(folder, 'node_modules', 'manycore'));

  let count = 0;
  for (const document of documents) {
    const page = path.join(folder, document.replaceAll(path.sep, '-'));
    fs.mkdirSync(page);
    for (const { language, code, line } of blocksOf(document)) {
      count++;
      for (const [, name] of code.matchAll(/\.open\('([^']+)'/g)) names.add(name);
      it(`${document}:${line}`, async () => {
        const [, name = `line-${line}.${language}`] = FILE_NAME.exec(code) ?? [];
        const program = path.join(page, name);
        fs.writeFileSync(program, code);
        const options = {
          cwd: page,
          env: { NODE_OPTIONS: `--require ${PRELOAD}` },
          watchdogMs: WATCHDOG_MS,
        };
        await runOk(process.execPath, [program], options);
      });
    }
  }

  it('at least one code block was found', () => assert.ok(count > 0));
});
