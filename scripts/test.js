'use strict';

/**
 * Runs every check of the repository, or those named, and says what each of them covered. A check that
 * covered nothing has failed.
 */

const { parseArgs } = require('node:util');
const { conformance } = require('./checks/conformance');
const { generated } = require('./checks/generated');
const { nodeTests, packageInstall, smoke } = require('./checks/node-tests');
const { cargoTest, clippy, loom, loomModels } = require('./checks/rust');
const { eslint, prettier, rustfmt } = require('./checks/style');
const { types } = require('./checks/types');

/** @typedef {() => Promise<{ count: number, unit: string }>} Check */

/** @type {Record<string, Check>} in the order of their running */
const CHECKS = {
  prettier,
  rustfmt,
  eslint,
  types,
  clippy,
  'cargo-test': cargoTest,
  ...(loomModels().length > 0 ? { loom } : {}),
  generated,
  node: nodeTests,
  smoke,
  install: packageInstall,
  conformance,
};

const USAGE = `node scripts/test.js [--bail] [--skip NAME]... [NAME]...
  NAME    one of: ${Object.keys(CHECKS).join(', ')} (default: all)
  --skip  leaves one out; the summary says so
  --bail  stops at the first failure`;

/** @typedef {{ name: string, ok: boolean, seconds: number, result: string }} Outcome */

/**
 * @param {string} name
 * @returns {Promise<Outcome>}
 */
async function runCheck(name) {
  console.log(`\n=== ${name}`);
  const startMs = performance.now();
  let ok = false;
  let result;
  try {
    const { count, unit } = await CHECKS[name]();
    ok = count > 0;
    result = ok ? `${count} ${unit}` : `failed: it covered no ${unit}`;
  } catch (error) {
    result = `failed: ${error instanceof Error ? error.message : error}`;
  }
  const seconds = (performance.now() - startMs) / 1000;
  console.log(`--- ${name}: ${result} (${seconds.toFixed(1)} s)`);
  return { name, ok, seconds, result };
}

function parse() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      bail: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      skip: { type: 'string', multiple: true, default: [] },
    },
  });
  const skipped = /** @type {string[]} */ (values.skip);
  for (const name of [...positionals, ...skipped]) {
    if (!Object.hasOwn(CHECKS, name)) throw new TypeError(`There is no check '${name}'`);
  }
  const named = positionals.length > 0 ? positionals : Object.keys(CHECKS);
  const { bail, help } = values;
  return { bail, help, skipped, names: named.filter((name) => !skipped.includes(name)) };
}

async function main() {
  const { bail, help, names, skipped } = parse();
  if (help) {
    console.log(USAGE);
    return;
  }
  /** @type {Outcome[]} */
  const outcomes = [];
  for (const name of names) {
    const outcome = await runCheck(name);
    outcomes.push(outcome);
    if (bail && !outcome.ok) break;
  }
  console.log('\n=== summary');
  for (const { name, seconds, result } of outcomes) {
    const [headline] = result.split('\n');
    console.log(`${name.padEnd(12)} ${seconds.toFixed(1).padStart(7)} s  ${headline}`);
  }
  for (const name of skipped) console.log(`${name.padEnd(12)} ${''.padStart(7)}    skipped as asked`);
  const passed = outcomes.filter((outcome) => outcome.ok).length;
  const totalSeconds = outcomes.reduce((total, outcome) => total + outcome.seconds, 0);
  console.log(
    `${passed} checks passed, ${names.length - passed} failed or not run, ${skipped.length} skipped ` +
      `in ${totalSeconds.toFixed(1)} s`,
  );
  process.exitCode = passed === names.length && passed > 0 ? 0 : 1;
}

main().catch((error) => {
  console.error(`${error.message}\n\n${USAGE}`);
  process.exitCode = 2;
});
