'use strict';

/** Formatting and lint of JavaScript, Markdown, JSON and Rust. */

const fs = require('node:fs');
const path = require('node:path');
const { CheckError, ROOT, exec } = require('../lib/exec');
const { listFiles } = require('../lib/files');

async function prettier() {
  const { check, getFileInfo, resolveConfig } = require('prettier');
  const ignorePath = ['.prettierignore', '.gitignore'].map((name) => path.join(ROOT, name));
  let checked = 0;
  const different = [];
  for (const name of listFiles(ROOT)) {
    const file = path.join(ROOT, name);
    const { ignored, inferredParser } = await getFileInfo(file, { ignorePath, resolveConfig: false });
    if (ignored || inferredParser === null) continue;
    const options = { ...(await resolveConfig(file, { editorconfig: true })), filepath: file };
    if (!(await check(fs.readFileSync(file, 'utf8'), options))) different.push(name);
    checked++;
  }
  for (const name of different) console.log(name);
  if (different.length > 0) {
    throw new CheckError(`${different.length} files are not formatted: npm run format`);
  }
  return { count: checked, unit: 'files' };
}

async function eslint() {
  const { ESLint } = require('eslint');
  const linter = new ESLint({ cwd: ROOT });
  const results = await linter.lintFiles('.');
  const formatter = await linter.loadFormatter('stylish');
  process.stdout.write(await formatter.format(results));
  const problems = results.reduce((total, each) => total + each.errorCount + each.warningCount, 0);
  if (problems > 0) throw new CheckError(`${problems} problems`);
  return { count: results.length, unit: 'files' };
}

async function rustfmt() {
  let count = 0;
  // The targets of the fuzzer are a workspace of their own.
  for (const crates of [['--all'], ['--manifest-path', 'fuzz/Cargo.toml']]) {
    const { stdout } = await exec('cargo', ['fmt', ...crates, '--check', '--', '--verbose']);
    const formatted = stdout.match(/^Formatting /gm)?.length ?? 0;
    if (formatted === 0) throw new CheckError(`cargo fmt ${crates.join(' ')} found no files`);
    count += formatted;
  }
  return { count, unit: 'files' };
}

module.exports.eslint = eslint;
module.exports.prettier = prettier;
module.exports.rustfmt = rustfmt;
