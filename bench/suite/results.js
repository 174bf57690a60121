'use strict';

/* Runs the plan and stores the results: one file per section, from which the document is generated. */

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawnSync } = require('node:child_process');

const RUN = path.join(__dirname, '..', 'run.js');
/** A point of a curve waits for undisturbed processors for less time than a scenario does: there are many. */
const CURVE = ['--settle', '10'];
/** One round without another before it, as a functional check with rough figures. */
const QUICK = ['--rounds', '1', '--warmups', '0', '--settle', '0'];

/**
 * @typedef {import('./plan').Section} Section
 * @typedef {'full' | 'headlines' | 'curves' | 'quick'} Extent of a run
 * @typedef {import('./plan').Step} Step
 * @typedef {import('./plan').Curve} Curve
 * @typedef {{ median: number, min: number, max: number }} Summary
 * @typedef {Summary & { contender: string, ratio: (Summary & { verdict: string }) | null }} Row
 * @typedef {{ key: string, label: string, better: 'higher' | 'lower', digits: number, rows: Row[] }} Metric
 * @typedef {{ command: string, peer: string, environment: Record<string, any>, leftOut: { name: string, unavailable: string }[],
 *   rounds: number, taken: { measured: number, repeated: number, disturbed: number }, results: { scenario: string, summary: Metric[] }[] }} StepResult
 * @typedef {{ x: number, values: Record<string, number> }} CurvePoint
 * @typedef {{ id: string, label: string, better: string, command: string, startedAt: string, points: CurvePoint[] }} CurveResult
 * @typedef {{ id: string, extent: Extent, steps: StepResult[], curves: CurveResult[] }} SectionResult
 */

/**
 * Keeps the last of several options with the same name.
 * @param {string[]} args name, value, name, value, ...
 */
function lastOfEach(args) {
  /** @type {Map<string, string>} */
  const options = new Map();
  for (let i = 0; i < args.length; i += 2) options.set(args[i], args[i + 1]);
  return [...options].flat();
}

/**
 * @param {string} benchmark
 * @param {string[]} args
 * @param {number} [major] major version of Node
 * @returns {Promise<StepResult>}
 */
async function runBenchmark(benchmark, args, major) {
  const all = major === undefined ? args : [...args, '--node', String(major)];
  const command = ['node', 'bench/run.js', benchmark, ...all.map(quoted)].join(' ');
  const json = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-bench-')), 'result.json');
  try {
    console.log(`\n$ ${command}`);
    const startMs = performance.now();
    const { status } = spawnSync(process.execPath, [RUN, benchmark, ...all, '--json', json], {
      stdio: 'inherit',
    });
    if (status !== 0) throw new Error(`'${command}' failed (exit code ${status})`);
    console.log(`took ${Math.round((performance.now() - startMs) / 1000)} s`);
    const { environment, peer, leftOut, options, taken, results } = JSON.parse(fs.readFileSync(json, 'utf8'));
    return {
      command,
      peer,
      environment,
      leftOut,
      rounds: options.rounds,
      taken,
      results: results.map((/** @type {any} */ { scenario, summary }) => ({ scenario, summary })),
    };
  } finally {
    fs.rmSync(path.dirname(json), { recursive: true, force: true });
  }
}

/** @param {string} word */
const quoted = (word) => (/^[\w./,:=-]+$/.test(word) ? word : `'${word}'`);

/**
 * @param {Curve} curve
 * @param {boolean} quick
 * @returns {Promise<CurveResult>}
 */
async function runCurve({ id, benchmark, metric, contenders, points, quick: few, quickArgs = [] }, quick) {
  const wanted = quick && few ? points.filter(({ x }) => few.includes(x)) : points;
  /** @type {CurveResult} */
  const curve = { id, label: metric, better: 'higher', command: '', startedAt: '', points: [] };
  for (const { x, scenario, args = [] } of wanted) {
    const named = ['--scenarios', scenario, '--contenders', contenders.join(',')];
    const { command, environment, results } = await runBenchmark(
      benchmark,
      lastOfEach([...named, ...CURVE, ...args, ...(quick ? [...QUICK, ...quickArgs] : [])]),
    );
    const found = results[0].summary.find(({ key }) => key === metric);
    if (found === undefined) throw new Error(`${benchmark} has no metric '${metric}'`);
    const values = Object.fromEntries(found.rows.map(({ contender, median }) => [contender, median]));
    curve.points.push({ x, values });
    Object.assign(curve, { label: found.label, better: found.better, command });
    curve.startedAt ||= environment.startedAt;
  }
  return curve;
}

/**
 * Returns the scenarios of a step that appear in the first table.
 * @param {Section} section
 * @param {number} at index of the step
 */
function scenariosAtHead({ headlines }, at) {
  const own = headlines.filter(({ step = 0 }) => step === at);
  return [...new Set(own.flatMap(({ scenario, peerScenario = scenario }) => [peerScenario, scenario]))];
}

/**
 * @param {Section} section
 * @param {Extent} extent
 * @param {SectionResult} [before] results from before, whose curves a run of headlines keeps, and whose steps one of curves
 * @returns {Promise<SectionResult>}
 */
async function runSection(section, extent, before) {
  const { id, curves = [] } = section;
  if (extent === 'headlines') {
    return { id, extent, steps: await runSteps(section, extent), curves: before?.curves ?? [] };
  }
  const isCurves = extent === 'curves' && before !== undefined;
  const results = isCurves ? before.steps : await runSteps(section, extent);
  const drawn = [];
  for (const curve of curves) drawn.push(await runCurve(curve, extent === 'quick'));
  return { id, extent: isCurves ? before.extent : extent, steps: results, curves: drawn };
}

/**
 * @param {Section} section
 * @param {Extent} extent
 */
async function runSteps(section, extent) {
  const results = [];
  for (const [at, { benchmark, args = [], quick: fewer = [], node }] of section.steps.entries()) {
    const atHead = scenariosAtHead(section, at);
    // A section without headlines would be empty otherwise.
    if (extent === 'headlines' && atHead.length === 0 && section.headlines.length > 0) continue;
    const all = extent === 'quick' ? [...args, ...QUICK, ...fewer] : [...args];
    if (extent === 'headlines' && atHead.length > 0) all.push('--scenarios', atHead.join(','));
    results.push(await runBenchmark(benchmark, lastOfEach(all), node));
  }
  return results;
}

module.exports.runSection = runSection;
