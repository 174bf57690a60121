'use strict';

/** Checks that the committed files generated from the Rust sources are up to date. */

const fs = require('node:fs');
const path = require('node:path');
const { CheckError, ROOT, exec } = require('../lib/exec');
const { FILE: LAYOUT, memoryLayout } = require('../memory-layout');

const FILES = ['lib/native/index.js', 'lib/native/index.d.ts'];

const contents = () => FILES.map((name) => fs.readFileSync(path.join(ROOT, name), 'utf8'));

async function generated() {
  if (fs.readFileSync(path.join(ROOT, LAYOUT), 'utf8') !== (await memoryLayout())) {
    throw new CheckError(`${LAYOUT} is not what node scripts/memory-layout.js writes`);
  }
  const before = contents();
  // Type declarations of an unchanged crate would not be regenerated.
  fs.utimesSync(path.join(ROOT, 'src', 'lib.rs'), new Date(), new Date());
  await exec('npm', ['run', '--silent', 'build']);
  if (contents().some((text, index) => text !== before[index])) {
    throw new CheckError(`${FILES.join(', ')} changed by a rebuild`);
  }
  // The build before this check may already have changed them, so they are compared with the commit.
  if (fs.existsSync(path.join(ROOT, '.git'))) {
    await exec('git', ['ls-files', '--error-unmatch', ...FILES]);
    await exec('git', ['diff', '--exit-code', '--', ...FILES]);
  } else {
    console.log('no git here: compared with what was there before the rebuild');
  }
  return { count: FILES.length + 1, unit: 'files' };
}

module.exports.generated = generated;
