'use strict';

/** Checks of scripts/nightly.js. */

const fs = require('node:fs');
const path = require('node:path');
const { CheckError, ROOT, exec, sum } = require('../lib/exec');

const TARGET = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-unknown-linux-gnu`;
const FUZZ_SECONDS = Number(process.env.MANYCORE_FUZZ_SECONDS ?? 60);
const CHAOS_TIMES = process.env.MANYCORE_CHAOS_TIMES ?? '5';
const LIFE_WORKERS = process.env.MANYCORE_LIFE_WORKERS ?? '2000';
const SOAK_MINUTES = process.env.MANYCORE_SOAK_MINUTES ?? '10';
/** A target that takes longer than this for one input counts as hanging. */
const HANGS_AFTER_SECONDS = 30;
const LONGEST_ATTACK = 1200;
const CODEC_RUNS = process.env.MANYCORE_FUZZ_RUNS ?? '300000';
const UNREACHABLE = /failed to (?:fetch|clone|download)|unable to (?:fetch|resolve)|could not resolve host/i;
/** What cargo-deny says offline if it has never fetched the database. */
const NEVER_FETCHED = /FETCH_HEAD|no such file or directory/i;

/** Runs the core's tests under the address sanitizer, which also reports leaks. */
async function asan() {
  const args = ['+nightly', 'test', '--locked', '--package', 'manycore-core', '--target', TARGET];
  const { output } = await exec('cargo', args, {
    env: {
      RUSTFLAGS: '-Zsanitizer=address',
      CARGO_TARGET_DIR: path.join(ROOT, 'target', 'asan'),
    },
  });
  return { count: sum(output, /^test result: ok\. (\d+) passed/gm), unit: 'tests' };
}

/** Runs the fuzzer on segments, starting from the corpus. */
async function fuzz() {
  const targets = fs
    .readdirSync(path.join(ROOT, 'fuzz', 'fuzz_targets'))
    .map((file) => path.parse(file).name);
  let attacks = 0;
  for (const target of targets) {
    // New inputs are stored outside the corpus, which is curated by hand (`cargo fuzz cmin`).
    const found = path.join(ROOT, 'target', 'fuzz', target);
    fs.mkdirSync(found, { recursive: true });
    const limits = [
      `-max_total_time=${FUZZ_SECONDS}`,
      `-timeout=${HANGS_AFTER_SECONDS}`,
      `-max_len=${LONGEST_ATTACK}`,
    ];
    const corpus = path.join(ROOT, 'fuzz', 'corpus', target);
    const { output } = await exec('cargo', [
      '+nightly',
      'fuzz',
      'run',
      target,
      found,
      corpus,
      '--',
      ...limits,
    ]);
    attacks += sum(output, /^Done (\d+) runs/gm);
  }
  return { count: attacks, unit: `attacks on ${targets.length} targets` };
}

/** Runs everything at once for minutes, killing processes at random. */
async function soak() {
  const script = path.join(ROOT, 'scripts', 'soak');
  const { stdout } = await exec(process.execPath, ['--expose-gc', script, '--minutes', SOAK_MINUTES]);
  const { counts } = JSON.parse(stdout);
  const total = Object.values(counts).reduce((all, one) => all + one, 0);
  return { count: total, unit: `events accounted for in ${SOAK_MINUTES} minutes` };
}

/** Ends workers in every way and at every point of their life cycle, and checks that nothing is left behind. */
async function life() {
  const file = path.join(ROOT, '__test__', 'threads-life.test.js');
  const { output } = await exec(process.execPath, ['--test', '--test-reporter=tap', file], {
    env: { MANYCORE_LIFE_WORKERS: LIFE_WORKERS },
  });
  const passed = sum(output, /^# pass (\d+)/gm);
  return { count: passed > 0 ? Number(LIFE_WORKERS) : 0, unit: 'workers' };
}

/** Harms workers under load, for longer than in the regular tests. */
async function chaos() {
  const file = path.join(ROOT, '__test__', 'chaos-cluster.test.js');
  const { output } = await exec(process.execPath, ['--test', '--test-reporter=tap', file], {
    env: { MANYCORE_CHAOS_TIMES: CHAOS_TIMES },
  });
  return { count: sum(output, /^# pass (\d+)/gm), unit: `kinds of harm, ${CHAOS_TIMES} times as long` };
}

/**
 * Decodes random bytes in lanes, which must yield a value or a typed error; and encodes values of every kind, which
 * must equal Node's clones of them.
 */
async function codec() {
  const files = ['corrupt', 'cloner', 'codec', 'json', 'advanced'].map((name) =>
    path.join(ROOT, '__test__', `link-${name}.test.js`),
  );
  const { output } = await exec(process.execPath, ['--test', '--test-reporter=tap', ...files], {
    env: { MANYCORE_FUZZ_RUNS: CODEC_RUNS, MANYCORE_PROPERTY_RUNS: CODEC_RUNS },
  });
  return { count: sum(output, /^# pass (\d+)/gm), unit: `tests of ${CODEC_RUNS} records or values each` };
}

/**
 * Checks the crates with cargo-deny, by deny.toml: advisories of RustSec, yanked and wildcard versions, and origins.
 * Without the network, what was last fetched serves.
 */
async function deny() {
  const check = (/** @type {string[]} */ ...options) =>
    exec('cargo', ['deny', ...options, 'bans', 'sources'], { allowFailure: true });
  let checked = await check('check', 'advisories');
  if (checked.code !== 0 && UNREACHABLE.test(checked.output)) {
    console.log('The network cannot be reached: what was last fetched serves.');
    checked = await check('--offline', 'check', 'advisories');
    if (checked.code !== 0 && NEVER_FETCHED.test(checked.output)) {
      console.log('Nothing was ever fetched: advisories go unchecked.');
      checked = await check('--offline', 'check');
      if (checked.code === 0) {
        throw new CheckError('bans and sources passed, but no advisories were ever fetched to check');
      }
    }
  }
  if (/no such command: `deny`/.test(checked.output)) {
    throw new CheckError('cargo-deny is missing: cargo install --locked cargo-deny');
  }
  if (checked.code !== 0) throw new CheckError(`cargo deny failed (exit code ${checked.code})`);
  return { count: 1, unit: 'lock file of crates' };
}

module.exports.asan = asan;
module.exports.chaos = chaos;
module.exports.codec = codec;
module.exports.deny = deny;
module.exports.fuzz = fuzz;
module.exports.life = life;
module.exports.soak = soak;
