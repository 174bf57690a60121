'use strict';

/** Runs checks by name and reports what each covered. A check that covered nothing has failed. */

const { parseArgs } = require('node:util');

/** Limits of a failed check's output that is repeated at the end, so that a truncated log still shows the failure. */
const REPEATED_LINES = 30;
const REPEATED_CHARACTERS = 8000;

/**
 * @typedef {() => Promise<{ count: number, unit: string }>} Check
 * @typedef {{ name: string, ok: boolean, seconds: number, result: string, lastOutput: string }} Outcome
 */

/**
 * Records the end of what is printed from now on. Returns a function that stops recording and returns the recorded
 * output.
 * @returns {() => string}
 */
function keepOutput() {
  let kept = '';
  const { write } = process.stdout;
  process.stdout.write = /** @type {typeof write} */ (
    (/** @type {any[]} */ ...args) => {
      kept = (kept + args[0]).slice(-REPEATED_CHARACTERS);
      return Reflect.apply(write, process.stdout, args);
    }
  );
  return () => {
    process.stdout.write = write;
    return kept.trimEnd().split('\n').slice(-REPEATED_LINES).join('\n');
  };
}

/**
 * @param {string} name
 * @param {Check} check
 * @returns {Promise<Outcome>}
 */
async function runCheck(name, check) {
  console.log(`\n=== ${name}`);
  const startMs = performance.now();
  const lastOutput = keepOutput();
  let ok = false;
  let result;
  try {
    const { count, unit } = await check();
    ok = count > 0;
    result = ok ? `${count} ${unit}` : `failed: it covered no ${unit}`;
  } catch (error) {
    result = `failed: ${error instanceof Error ? error.message : error}`;
  }
  const seconds = (performance.now() - startMs) / 1000;
  console.log(`--- ${name}: ${result} (${seconds.toFixed(1)} s)`);
  return { name, ok, seconds, result, lastOutput: lastOutput() };
}

/** @param {Record<string, Check>} checks */
function parse(checks) {
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
    if (!Object.hasOwn(checks, name)) throw new TypeError(`There is no check '${name}'`);
  }
  const named = positionals.length > 0 ? positionals : Object.keys(checks);
  const { bail, help } = values;
  return { bail, help, skipped, names: named.filter((name) => !skipped.includes(name)) };
}

/**
 * @param {Record<string, Check>} checks
 * @param {string} usage
 */
async function run(checks, usage) {
  const { bail, help, names, skipped } = parse(checks);
  if (help) {
    console.log(usage);
    return;
  }
  /** @type {Outcome[]} */
  const outcomes = [];
  for (const name of names) {
    const outcome = await runCheck(name, checks[name]);
    outcomes.push(outcome);
    if (bail && !outcome.ok) break;
  }
  console.log('\n=== summary');
  for (const { name, seconds, result } of outcomes) {
    const [headline] = result.split('\n');
    console.log(`${name.padEnd(12)} ${seconds.toFixed(1).padStart(7)} s  ${headline}`);
  }
  for (const name of skipped) console.log(`${name.padEnd(12)} ${''.padStart(7)}    skipped as asked`);
  const failed = outcomes.filter((outcome) => !outcome.ok);
  for (const { name, lastOutput } of failed) {
    console.log(`\n=== the end of ${name}, which failed\n${lastOutput}`);
  }
  if (failed.length > 0) console.log(`\nFAILED: ${failed.map(({ name }) => name).join(', ')}`);
  const passed = outcomes.length - failed.length;
  const totalSeconds = outcomes.reduce((total, outcome) => total + outcome.seconds, 0);
  console.log(
    `${passed} checks passed, ${names.length - passed} failed or not run, ${skipped.length} skipped ` +
      `in ${totalSeconds.toFixed(1)} s`,
  );
  process.exitCode = passed === names.length && passed > 0 ? 0 : 1;
}

/**
 * Runs the checks named on the command line, or all; sets the exit code.
 * @param {Record<string, Check>} checks in the order in which they run
 * @param {string} command command line of this program
 */
function runChecks(checks, command) {
  const usage = `${command} [--bail] [--skip NAME]... [NAME]...
  NAME    one of: ${Object.keys(checks).join(', ')} (default: all)
  --skip  leaves one out; the summary says so
  --bail  stops at the first failure`;
  run(checks, usage).catch((error) => {
    console.error(`${error.message}\n\n${usage}`);
    process.exitCode = 2;
  });
}

module.exports.runChecks = runChecks;
