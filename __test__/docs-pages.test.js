'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { describe, it } = require('node:test');

const manycore = require('..');
const { CODES } = require('../lib/core/errors');
const { ROOT } = require('./package-helpers');

const DOCS = path.join(ROOT, 'docs');
const read = (/** @type {string} */ name) => fs.readFileSync(path.join(DOCS, name), 'utf8');
const pages = fs.readdirSync(DOCS).filter((name) => name.endsWith('.md'));

const FILES = ['index.d.ts', ...fs.readdirSync(path.join(ROOT, 'types')).map((name) => `types/${name}`)];

/** The pages on which the errors of a folder of lib/ are described. @type {Record<string, string[]>} */
const REFERENCE = {
  cluster: ['cluster', 'messages', 'requests'],
  link: ['messages', 'requests'],
  locks: ['locks', 'shared'],
  pool: ['pool', 'messages'],
  shared: ['shared'],
  threads: ['threads', 'messages', 'requests', 'broadcast', 'locks'],
};
/** Folders whose errors no page but errors.md describes. */
const NO_API = ['bench', 'core', 'native'];
const ERROR = /'(ERR_\w+)'/g;
/** Codes of errors of Node that the library reads, and does not make. */
const READ = ['ERR_ACCESS_DENIED', 'ERR_DLOPEN_DISABLED'];

/** Files in lib/, without what is generated. */
const libraryFiles = () =>
  fs
    .readdirSync(path.join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.js') && !name.startsWith('native'));

/** Option interfaces and classes: names, and the text between their braces. */
function declarations() {
  return FILES.flatMap((file) => {
    const text = fs.readFileSync(path.join(ROOT, file), 'utf8');
    const found = /^export (?:declare class|interface) (\w*Options\b|(?<=class )\w+)[^]*?\{\n([^]*?)^\}/gm;
    return [...text.matchAll(found)].map(([, type, body]) => /** @type {const} */ ([type, body]));
  });
}

describe('the documentation', () => {
  for (const page of [...pages, '../README.md', '../CONTRIBUTING.md']) {
    it(`${page} links only to existing pages, pictures and headings`, () => {
      for (const [, target] of read(page).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
        const [file, anchor] = target.split('#');
        const place = path.join(DOCS, path.dirname(page), file || path.basename(page));
        assert.ok(fs.existsSync(place), target);
        if (!anchor) continue;
        const headings = [...fs.readFileSync(place, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
          heading
            .toLowerCase()
            .replace(/[^\w\- ]/g, '')
            .replaceAll(' ', '-'),
        );
        assert.ok(headings.includes(anchor), target);
      }
    });
  }

  it('errors.md describes every error code', () => {
    const page = read('errors.md');
    for (const code of Object.keys(CODES)) assert.ok(page.includes(`\`${code}\``), code);
    for (const [code] of page.matchAll(/ERR_MANYCORE_\w+/g)) assert.ok(Object.hasOwn(CODES, code), code);
  });

  it('errors.md has exactly the codes and names of errors that the library throws', () => {
    const source = libraryFiles()
      .filter((name) => name !== path.join('core', 'errors.js'))
      .map((name) => fs.readFileSync(path.join(ROOT, 'lib', name), 'utf8'))
      .join('\n');
    const codes = [...source.matchAll(/'((?:ERR_|ABORT_|E(?=[A-Z]))\w+)'/g)].map(([, code]) => code);
    const names = [...source.matchAll(/new DOMException\([^;]*?'(\w+Error)'\)/g)].map(([, name]) => name);
    const isSystem = (/** @type {string} */ code) => Object.hasOwn(os.constants.errno, code);
    const isCode = (/** @type {string} */ code) => /^(ERR|ABORT)_/.test(code) || isSystem(code);
    const thrown = new Set([...codes.filter(isCode), ...names].filter((code) => !READ.includes(code)));
    const [tables] = read('errors.md').split('## Warnings');
    const cells = [...tables.matchAll(/^\| (`.*?) \|/gm)].map(([, cell]) => cell.replace(/\(.*\)/, ''));
    const described = cells.flatMap((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, code]) => code));
    assert.ok(described.length > 40, `${described.length}`);
    assert.deepEqual(
      [...thrown].filter((code) => !described.includes(code)),
      [],
      'not described',
    );
    // The system's own come with its name for the failure.
    assert.deepEqual(
      described.filter((code) => !thrown.has(code) && !isSystem(code)),
      [],
      'never thrown',
    );
    assert.deepEqual(
      Object.keys(CODES).filter((code) => !thrown.has(code)),
      [],
      'never made',
    );
  });

  it('errors.md has exactly the codes of warnings', () => {
    const source = libraryFiles().map((name) => fs.readFileSync(path.join(ROOT, 'lib', name), 'utf8'));
    const codes = [...source.join('\n').matchAll(/WARNING_CODE = '(\w+)'/g)].map(([, code]) => code);
    const [, warnings] = read('errors.md').split('## Warnings');
    const described = [...warnings.matchAll(/^\| `(\w+)`/gm)].map(([, code]) => code);
    assert.ok(described.length > 0);
    assert.deepEqual(described.sort(), [...new Set(codes)].sort());
  });

  for (const [folder, where] of Object.entries(REFERENCE)) {
    it(`the pages about lib/${folder} describe the errors that it throws`, () => {
      const text = where.map((page) => read(`${page}.md`)).join('\n');
      const thrown = fs
        .readdirSync(path.join(ROOT, 'lib', folder))
        .filter((name) => name.endsWith('.js'))
        .flatMap((name) => [...fs.readFileSync(path.join(ROOT, 'lib', folder, name), 'utf8').matchAll(ERROR)])
        .map(([, code]) => code);
      assert.ok(thrown.length > 0);
      assert.deepEqual(
        thrown.filter((code) => !text.includes(`\`${code}\``)),
        [],
      );
    });
  }

  it('every folder of the library has its pages', () => {
    const folders = fs.readdirSync(path.join(ROOT, 'lib')).filter((name) => !NO_API.includes(name));
    assert.deepEqual(folders.sort(), Object.keys(REFERENCE).sort());
  });

  it('the reference covers every export', () => {
    const reference = pages.map(read).join('\n');
    const told = Object.keys(manycore).filter((name) => !new RegExp(`\\b${name}\\b`).test(reference));
    // What is identical to Node's is documented by Node.
    const nodes = Object.keys(require('node:worker_threads'));
    assert.deepEqual(
      told.filter((name) => !nodes.includes(name)),
      [],
    );
  });

  it('the reference covers every option and public method in the types', () => {
    const reference = pages.map(read).join('\n');
    const missing = [];
    let count = 0;
    for (const [type, body] of declarations()) {
      for (const [, name] of body.matchAll(/^ {2}(?:static |readonly )*(\w+)[?(<:]/gm)) {
        // What all classes of a kind have is documented once, for each name that the page mentions.
        if (['constructor', 'private', 'from', 'handle', 'on', 'once', 'off'].includes(name)) continue;
        count++;
        const form = name.replace(/(Async|IfAvailable)$/, '');
        if (!new RegExp(`[\`(.{ ]${form}\\b`).test(reference)) missing.push(`${type}.${name}`);
      }
    }
    assert.ok(count > 200, `${count}`);
    assert.deepEqual(missing, []);
  });

  it('every public member in the types has a comment', () => {
    const declaration = /^(?:export )?(?:declare )?(?:class|interface) (\w+)[^{]*\{\n([^]*?)^\}/gm;
    const member =
      /^( {2}\/\*\*(?:[^*]|\*(?!\/))*\*\/\n)? {2}(?:static |readonly )*([\w[\].]+)\??(?!: typeof )[:(<]/gm;
    // Documented where the interface is that the class implements, or by a comment about all of them.
    const inherited = ['handle', 'close', '[Symbol.dispose]', 'size', 'shift', 'push', 'unshift', 'remove'];
    const alike = ['PoolHistogramSummary'];
    const missing = [];
    let count = 0;
    for (const file of FILES) {
      for (const [, type, body] of fs.readFileSync(path.join(ROOT, file), 'utf8').matchAll(declaration)) {
        const seen = new Set();
        for (const [, comment, name] of body.matchAll(member)) {
          // Overloads follow the one with the comment.
          if (
            comment === undefined &&
            !seen.has(name) &&
            !inherited.includes(name) &&
            !alike.includes(type)
          ) {
            missing.push(`${type}.${name}`);
          }
          seen.add(name);
          count++;
        }
      }
    }
    assert.ok(count > 300, `${count}`);
    assert.deepEqual(missing, []);
  });

  it('architecture.md names only files, modules and functions that exist', () => {
    const spans = [...read('architecture.md').matchAll(/`([\w./-]+|(?:\w+::)+\w+)`/g)].map(
      ([, name]) => name,
    );
    const files = spans.filter((name) => /^(?:__test__|bench|crates|lib|src)\//.test(name));
    const modules = spans.filter((name) => name.includes('::'));
    assert.ok(files.length > 20 && modules.length > 20, `${[files.length, modules.length]}`);
    for (const file of files) assert.ok(fs.existsSync(path.join(ROOT, file)), file);
    const sources = fs
      .readdirSync(path.join(ROOT, 'crates', 'core', 'src'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.rs'));
    /** @param {string} module which may leave out those above it */
    const sourceOf = (module) =>
      sources.find((each) =>
        `/${each.replace(/(?:\/mod)?\.rs$/, '')}`.endsWith(`/${module.replaceAll('::', '/')}`),
      );
    for (const name of modules) {
      const [, module = '', item = ''] = /^(.*)::(\w+)$/.exec(name) ?? [];
      const source = sourceOf(module);
      const text = source && fs.readFileSync(path.join(ROOT, 'crates', 'core', 'src', source), 'utf8');
      assert.ok(sourceOf(name) ?? text?.includes(`pub fn ${item}(`), name);
    }
  });

  it('README.md has the figures of benchmarks.md', () => {
    const told = [...read('../README.md').matchAll(/^- \*\*([\d.]+) times\*\*/gm)].map(([, ratio]) =>
      Number(ratio),
    );
    const page = read('benchmarks.md');
    const printed = [
      'connections per second',
      'small objects as structured clones, one way',
      'trivial tasks in bursts',
    ].map((what) => {
      const [, ratio] = new RegExp(`^\\| ${what} +\\|[^\\n]*\\| × ([\\d.]+) `, 'm').exec(page) ?? [];
      // To as many digits as README.md has.
      return Number(Number(ratio).toPrecision(2));
    });
    assert.deepEqual(told, printed);
  });

  it('docs/README.md lists every page', () => {
    const index = read('README.md');
    for (const page of pages) assert.ok(page === 'README.md' || index.includes(`(${page})`), page);
  });
});
