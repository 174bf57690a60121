'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');
const { describe, test } = require('node:test');

const { readOptions, selected } = require('../bench/lib/driver');
const { summarizeScenario } = require('../bench/lib/report');
const { document } = require('../bench/suite/document');
const { runSection } = require('../bench/suite/results');
const { PLAN } = require('../bench/suite/plan');

const root = path.join(__dirname, '..');

/** Returns the options of a step as the benchmark itself parses them. */
function optionsOf(benchmark, ...args) {
  return readOptions(benchmark, args.flat().filter(Boolean));
}

describe('the plan', () => {
  for (const { id, scenarios = {}, steps, headlines, curves = [] } of PLAN) {
    test(`${id}: says what the scenarios of its headlines are`, () => {
      const named = headlines.map(({ scenario }) => scenario);
      assert.deepEqual(
        named.filter((name) => !(name in scenarios)),
        [],
      );
    });

    test(`${id}: refers only to existing benchmarks, options, scenarios, contenders and metrics`, () => {
      // Steps are identified by index, even if those without headlines are skipped.
      const isAtHead = steps.map((_, at) => headlines.some(({ step = 0 }) => step === at));
      assert.deepEqual(
        isAtHead,
        [...isAtHead].sort((one, other) => Number(other) - Number(one)),
      );
      const runs = steps.map(({ benchmark: name, args = [], quick = [] }) => {
        const benchmark = require(`../bench/${name}`);
        const full = optionsOf(benchmark, args);
        for (const options of [full, optionsOf(benchmark, quick)]) {
          const scenarios = benchmark.scenarios(options).map((scenario) => scenario.name);
          for (const scenario of options.scenarios) assert.ok(scenarios.includes(scenario), scenario);
        }
        return { benchmark, full };
      });
      for (const { step = 0, scenario, contender, peer, peerScenario = scenario, metric } of headlines) {
        const { benchmark, full } = runs[step];
        const all = benchmark.scenarios(full);
        const found = all.find(({ name }) => name === scenario);
        assert.ok(found && all.some(({ name }) => name === peerScenario), scenario);
        assert.ok(full.scenarios.length === 0 || full.scenarios.includes(scenario), scenario);
        const contenders = benchmark.contenders(full).map(({ name }) => name);
        const names = found.contenders ?? contenders;
        assert.ok(names.includes(contender) && names.includes(peer), `${contender}, ${peer}`);
        for (const name of names) assert.ok(contenders.includes(name), name);
        const metrics = found.metrics ?? benchmark.metrics;
        assert.ok(
          metrics.some(({ key }) => key === metric),
          metric,
        );
      }
      for (const { benchmark: name, contenders, metric, points, quick = [] } of curves) {
        const benchmark = require(`../bench/${name}`);
        assert.ok(
          benchmark.metrics.some(({ key }) => key === metric),
          metric,
        );
        for (const { scenario, args = [] } of points) {
          const options = optionsOf(benchmark, args);
          assert.ok(
            benchmark.scenarios(options).some((each) => each.name === scenario),
            scenario,
          );
          const names = benchmark.contenders(options).map((each) => each.name);
          for (const contender of contenders) assert.ok(names.includes(contender), contender);
        }
        for (const x of quick) assert.ok(points.some((point) => point.x === x));
      }
    });
  }

  test('measures beside every peer', () => {
    const names = PLAN.flatMap(({ steps }) =>
      steps.flatMap(({ benchmark: name, args = [] }) => {
        const benchmark = require(`../bench/${name}`);
        const { scenarios, chosen } = selected(benchmark, optionsOf(benchmark, args));
        const all = chosen.map((contender) => contender.name);
        return scenarios.flatMap(({ contenders = all }) => contenders.filter((each) => all.includes(each)));
      }),
    );
    // Node's cluster and threads, and those of other libraries and programs.
    const peers = ['node rr', 'node none', 'reuseport', 'pm2', 'node', 'threads'];
    const libraries = ['piscina', 'tinypool', 'workerpool', 'synckit', 'comlink', 'lmdb', 'redis'];
    assert.deepEqual(
      [...peers, ...libraries].filter((peer) => !names.includes(peer)),
      [],
    );
  });

  test('has unique names for sections and pictures', () => {
    const names = PLAN.flatMap(({ id, curves = [] }) => [id, ...curves.map((curve) => curve.id)]);
    assert.equal(new Set(names).size, names.length);
  });
});

describe('the document', () => {
  const headline = { what: 'things', scenario: 'one', contender: 'ours', peer: 'theirs', metric: 'rate' };
  const section = {
    id: 'things',
    title: 'Things',
    text: 'Some text.',
    steps: [],
    headlines: [
      { ...headline, target: 2 },
      { ...headline, target: 4 },
      { ...headline, scenario: 'another', target: 4 },
      { ...headline, scenario: 'two', peer: 'ours', peerScenario: 'one', target: 1.5 },
      { ...headline, target: 3000, of: 'figure' },
      { ...headline, peer: 'ours', metric: 'eachUs', target: 10, of: 'figure' },
      { ...headline, scenario: 'three', peer: 'ours', metric: 'size', target: 50, of: 'figure' },
      { ...headline, what: 'scaling', scenario: 'four', contender: 'theirs', peer: 'ours', target: 0.3 },
    ],
    curves: [{ id: 'growth', title: 'Growth', text: 'It grows with the workers.', x: 'workers' }],
  };
  const metrics = [
    { key: 'rate', label: 'per second', better: 'higher', digits: 0 },
    { key: 'eachUs', label: 'us each', better: 'lower', digits: 1 },
  ];
  const memory = { key: 'size', label: 'memory of each, KiB', unit: 'KiB', better: 'lower', digits: 0 };
  const samples = new Map([
    [
      'theirs',
      [
        { rate: 1000, eachUs: 5 },
        { rate: 1100, eachUs: 6 },
      ],
    ],
    [
      'ours',
      [
        { rate: 3000, eachUs: 10 },
        { rate: 3300, eachUs: 11 },
      ],
    ],
  ]);
  const uneven = new Map([
    ['ours', [1000, 3000, 3000].map((rate) => ({ rate, eachUs: 1 }))],
    ['theirs', [800, 900, 1500].map((rate) => ({ rate, eachUs: 1 }))],
  ]);
  const step = {
    command: 'node bench/run.js things',
    peer: 'theirs',
    environment: {
      cpu: 'A CPU',
      cores: 2,
      memoryMiB: 1024,
      kernel: 'Linux',
      node: 'v20.0.0',
      manycore: '1.0.0',
      startedAt: '2026-01-02T03:04:05Z',
      loadBefore: 0,
    },
    leftOut: [{ name: 'absent', unavailable: 'not installed' }],
    rounds: 2,
    taken: { measured: 7, repeated: 2, disturbed: 1 },
    results: [
      { scenario: 'one', summary: summarizeScenario(samples, metrics, 'theirs') },
      {
        scenario: 'two',
        summary: summarizeScenario(new Map([['ours', [{ rate: 6300, eachUs: 5 }]]]), metrics, 'ours'),
      },
      {
        scenario: 'three',
        summary: summarizeScenario(new Map([['ours', [{ size: 43 }]]]), [memory], 'ours'),
      },
      { scenario: 'four', summary: summarizeScenario(uneven, metrics, 'ours') },
    ],
  };
  const curve = {
    id: 'growth',
    label: 'per second',
    better: 'higher',
    command: 'node bench/run.js things --workers 8',
    startedAt: '2026-01-03T04:05:06Z',
    points: [1, 2, 8].map((x) => ({ x, values: { ours: 100 * x, theirs: 100 } })),
  };
  const results = new Map([['things', { id: 'things', extent: 'full', steps: [step], curves: [curve] }]]);
  const { markdown, pictures } = document([section], results, 'pictures');

  test('reports which targets were met, missed and not measured', () => {
    assert.match(markdown, /\| things \| 3,150 per second \| theirs: 1,050 \| × 3\.00 \| ≥ 2\.00 \| met \|/);
    assert.match(markdown, /≥ 4\.00 \| \*\*missed\*\* \|/);
    assert.match(markdown, /\| things \| not measured \|/);
    assert.match(markdown, /× 3\.00 \| ≥ 3,000 per second \| met \|/);
    assert.match(markdown, /\| things \| 10\.5 us each +\| +\| +\| ≤ 10 us each \| \*\*missed\*\* \|/);
  });

  test('prints each figure in the unit of its metric, and gives scenarios with other metrics their own table', () => {
    assert.match(markdown, /\| things \| 43 KiB +\| +\| +\| ≤ 50 KiB \| met \|/);
    assert.match(markdown, /\| scenario \| contender \| memory of each, KiB \| against theirs \|\n/);
    assert.match(markdown, /\n\n\| scenario[^\n]*\n[^\n]*\n\| three \| ours \| 43 \(43–43\) \|/);
  });

  test('names the peer of scenarios that have one of their own, and compares with it round by round', () => {
    // The medians alone would give 0.3.
    assert.match(markdown, /\| scaling \| 900 per second \| ours: 3,000 \| × 0\.500 \| ≥ 0\.300 \| met \|/);
    assert.match(markdown, /\| against ours \| us each[^\n]*\n[^\n]*\n\| four \| ours \|/);
  });

  test('compares one contender across two scenarios', () => {
    assert.match(markdown, /\| things \| 6,300 per second \| one: 3,150 \| × 2\.00 \| ≥ 1\.50 \| met \|/);
  });

  test('shows losses as losses, and lists omitted results', () => {
    assert.match(
      markdown,
      /\| ours \| 3,150 \(3,000–3,300\) \| × 3\.00 \| 10\.5 \(10\.0–11\.0\) \| × 1\.92 \*\*worse\*\* \|/,
    );
    assert.match(markdown, /Left out: absent \(not installed\)\./);
  });

  test('states the environment and the command that reproduces a table', () => {
    assert.match(
      markdown,
      /A CPU, 2 cores, 1,024 MiB; Linux; Node\.js v20\.0\.0; manycore 1\.0\.0; 2026-01-02\./,
    );
    assert.match(markdown, /2 rounds; 1 of 7 measurements on processors that shared a core\./);
    assert.match(markdown, /```sh\nnode bench\/run\.js things\n```/);
  });

  test('draws curves and describes their growth', () => {
    assert.match(markdown, /!\[Growth\]\(pictures\/growth\.svg\)\n\nIt grows with the workers\.\n/);
    assert.match(
      markdown,
      /From 1 to 8 workers \(per second, higher is better\): ours × 8\.00, theirs × 1\.00\. Measured 2026-01-03\./,
    );
    assert.match(
      markdown,
      /This command repeats the last row[^\n]*\n\n```sh\nnode bench\/run\.js things --workers 8\n```/,
    );
    assert.match(pictures.get('growth.svg'), /^<svg [\s\S]*Growth[\s\S]*<\/svg>\n$/);
  });
});

describe('npm run bench', () => {
  const run = (...args) => promisify(execFile)(process.execPath, [path.join(root, 'bench/suite'), ...args]);

  test('runs a section, stores its figures and generates the document from them', async (t) => {
    const out = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-bench-'));
    t.after(() => fs.rmSync(out, { recursive: true }));
    await run('--quick', '--only', 'require', '--out', out);
    const page = fs.readFileSync(path.join(out, 'benchmarks.md'), 'utf8');
    assert.match(page, /^# Benchmarks\n/);
    assert.match(page, /From a quick run/);
    assert.match(page, /node bench\/run\.js require --rounds 1 --warmups 0 --settle 0 --processes 5/);
    fs.rmSync(path.join(out, 'benchmarks.md'));
    await run('--render', '--out', out);
    assert.equal(fs.readFileSync(path.join(out, 'benchmarks.md'), 'utf8'), page);
  });

  test('keeps the curves when only headlines are measured, and the figures when only curves are', async () => {
    const section = { id: 'none', title: 'None', text: '', steps: [], headlines: [], curves: [] };
    const before = { id: 'none', extent: 'full', steps: ['a step'], curves: ['a curve'] };
    const { steps, curves } = await runSection(section, 'headlines', before);
    assert.deepEqual({ steps, curves }, { steps: [], curves: ['a curve'] });
    assert.deepEqual(await runSection(section, 'curves', before), { ...before, curves: [] });
    assert.deepEqual(await runSection(section, 'full', before), { ...before, steps: [], curves: [] });
  });

  test('rejects two extents at once', async () => {
    await assert.rejects(run('--curves', '--headlines'), { code: 2, stderr: /exclude each other/ });
  });

  test('rejects an unknown section', async () => {
    await assert.rejects(run('--only', 'nothing'), { code: 2, stderr: /There is no section 'nothing'/ });
  });
});
