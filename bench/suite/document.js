'use strict';

/*
 * Generates the document, Markdown and pictures, from the results of the sections. Nothing is omitted; losses are
 * marked.
 */

const { grouped } = require('../lib/report');
const { curves: draw } = require('./plot');

/**
 * @typedef {import('./plan').Section} Section
 * @typedef {import('./plan').Headline} Headline
 * @typedef {import('./results').SectionResult} SectionResult
 * @typedef {import('./results').StepResult} StepResult
 * @typedef {StepResult['results'][number]} Result
 * @typedef {import('./results').CurveResult} CurveResult
 * @typedef {import('./results').Metric} Metric
 * @typedef {import('./results').Row} Row
 */

/**
 * @param {Section[]} plan
 * @param {Map<string, SectionResult>} results by section
 * @param {string} pictures the folder of the pictures, as the document links to it
 * @returns {{ markdown: string, pictures: Map<string, string> }} pictures by file name
 */
function document(plan, results, pictures) {
  const measured = plan.filter(({ id }) => results.has(id));
  const of = (/** @type {Section} */ { id }) => /** @type {SectionResult} */ (results.get(id));
  /** @type {Map<string, string>} */
  const drawn = new Map();
  const sections = measured.flatMap((section) => {
    const { steps, curves } = of(section);
    for (const curve of curves) drawn.set(`${curve.id}.svg`, picture(section, curve));
    return [
      `## ${section.title}`,
      section.text,
      ...steps.flatMap(describeStep),
      ...curves.flatMap((curve) => describeCurve(section, curve, pictures)),
    ];
  });
  const markdown = [
    '# Benchmarks',
    'This page is written by `npm run bench`; do not edit it. Contenders take turns in one session, the first round ' +
      'warms up and is dropped, a figure is the median of the rounds, with the least and the greatest in brackets. A ' +
      'ratio is the median of the ratios round by round. **worse** marks a loss in every round; where rounds disagree, ' +
      'the ratio stands in brackets. Virtual processors may share a core for seconds or minutes, at half the speed for ' +
      'whatever keeps two of them busy: each measurement therefore waits until two threads run as fast as each alone, ' +
      'and is repeated if they no longer do after it, for up to a minute per scenario. `npm run bench -- --quick` takes a few minutes and writes to `target/bench`; ' +
      '`npm run bench -- --only ID` does one section anew. The command below a table repeats that table.',
    ...environments(measured.map(of)),
    '## At a glance',
    'Targets are what the project set out to reach, missed ones included.',
    table(
      ['what', 'manycore', 'peer', 'ratio', 'target', ''],
      measured.flatMap((section) => section.headlines.map((headline) => glance(of(section), headline))),
    ),
    ...sections,
  ];
  return { markdown: `${markdown.join('\n\n')}\n`, pictures: drawn };
}

/** @param {SectionResult[]} results */
function environments(results) {
  const facts = results[0]?.steps[0]?.environment;
  if (!facts) return [];
  const versions = [
    ...new Set(results.flatMap(({ steps }) => steps.map(({ environment }) => environment.node))),
  ];
  const busiest = Math.max(
    ...results.flatMap(({ steps }) => steps.map(({ environment }) => environment.loadBefore)),
  );
  const lines = [
    `${facts.cpu}, ${facts.cores} cores, ${grouped(facts.memoryMiB, 0)} MiB; ${facts.kernel}; Node.js ` +
      `${versions.join(' and ')}; manycore ${facts.manycore}; ${facts.startedAt.slice(0, 10)}.`,
  ];
  if (results.some(({ extent }) => extent === 'headlines')) {
    lines.push(
      'Some sections have the scenarios of the first table alone: `npm run bench -- --headlines`, and curves of their ' +
        'own date: `npm run bench -- --curves`. Without either, all is measured.',
    );
  }
  if (results.some(({ extent }) => extent === 'quick')) {
    lines.push(
      '**From a quick run, of one round each without a first one to warm up: to see that all works, not to conclude from.**',
    );
  }
  // The previous section leaves some load behind; more than that may come from something else.
  if (busiest > facts.cores) {
    lines.push(
      `**The load average before a section was up to ${grouped(busiest, 1)}: something else may have been at work.**`,
    );
  }
  return lines;
}

/**
 * @param {SectionResult} result
 * @param {Headline} headline
 */
function glance({ steps }, headline) {
  const { what, step = 0, scenario, contender, peer, peerScenario, metric, target, of = 'ratio' } = headline;
  const resultOf = (/** @type {string} */ name) =>
    steps[step]?.results.find((each) => each.scenario === name);
  const figures = (/** @type {string} */ name) => resultOf(name)?.summary.find(({ key }) => key === metric);
  const found = figures(scenario);
  const ours = found?.rows.find((each) => each.contender === contender);
  const theirs = figures(peerScenario ?? scenario)?.rows.find((each) => each.contender === peer);
  const aimed =
    of === 'ratio' ? aim(target, found) : `${aim(target, found)} ${found?.unit ?? found?.label ?? ''}`.trim();
  if (!found || !ours || !theirs) return [what, 'not measured', '', '', aimed, ''];
  const isPeer = peerOf(/** @type {Result} */ (resultOf(scenario)), steps[step].peer) === peer;
  const isOfRounds = isPeer && peerScenario === undefined && ours.ratio !== null;
  const ratio = isOfRounds ? ours.ratio.median : ours.median / theirs.median;
  const reached = of === 'ratio' ? ratio : ours.median;
  const met = found.better === 'higher' ? reached >= target : reached <= target;
  const isAlone = ours === theirs;
  return [
    what,
    `${grouped(ours.median, found.digits)} ${found.unit ?? found.label}`,
    isAlone ? '' : `${peerScenario ?? peer}: ${grouped(theirs.median, found.digits)}`,
    isAlone ? '' : `× ${significant(ratio)}`,
    aimed,
    met ? 'met' : '**missed**',
  ];
}

/** @param {number} target @param {Metric} [metric] */
function aim(target, metric) {
  return `${metric?.better === 'lower' ? '≤' : '≥'} ${significant(target)}`;
}

/** @param {number} value */
function significant(value) {
  return value >= 10 ? grouped(value, 0) : value.toPrecision(value < 0.1 ? 2 : 3);
}

/** @param {StepResult} step */
function describeStep({ command, peer, environment, leftOut, rounds, taken, results }) {
  const missing = leftOut.map(({ name, unavailable }) => `Left out: ${name} (${unavailable}).`);
  return [
    `Node.js ${environment.node}, ${rounds === 1 ? 'one round' : `${rounds} rounds`}${disturbance(taken)}.`,
    ...tablesOf(results, peer).map((alike) => describeScenarios(alike, peerOf(alike[0], peer))),
    ...missing,
    `\`\`\`sh\n${command}\n\`\`\``,
  ];
}

/** @param {StepResult['taken']} [taken] of steps measured since it is recorded */
function disturbance(taken) {
  if (!taken || taken.disturbed === 0) return '';
  return `; ${taken.disturbed} of ${taken.measured} measurements on processors that shared a core`;
}

/**
 * Returns the contender with which the others of a scenario are compared.
 * @param {Result} result
 * @param {string} usual that of most scenarios
 */
function peerOf({ summary }, usual) {
  const rows = summary[0]?.rows ?? [];
  const isCompared = rows.some(({ ratio }) => ratio !== null);
  return (isCompared && rows.find(({ ratio }) => ratio === null)?.contender) || usual;
}

/**
 * Groups consecutive scenarios with the same metrics and the same peer.
 * @param {Result[]} results
 * @param {string} peer that of most scenarios
 */
function tablesOf(results, peer) {
  /** @type {Result[][]} */
  const tables = [];
  const header = (/** @type {Result} */ result) =>
    [peerOf(result, peer), ...result.summary.map(({ label }) => label)].join('\n');
  for (const result of results) {
    const last = tables[tables.length - 1];
    if (last && header(last[0]) === header(result)) last.push(result);
    else tables.push([result]);
  }
  return tables;
}

/** @param {Result[]} results @param {string} peer */
function describeScenarios(results, peer) {
  const metrics = results[0].summary;
  const header = ['scenario', 'contender', ...metrics.flatMap(({ label }) => [label, `against ${peer}`])];
  const rows = results.flatMap(({ scenario, summary }) =>
    (summary[0]?.rows ?? []).map(({ contender }, at) => [
      at === 0 ? scenario : '',
      contender,
      ...summary.flatMap(({ rows: each, digits }) => [figure(each[at], digits), ratioCell(each[at])]),
    ]),
  );
  return table(header, rows);
}

/** @param {Row} row @param {number} digits */
function figure({ median, min, max }, digits) {
  return `${grouped(median, digits)} (${grouped(min, digits)}–${grouped(max, digits)})`;
}

/** @param {Row} row */
function ratioCell({ ratio }) {
  if (!ratio) return '';
  const shown = `× ${significant(ratio.median)}`;
  if (ratio.verdict === 'unclear') return `(${shown})`;
  return ratio.verdict === 'worse' ? `${shown} **worse**` : shown;
}

/** @param {Section} section @param {CurveResult} result */
function picture({ curves = [] }, { id, label, points }) {
  const curve = curves.find((each) => each.id === id);
  return draw({ title: curve?.title ?? id, x: curve?.x ?? '', y: label, points });
}

/** @param {Section} section @param {CurveResult} result @param {string} pictures */
function describeCurve({ curves = [] }, { id, label, better, command, startedAt, points }, pictures) {
  const { title = id, text = '', x = 'x' } = curves.find((each) => each.id === id) ?? {};
  const names = [...new Set(points.flatMap(({ values }) => Object.keys(values)))];
  const cell = (/** @type {number | undefined} */ value) =>
    value === undefined ? '' : grouped(value, value < 100 ? 2 : 0);
  const [first, last] = [points[0], points[points.length - 1]];
  const growth = names
    .filter((name) => first?.values[name] && last?.values[name])
    .map((name) => `${name} × ${significant(last.values[name] / first.values[name])}`);
  return [
    `### ${title}`,
    `![${title}](${pictures}/${id}.svg)`,
    text,
    `From ${grouped(first.x, 0)} to ${grouped(last.x, 0)} ${x}, ${label} (${better} is better) goes: ` +
      `${growth.join(', ')}. Measured ${startedAt.slice(0, 10)}.`,
    table(
      [x, ...names.map((name) => `${name}, ${label}`)],
      points.map(({ x: at, values }) => [grouped(at, 0), ...names.map((name) => cell(values[name]))]),
    ),
    'The last row is repeated by this command, the others by the like:',
    `\`\`\`sh\n${command}\n\`\`\``,
  ];
}

/** @param {string[]} header @param {string[][]} rows */
function table(header, rows) {
  const line = (/** @type {string[]} */ cells) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}

module.exports.document = document;
