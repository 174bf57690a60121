'use strict';

/*
 * `manycore bench pool`: compares the pool with other pools installed in the current folder. Contenders take turns,
 * each measurement runs in a process of its own, and the median of the rounds is reported.
 */

const path = require('node:path');
const { execFile } = require('node:child_process');
const { parseArgs, promisify } = require('node:util');
const { find } = require('./pool/contenders');
const { SCENARIOS, calibrate } = require('./pool/scenarios');
const { Progress } = require('./progress');

const PROGRAM = path.join(__dirname, 'pool', 'program.js');
const TIMEOUT_MS = 300_000;
/** Contenders that need no installation. */
const BUILT_IN = new Set(['manycore', 'threads']);

const USAGE = `Usage: manycore bench pool [options]

Compares manycore's pool with piscina, tinypool, workerpool and synckit: those of them that are installed in this
folder or above.

  --scenarios A,B  only these: ${SCENARIOS.map(({ name }) => name).join(', ')}
  --rounds N       measurements of each contender, of which the median counts (3)
  --help           shows this`;

class UsageError extends Error {}

/** @param {string[]} args */
function readArguments(args) {
  let parsed;
  try {
    parsed = parseArgs({
      args,
      allowPositionals: true,
      options: {
        scenarios: { type: 'string' },
        rounds: { type: 'string', default: '3' },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(/** @type {Error} */ (error).message);
  }
  const { positionals, values } = parsed;
  if (values.help) return null;
  if (positionals.join(' ') !== 'bench pool') throw new UsageError('The command is: manycore bench pool');
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 1000) {
    throw new UsageError(`--rounds: '${values.rounds}' is not a whole number from 1 to 1000`);
  }
  const names = values.scenarios?.split(',').filter(Boolean) ?? SCENARIOS.map(({ name }) => name);
  const unknown = names.find((name) => !SCENARIOS.some((each) => each.name === name));
  if (unknown !== undefined) throw new UsageError(`--scenarios: there is no '${unknown}'`);
  return { rounds, scenarios: SCENARIOS.filter(({ name }) => names.includes(name)) };
}

/** @param {number[]} values not empty */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/**
 * @param {import('./pool/scenarios').Scenario} scenario
 * @param {Map<string, Record<string, number>[]>} samples samples by contender
 */
function describe(scenario, samples) {
  const lines = [`\n${scenario.name}: ${scenario.what}`];
  for (const { key, label, digits } of scenario.metrics) {
    const medians = new Map([...samples].map(([name, all]) => [name, median(all.map((each) => each[key]))]));
    const against = medians.has(scenario.peer) ? scenario.peer : [...medians.keys()][0];
    const base = /** @type {number} */ (medians.get(against));
    for (const [name, value] of medians) {
      const figure = value.toLocaleString('en-US', {
        minimumFractionDigits: digits,
        maximumFractionDigits: digits,
      });
      const ratio = name === against ? '' : `  x${(value / base).toFixed(2)} of ${against}`;
      lines.push(`  ${name.padEnd(10)} ${figure.padStart(12)} ${label}${ratio}`);
    }
  }
  return lines.join('\n');
}

/** @param {{ rounds: number, scenarios: import('./pool/scenarios').Scenario[] }} plan */
async function bench({ rounds, scenarios }) {
  const names = [...new Set(scenarios.flatMap(({ contenders }) => contenders))];
  const missing = names.filter((name) => !BUILT_IN.has(name) && find(name) === null);
  if (missing.length > 0) console.log(`Not installed here, left out: ${missing.join(', ')}`);
  const present = (/** @type {string} */ name) => !missing.includes(name);
  const total = scenarios.reduce(
    (sum, { contenders }) => sum + contenders.filter(present).length * rounds,
    0,
  );
  const progress = new Progress(process.stderr, total);
  const work = String(calibrate());
  for (const scenario of scenarios) {
    const contenders = scenario.contenders.filter(present);
    /** @type {Map<string, Record<string, number>[]>} */
    const samples = new Map(contenders.map((name) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      for (const [name, own] of samples) {
        progress.show(`${scenario.name}: ${name}`);
        const args = [PROGRAM, name, scenario.name, work];
        const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: TIMEOUT_MS });
        own.push(JSON.parse(stdout));
        progress.step();
      }
    }
    progress.clear();
    console.log(describe(scenario, samples));
  }
}

/**
 * Entry point of the command line.
 * @param {string[]} args
 */
async function main(args) {
  try {
    const plan = readArguments(args);
    if (plan === null) console.log(USAGE);
    else await bench(plan);
  } catch (error) {
    if (error instanceof UsageError) console.error(`${error.message}\n\n${USAGE}`);
    else console.error(error);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

module.exports.main = main;
