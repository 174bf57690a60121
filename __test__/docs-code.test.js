'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, describe, it } = require('node:test');
const { shared } = require('..');
const { readOptions, selected } = require('../bench/lib/driver');
const { ROOT, runOk } = require('./package-helpers');

/*
 * Every JavaScript sample in README.md and docs/ runs as is. One that starts with a file name in a comment is a
 * file for those that follow on its page. Shell commands run, or are checked against what they name. Blocks in other
 * languages fail, so that none goes unnoticed.
 */

const PRELOAD = path.join(__dirname, 'fixtures', 'docs-preload.js');
const WATCHDOG_MS = 60_000;
const FENCE = /^(?<indent>[ \t>]*)(?<fence>`{3,}|~{3,})(?<language>.*)$/;
const PROGRAMS = ['js', 'mjs', 'cjs', 'ts'];
/** Diagrams, and layouts, which the check `generated` compares with the sources. */
const NO_CODE = ['mermaid', 'text'];
const FILE_NAME = /^\/\/ ([\w-]+\.m?js)\n/;

/** @typedef {{ language: string, code: string, line: number }} Block */

/**
 * Returns the code blocks of a page.
 * @param {string} text
 * @returns {Block[]}
 * @throws for a block of a form that this does not read
 */
function blocksIn(text) {
  const blocks = [];
  /** @type {Block & { fence: string } | null} */
  let open = null;
  for (const [index, line] of text.split('\n').entries()) {
    const { indent = '', fence, language = '' } = FENCE.exec(line)?.groups ?? {};
    if (open !== null && fence === open.fence && language === '') {
      blocks.push(open);
      open = null;
    } else if (open !== null) {
      open.code += `${line}\n`;
    } else if (fence !== undefined) {
      if (indent !== '' || fence !== '```') throw new Error(`line ${index + 1}: not a plain fence`);
      open = { language, code: '', line: index + 1, fence };
    }
  }
  if (open !== null) throw new Error(`line ${open.line}: the block has no end`);
  return blocks;
}

/** A benchmark, which would take too long to run; in running text the program may stand alone. */
const BENCHMARK = /^(?:node )?bench\/run\.js(?: .*)?$/;

/**
 * Checks that a benchmark has the options, scenarios and contenders that a command names.
 * @param {string} command
 */
function checkBenchmark(command) {
  const words = command.match(/(?:'[^']*'|[^\s'])+/g) ?? [];
  const [name, ...args] = words
    .slice(words.indexOf('bench/run.js') + 1)
    .map((word) => word.replaceAll("'", ''));
  if (name === undefined) return;
  assert.match(name, /^[a-z-]+$/);
  const benchmark = require(`../bench/${name}`);
  const options = readOptions(benchmark, args);
  // The binary may be one that is fetched, or only an example.
  selected(benchmark, { ...options, node: process.execPath });
}

/**
 * Returns the commands in running text that start a benchmark.
 * @param {string} text
 */
function benchmarksIn(text) {
  const spans = text.replaceAll(/^```[^]*?^```$/gm, '').matchAll(/`([^`]+)`/g);
  const commands = [...spans].map(([, span]) => span.replaceAll(/\s+/g, ' '));
  return commands.filter((command) => BENCHMARK.test(command));
}

/**
 * What is done with each kind of shell command, in the folder with the files of its page.
 * @type {[RegExp, (match: RegExpMatchArray, page: string) => unknown][]}
 */
const COMMANDS = [
  [/^npm install (\S+)$/, ([, name]) => assert.equal(name, require('../package.json').name)],
  [/^npm (?:run )?(start|test|bench)$/, ([, name]) => assert.ok(name in require('../package.json').scripts)],
  [
    /^mkdir \S+ && cd \S+ && npm init --yes$/,
    ([command], page) => runOk('sh', ['-c', command], { cwd: page, watchdogMs: WATCHDOG_MS }),
  ],
  [
    /^node (-r manycore\/register) (\S+)$/,
    ([, , program], page) => runProgram(page, program, ['--require', 'manycore/register']),
  ],
  // PM2 is not installed; what it starts is.
  [
    /^pm2 start (\S+) --node-args="(-r) (manycore\/register)"$/,
    ([, program, flag, preload], page) => runProgram(page, program, [flag, preload]),
  ],
  [BENCHMARK, ([command]) => checkBenchmark(command)],
];

/**
 * Returns the commands of a shell block: every line, with its continuations, that is more than a comment.
 * @param {string} code
 */
function commandsIn(code) {
  const withoutComments = code.replaceAll(/(?<=^|[ \t])#.*$/gm, '');
  const lines = withoutComments.replaceAll(/[ \t]*\\\n[ \t]*/g, ' ').split('\n');
  return lines.map((line) => line.trim()).filter(Boolean);
}

/**
 * Returns what the comments of a program say that it prints.
 * @param {string} code
 */
function printedBy(code) {
  const comments = code.matchAll(/console\.log\(.*\);? +\/\/ (-?\d+(?![.\d])|\{ [^}]* \}|'[^']*')/g);
  return [...comments].map(([, value]) => value.replaceAll(/^'|'$/g, ''));
}

/** A program that a page may name without showing it. */
const CLUSTER_PROGRAM = `
const cluster = require('node:cluster');
if (cluster.isPrimary) cluster.fork();
else require('node:http').createServer((request, response) => response.end()).listen(3000);
`;

/**
 * @param {string} page
 * @param {string} program
 * @param {string[]} [flags]
 */
function runProgram(page, program, flags = []) {
  const file = path.join(page, program);
  if (!fs.existsSync(file)) fs.writeFileSync(file, CLUSTER_PROGRAM);
  return runOk(process.execPath, [...flags, program], {
    cwd: page,
    env: { NODE_OPTIONS: `--require ${PRELOAD}` },
    watchdogMs: WATCHDOG_MS,
  });
}

const documents = [
  'README.md',
  ...fs
    .readdirSync(path.join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => path.join('docs', name)),
];

describe('code in the documentation', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-docs-'));
  /** Segments that outlive the programs. @type {Set<string>} */
  const names = new Set();
  after(() => {
    fs.rmSync(folder, { recursive: true, force: true });
    for (const name of names) shared.unlink(name);
  });
  fs.mkdirSync(path.join(folder, 'node_modules'));
  fs.symlinkSync(ROOT, path.join(folder, 'node_modules', 'manycore'));

  let count = 0;
  let benchmarks = 0;
  let shown = 0;
  for (const document of documents) {
    const page = path.join(folder, document.replaceAll(path.sep, '-'));
    fs.mkdirSync(page);
    const text = fs.readFileSync(path.join(ROOT, document), 'utf8');
    for (const command of benchmarksIn(text)) {
      benchmarks++;
      it(`${document}: ${command}`, () => checkBenchmark(command));
    }
    for (const { language, code, line } of blocksIn(text)) {
      if (NO_CODE.includes(language)) continue;
      count++;
      for (const [, name] of code.matchAll(/\.open\('([^']+)'/g)) names.add(name);
      it(`${document}:${line}`, async () => {
        if (PROGRAMS.includes(language)) {
          const [, name = `line-${line}.${language}`] = FILE_NAME.exec(code) ?? [];
          fs.writeFileSync(path.join(page, name), code);
          const stdout = await runProgram(page, name);
          for (const value of printedBy(code)) {
            shown++;
            assert.ok(stdout.includes(value), `it does not print ${value}, but:\n${stdout}`);
          }
          return;
        }
        assert.equal(language, 'sh', 'a language that is not tested');
        const commands = commandsIn(code);
        assert.ok(commands.length > 0, 'a block without commands');
        for (const command of commands) {
          const [pattern, check] = COMMANDS.find(([form]) => form.test(command)) ?? [];
          assert.ok(pattern && check, `a command that is not tested: ${command}`);
          await check(/** @type {RegExpMatchArray} */ (command.match(pattern)), page);
        }
      });
    }
  }

  it('code blocks, benchmarks and what is printed were found', () =>
    assert.ok(count > 0 && benchmarks > 0 && shown > 5, `${[count, benchmarks, shown]}`));
});

describe('checkBenchmark()', () => {
  it('accepts what a benchmark has', () => {
    checkBenchmark(
      "node bench/run.js connections --scenarios close --contenders 'node rr,pm2' --peer pm2 --node 24",
    );
    checkBenchmark('bench/run.js ipc');
    checkBenchmark('node bench/run.js');
  });

  it('rejects names and options that a benchmark does not have', () => {
    for (const [args, reason] of [
      ['ports --scenarios echo-nothing', /no scenario 'echo-nothing'/],
      ["connections --contenders 'node rr,nobody'", /no contender 'nobody'/],
      ['ports --peer nobody', /no contender 'nobody'/],
      ['ports --colour red', /'--colour'/],
      ['ports --rounds none', /--rounds: 'none'/],
      ['nothing', /Cannot find module/],
    ]) {
      assert.throws(() => checkBenchmark(`node bench/run.js ${args}`), reason);
    }
  });
});

describe('benchmarksIn()', () => {
  it('finds the commands in running text, over line ends, and not those in blocks', () => {
    const text =
      'a `node bench/run.js\nports` and `x` of `bench/run.js ipc`\n```sh\nnode bench/run.js floor\n```\n';
    assert.deepEqual(benchmarksIn(text), ['node bench/run.js ports', 'bench/run.js ipc']);
  });
});

describe('printedBy()', () => {
  it('finds values in comments, and no other comments', () => {
    const code =
      "console.log(a); // 12, a dozen\n  .then((b) => console.log(b)) // { c: 1 }\nconsole.log(d); // 'e'\n" +
      'console.log(f); // connections\ng(); // 13\n';
    assert.deepEqual(printedBy(code), ['12', '{ c: 1 }', 'e']);
  });
});

describe('commandsIn()', () => {
  it('finds every command, whole and without comments', () => {
    const code = 'a b   # says\n  indented\n\n# no continuation \\\nc \\\n  -d \\\n  e\n\tf "#1" g#h\n';
    assert.deepEqual(commandsIn(code), ['a b', 'indented', 'c -d e', 'f "#1" g#h']);
    assert.deepEqual(commandsIn('# a\n\n'), []);
  });
});

describe('blocksIn()', () => {
  it('finds every block with its language and line', () => {
    assert.deepEqual(
      blocksIn('a\n```js\nx;\n```\n\n```\n```sh\n```\n').map(({ language, code, line }) => [
        language,
        code,
        line,
      ]),
      [
        ['js', 'x;\n', 2],
        ['', '```sh\n', 6],
      ],
    );
  });

  it('rejects blocks that it would not read', () => {
    for (const text of ['  ```js\nx;\n  ```', '> ```js\n> ```', '~~~js\n~~~', '````js\n````', '```js\nx;']) {
      assert.throws(() => blocksIn(text), /line 1/, text);
    }
  });
});
