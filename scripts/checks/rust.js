'use strict';

/** Checks of the Rust code: lints, tests and loom models. */

const path = require('node:path');
const { ROOT, exec, sum } = require('../lib/exec');
const { listFiles } = require('../lib/files');

const LOOM_MODEL = /^crates\/core\/tests\/(loom_\w+)\.rs$/;
const PASSED = /^test result: ok\. (\d+) passed/gm;

async function clippy() {
  const args = ['clippy', '--workspace', '--all-targets', '--locked', '--message-format=json'];
  const { stdout, code } = await exec('cargo', [...args, '--', '-D', 'warnings'], {
    hideStdout: true,
    allowFailure: true,
  });
  let targets = 0;
  for (const line of stdout.split('\n')) {
    if (!line.startsWith('{')) continue;
    const message = JSON.parse(line);
    if (message.reason === 'compiler-message') process.stdout.write(message.message.rendered);
    if (message.reason === 'compiler-artifact' && message.manifest_path.startsWith(ROOT)) targets++;
  }
  if (code !== 0) throw new Error(`cargo clippy failed (exit code ${code})`);
  return { count: targets, unit: 'targets' };
}

async function cargoTest() {
  const { output } = await exec('cargo', ['test', '--workspace', '--locked']);
  return { count: sum(output, PASSED), unit: 'tests' };
}

function loomModels() {
  return listFiles(ROOT, 'crates/core/tests').flatMap((name) => LOOM_MODEL.exec(name)?.[1] ?? []);
}

/** Builds for loom have a separate target folder, so that the regular build is kept. */
async function loom() {
  const selected = loomModels().flatMap((name) => ['--test', name]);
  const { output } = await exec(
    'cargo',
    ['test', '--release', '--locked', '--package', 'manycore-core', ...selected],
    {
      env: {
        RUSTFLAGS: `${process.env.RUSTFLAGS ?? ''} --cfg loom`.trim(),
        CARGO_TARGET_DIR: path.join(ROOT, 'target', 'loom'),
      },
    },
  );
  return { count: sum(output, PASSED), unit: 'models' };
}

module.exports.cargoTest = cargoTest;
module.exports.clippy = clippy;
module.exports.loom = loom;
module.exports.loomModels = loomModels;
