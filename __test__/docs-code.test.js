'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, describe, it } = require('node:test');
const { shared } = require('..');
const { ROOT, runOk } = require('./package-helpers');

/*
 * Every piece of JavaScript in README.md and docs/ runs as it stands. One that cannot says why in a comment before
 * it: <!-- not run: the reason -->
 */

const PRELOAD = path.join(__dirname, 'fixtures', 'docs-preload.js');
const WATCHDOG_MS = 60_000;
const BLOCK = /(?:<!-- not run: (?<reason>[^>]+) -->\s*\n)?```(?<language>js|mjs)\n(?<code>[^]*?)```/g;

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

describe('code in the documents', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-docs-'));
  /** What outlives the programs. @type {Set<string>} */
  const names = new Set();
  after(() => {
    fs.rmSync(folder, { recursive: true, force: true });
    for (const name of names) shared.unlink(name);
  });
  fs.mkdirSync(path.join(folder, 'node_modules'));
  fs.symlinkSync(ROOT, path.join(folder, 'node_modules', 'manycore'));

  let count = 0;
  for (const document of documents) {
    for (const { language, code, line, reason } of blocksOf(document)) {
      count++;
      for (const [, name] of code.matchAll(/\.open\('([^']+)'/g)) names.add(name);
      it(`${document}:${line}`, { skip: reason }, async () => {
        const program = path.join(folder, `${path.basename(document, '.md')}-${line}.${language}`);
        fs.writeFileSync(program, code);
        const options = {
          cwd: folder,
          env: { NODE_OPTIONS: `--require ${PRELOAD}` },
          watchdogMs: WATCHDOG_MS,
        };
        await runOk(process.execPath, [program], options);
      });
    }
  }

  it('was found', () => assert.ok(count > 0));
});
