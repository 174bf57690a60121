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

const HOW_TO_READ = [
  'The contenders take turns in one session. The first round only warms up. A figure is the median of the other rounds, with ' +
    'minimum and maximum in parentheses.',
  'A ratio is the median of the ratios of each round. It is in parentheses if the rounds disagree about which is better, and ' +
    'marked **worse** if the contender of that row lost in every round.',
  'Virtual processors may share a core for seconds or minutes, which halves the speed of whatever keeps two of them busy. Each ' +
    'measurement therefore waits until two threads run as fast as one alone, and is repeated if they no longer do ' +
    'afterwards, for up to a minute per scenario.',
  'The command below a table repeats it. `npm run bench -- --quick` takes a few minutes and writes to `target/bench`; ' +
    '`npm run bench -- --only ID` measures one section again.',
];

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
      ...legend(section, steps),
      ...steps.flatMap(describeStep),
      ...curves.flatMap((curve) => describeCurve(section, curve, pictures)),
    ];
  });
  const markdown = [
    '# Benchmarks',
    'This page is written by `npm run bench`; do not edit it.',
    HOW_TO_READ.map((line) => `- ${line}`).join('\n'),
    ...environments(measured.map(of)),
    '## At a glance',
    'The targets are those that the project has set itself. Missed ones are shown as well.',
    table(
      ['what', 'manycore', 'peer', 'ratio', 'target', ''],
      measured.flatMap((section) => section.headlines.map((headline) => glance(of(section), headline))),
    ),
    ...sections,
  ];
  return { markdown: `${markdown.join('\n\n')}\n`, pictures: drawn };
}

/** Says what the scenarios are. @param {Section} section @param {StepResult[]} steps */
function legend({ scenarios = {} }, steps) {
  const names = new Set(steps.flatMap(({ results }) => results.map(({ scenario }) => scenario)));
  const lines = [...names]
    .filter((name) => name in scenarios)
    .map((name) => `- \`${name}\`: ${scenarios[name]}`);
  return lines.length > 0 ? [lines.join('\n')] : [];
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
      'Some sections have only the scenarios of the first table (`npm run bench -- --headlines`), and curves that were ' +
        'measured on another day (`npm run bench -- --curves`). Without these options, everything is measured.',
    );
  }
  if (results.some(({ extent }) => extent === 'quick')) {
    lines.push(
      '**From a quick run: one round each, without a warm-up. It shows that everything works, not how fast it is.**',
    );
  }
  // The previous section leaves some load behind; more than that may come from something else.
  if (busiest > facts.cores) {
    lines.push(
      `**The load average before a section was up to ${grouped(busiest, 1)}: something else may have been running.**`,
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
    `From ${grouped(first.x, 0)} to ${grouped(last.x, 0)} ${x} (${label}, ${better} is better): ` +
      `${growth.join(', ')}. Measured ${startedAt.slice(0, 10)}.`,
    table(
      [x, ...names.map((name) => `${name}, ${label}`)],
      points.map(({ x: at, values }) => [grouped(at, 0), ...names.map((name) => cell(values[name]))]),
    ),
    'This command repeats the last row; change the number for another one:',
    `\`\`\`sh\n${command}\n\`\`\``,
  ];
}

/** @param {string[]} header @param {string[][]} rows */
function table(header, rows) {
  const line = (/** @type {string[]} */ cells) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}

module.exports.document = document;
