'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { nodeBinary } = require('../../scripts/lib/nodes');

const { Cores } = require('./cores');
const { describeEnvironment, environment } = require('./environment');
const { describeScenario, grouped, summarizeScenario } = require('./report');

/*
 * Runs a benchmark: named contenders in alternating rounds (A B C, A B C, ...) of one session, so that changes on
 * the machine affect all of them alike. A first round warms up and is dropped. What a benchmark opens for a
 * contender stays for all its rounds in a scenario, or is renewed after every few of them: figures of one process say
 * little about those of the next. Measurements wait for two undisturbed processors, see `cores.js`.
 */

const RESULTS = path.join(__dirname, '..', 'results');
const ENOUGH_ROUNDS = 5;

/**
 * @typedef {import('./report').Metric} Metric
 * @typedef {import('./report').Sample} Sample
 * @typedef {{ name: string, unavailable?: string, [detail: string]: any }} Contender `unavailable`: why it cannot
 * run here; it is then skipped, and the report says so
 * @typedef {{ name: string, metrics?: readonly Metric[], contenders?: readonly string[], peer?: string,
 *   [detail: string]: any }} Scenario with metrics, contenders or a peer of its own, if need be
 * @typedef {Record<string, any> & { node: string, rounds: number, warmups: number, renew: number }} Options
 * @typedef {{ close: () => Promise<void>, [detail: string]: any }} Opened
 * @typedef {object} Benchmark
 * @property {string} name
 * @property {string} title
 * @property {string} peer the contender that the others are compared with
 * @property {readonly Metric[]} metrics the first is also shown as progress
 * @property {Record<string, { help: string, default: string, parse: (text: string) => any }>} options
 * @property {(options: Options) => Scenario[]} scenarios
 * @property {(options: Options) => Contender[]} contenders
 * @property {(contender: Contender, scenario: Scenario, options: Options, opened?: Opened) => Promise<Sample>} measure
 * @property {(contender: Contender, scenario: Scenario, options: Options) => Promise<Opened | undefined>} [open]
 *   starts what a contender needs in all rounds of a scenario, and is not to use the machine while others are measured;
 *   `close` ends it after the last round, before it is renewed, or when the scenario fails
 * @property {(options: Options) => void | Promise<void>} [prepare] throws a UsageError if a tool is missing
 */

/** An error for the caller to fix: printed without a stack trace. */
class UsageError extends Error {}

/** @type {Benchmark['options']} */
const COMMON = {
  rounds: { help: 'measured rounds', default: String(ENOUGH_ROUNDS), parse: positive },
  warmups: { help: 'rounds before, which are dropped', default: '1', parse: wholeNumber },
  renew: {
    help: 'rounds after which kept servers are replaced by new ones, with rounds before again; 0 for never',
    default: '0',
    parse: wholeNumber,
  },
  node: {
    help: 'the Node.js binary under test, or its major version, which is fetched',
    default: process.execPath,
    parse: String,
  },
  contenders: { help: 'only these, comma-separated', default: '', parse: list },
  scenarios: { help: 'only these, comma-separated', default: '', parse: list },
  peer: { help: 'the contender to compare with', default: '', parse: String },
  json: { help: 'the file for the results', default: '', parse: String },
  settle: {
    help: 'seconds, per scenario, to wait for two undisturbed processors; 0 for none',
    default: '60',
    parse: wholeNumber,
  },
};

/**
 * @param {string} text
 * @param {number} least
 */
function wholeNumberFrom(text, least) {
  const number = text.trim() === '' ? NaN : Number(text);
  if (!Number.isSafeInteger(number) || number < least) {
    throw new UsageError(`'${text}' is not a whole number of at least ${least}`);
  }
  return number;
}

/** @param {string} text */
function positive(text) {
  return wholeNumberFrom(text, 1);
}

/** @param {string} text */
function wholeNumber(text) {
  return wholeNumberFrom(text, 0);
}

/** @param {string} text */
function list(text) {
  return text.split(',').filter(Boolean);
}

/**
 * Runs a benchmark as a program: reads the command line, prints, sets the exit code.
 * @param {Benchmark} benchmark
 * @param {string[]} [args]
 */
async function main(benchmark, args = process.argv.slice(2)) {
  try {
    if (args.includes('--help')) console.log(usage(benchmark));
    else await run(benchmark, readOptions(benchmark, args));
  } catch (error) {
    console.error(error instanceof UsageError ? `${benchmark.name}: ${error.message}` : error);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

/**
 * Turns a module into a benchmark: sets its exports, and runs it if it is the main module.
 * @param {Benchmark} benchmark
 * @param {NodeModule} file its `module`
 */
function define(benchmark, file) {
  file.exports = benchmark;
  if (require.main === file) main(benchmark);
}

/** @param {Benchmark} benchmark */
function usage(benchmark) {
  const rows = Object.entries({ ...benchmark.options, ...COMMON }).map(
    ([name, option]) =>
      `  --${name.padEnd(12)} ${option.help}${option.default ? ` (${option.default})` : ''}`,
  );
  return [`${benchmark.title}`, '', `node bench/run.js ${benchmark.name} [options]`, ...rows].join('\n');
}

/**
 * @param {Benchmark} benchmark
 * @param {string[]} args
 * @returns {Options}
 */
function readOptions(benchmark, args) {
  const known = { ...benchmark.options, ...COMMON };
  const names = Object.keys(known);
  let values;
  try {
    const types = Object.fromEntries(names.map((name) => [name, { type: /** @type {const} */ ('string') }]));
    ({ values } = parseArgs({ args, options: types }));
  } catch (error) {
    throw new UsageError(/** @type {Error} */ (error).message);
  }
  const parsed = names.map((name) => {
    const { parse, default: byDefault } = known[name];
    try {
      return [name, parse(String(values[name] ?? byDefault))];
    } catch (error) {
      throw error instanceof UsageError ? new UsageError(`--${name}: ${error.message}`) : error;
    }
  });
  return Object.fromEntries(parsed);
}

/**
 * @template {{ name: string }} T
 * @param {string} kind
 * @param {T[]} all
 * @param {string[]} names empty for all
 */
function choose(kind, all, names) {
  const unknown = names.find((name) => !all.some((each) => each.name === name));
  if (unknown !== undefined) {
    throw new UsageError(`no ${kind} '${unknown}', there are ${all.map((each) => each.name).join(', ')}`);
  }
  return names.length === 0 ? all : all.filter((each) => names.includes(each.name));
}

/**
 * Returns what the options name, whether it can run here or not.
 * @param {Benchmark} benchmark
 * @param {Options} options
 * @throws UsageError for names that the benchmark does not have
 */
function selected(benchmark, options) {
  const all = benchmark.contenders(options);
  if (options.peer) choose('contender', all, [options.peer]);
  return {
    scenarios: choose('scenario', benchmark.scenarios(options), options.scenarios),
    chosen: choose('contender', all, options.contenders),
  };
}

/**
 * @param {Benchmark} benchmark
 * @param {Options} options
 */
async function run(benchmark, { node, ...others }) {
  const options = { ...others, node: /^\d+$/.test(node) ? await nodeBinary(Number(node)) : node };
  await benchmark.prepare?.(options);
  const { scenarios, chosen } = selected(benchmark, options);
  const contenders = chosen.filter((contender) => !contender.unavailable);
  if (contenders.length === 0) throw new UsageError(`nothing can run: ${chosen[0].unavailable}`);
  const wanted = options.peer ? choose('contender', contenders, [options.peer])[0].name : benchmark.peer;
  const peer = contenders.find((contender) => contender.name === wanted)?.name ?? contenders[0].name;

  const facts = environment(options.node);
  console.log([benchmark.title, '', ...describeEnvironment(facts)].join('\n'));
  for (const { name, unavailable } of chosen) {
    if (unavailable) console.log(`left out  ${name}: ${unavailable}`);
  }
  if (options.rounds < ENOUGH_ROUNDS) console.log(`Only ${options.rounds} rounds: too few to conclude from.`);

  const results = [];
  const cores = new Cores(options.settle * 1000);
  try {
    for (const scenario of scenarios) {
      const { metrics = benchmark.metrics, contenders: own } = scenario;
      const here = contenders.filter(({ name }) => own === undefined || own.includes(name));
      if (here.length === 0) continue;
      const preferred = options.peer ? peer : (scenario.peer ?? peer);
      const against = (here.find(({ name }) => name === preferred) ?? here[0]).name;
      cores.begin();
      const samples = await alternate({ ...benchmark, metrics }, scenario, here, options, cores);
      const summary = summarizeScenario(samples, metrics, against);
      console.log(
        [`\n${scenario.name}, ${options.rounds} rounds`, ...describeScenario(summary, against)].join('\n'),
      );
      results.push({ scenario: scenario.name, samples: Object.fromEntries(samples), summary });
    }
  } finally {
    await cores.close();
  }
  const file =
    options.json || path.join(RESULTS, `${benchmark.name}-${facts.startedAt.replaceAll(':', '')}.json`);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const leftOut = chosen.filter((contender) => contender.unavailable);
  const finished = { ...facts, loadAfter: os.loadavg()[0] };
  const record = {
    benchmark: benchmark.name,
    environment: finished,
    options,
    peer,
    leftOut,
    taken: cores.taken,
    results,
  };
  fs.writeFileSync(file, `${JSON.stringify(record, null, 2)}\n`);
  console.log(`\nwritten to ${path.relative(process.cwd(), file)}`);
}

/**
 * @param {Benchmark} benchmark
 * @param {Scenario} scenario
 * @param {Contender[]} contenders
 * @param {Options} options
 * @param {Cores} cores
 * @returns {Promise<import('./report').Samples>}
 */
async function alternate(benchmark, scenario, contenders, options, cores) {
  /** @type {import('./report').Samples} */
  const samples = new Map(contenders.map((contender) => [contender.name, []]));
  const { rounds, warmups, renew } = options;
  const [shown] = benchmark.metrics;
  for (let done = 0, last; done < rounds; done = last) {
    last = renew === 0 ? rounds : Math.min(done + renew, rounds);
    /** @type {Map<string, Opened | undefined>} */
    const opened = new Map();
    try {
      for (const contender of contenders) {
        opened.set(contender.name, await benchmark.open?.(contender, scenario, options));
      }
      for (let round = done + 1 - warmups; round <= last; round++) {
        for (const contender of contenders) {
          const sample = await cores.take(() =>
            benchmark.measure(contender, scenario, options, opened.get(contender.name)),
          );
          if (round > done) samples.get(contender.name)?.push(sample);
          const name = round > done ? `round ${round}` : 'warm-up';
          const figure = grouped(sample[shown.key], shown.digits);
          console.error(`${scenario.name}, ${name}: ${contender.name} ${figure} ${shown.label}`);
        }
      }
    } finally {
      await closeAll([...opened.values()]);
    }
  }
  return samples;
}

/**
 * Closes all of them, also when one cannot be closed; that fails afterwards.
 * @param {(Opened | undefined)[]} opened
 */
async function closeAll(opened) {
  const closed = await Promise.allSettled(opened.map((each) => each?.close()));
  const failed = closed.find(({ status }) => status === 'rejected');
  if (failed) throw /** @type {PromiseRejectedResult} */ (failed).reason;
}

module.exports.UsageError = UsageError;
module.exports.positive = positive;
module.exports.wholeNumber = wholeNumber;
module.exports.main = main;
module.exports.define = define;
module.exports.run = run;
module.exports.readOptions = readOptions;
module.exports.selected = selected;
