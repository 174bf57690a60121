'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { describe, it } = require('node:test');

const { ROOT } = require('./package-helpers');

/*
 * The options that the library accepts, those in the types and those in the documentation are the same.
 */

/** @param {string[]} parts */
const read = (...parts) => fs.readFileSync(path.join(ROOT, ...parts), 'utf8');

/**
 * @typedef {object} Bag options of something
 * @property {string} page of the documentation
 * @property {string[]} [types] interfaces that have them
 * @property {string[]} [inline] those that are declared with the method
 * @property {string[]} [hidden] accepted without being documented
 */

const OPEN = 'SharedOpenOptions';
/** By the name in the warning of `OptionNames`, and the file if there are several. @type {Record<string, Bag>} */
const BAGS = {
  RateLimiter: { page: 'shared', types: ['RateLimiterOptions', OPEN] },
  SharedArray: { page: 'shared', types: ['SharedArrayOptions', OPEN] },
  SharedBuffer: { page: 'shared', types: ['SharedBufferOptions', OPEN] },
  SharedCounter: { page: 'shared', types: ['SharedCounterOptions', OPEN] },
  SharedHistogram: { page: 'shared', types: ['SharedHistogramOptions', OPEN] },
  SharedMap: { page: 'shared', types: ['SharedMapOptions', OPEN] },
  'A change of a SharedMap': { page: 'shared', types: ['SharedSetOptions'] },
  Channel: { page: 'shared', types: ['ChannelOptions', OPEN] },
  Topic: { page: 'shared', types: ['TopicOptions', OPEN] },
  'subscribe()': { page: 'shared', inline: ['from'] },
  'Sending and receiving': { page: 'shared', types: ['SharedWaitOptions'] },
  Blocking: { page: 'shared', types: ['SharedBlockOptions'] },
  'shared.unlink()': { page: 'shared', inline: ['scope'] },
  'A lock': { page: 'locks', types: ['LockOpenOptions'] },
  'A request for a lock lib/locks/options.js': { page: 'locks', types: ['LockWaitOptions'] },
  'A request for a lock lib/locks/manager.js': { page: 'locks', types: ['LockRequestOptions'] },
  'waitForAsync()': { page: 'locks', inline: ['signal'] },
  LockManager: { page: 'locks', inline: ['scope', 'namespace'] },
  'A request': { page: 'requests', types: ['RequestOptions'] },
  BroadcastChannel: { page: 'broadcast', types: ['BroadcastChannelOptions'] },
  'configureLink()': { page: 'messages', types: ['LinkOptions'] },
  'configureLinks()': { page: 'messages', types: ['LinksOptions'] },
  Pool: {
    page: 'pool',
    types: ['PoolOptions'],
    // Options of other pools that have no effect here.
    hidden: ['serialization', 'useAtomics', 'workerOpts'],
  },
  'A task': {
    page: 'pool',
    types: ['RunOptions', 'MapOptions'],
    inline: ['on', 'transfer', 'onResult'],
    // Those between methods, and tinypool's `runtime`.
    hidden: ['isForced', 'place', 'runtime'],
  },
  'cluster.setupPrimary()': {
    page: 'cluster',
    types: ['PrimarySettings'],
    // Node's.
    hidden: [
      ...['args', 'cwd', 'exec', 'execArgv', 'gid', 'inspectPort', 'serialization', 'silent', 'stdio', 'uid'],
      'windowsHide',
    ],
  },
};

/** Headings of the first column of tables of options. */
const HEADINGS = ['option', 'option of a task', 'tasks', 'workers'];

/** Names in quotes. @param {string} text */
const quoted = (text) => [...text.matchAll(/'(\w+)'/g)].map(([, name]) => name);

/** Files of the library, generated ones left out. @returns {string[]} */
function libraryFiles() {
  return fs
    .readdirSync(path.join(ROOT, 'lib'), { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.js') && !name.startsWith('native'))
    .map((name) => path.posix.join('lib', name.replaceAll(path.sep, '/')));
}

/** Accepted options, by the key of `BAGS`. @returns {Map<string, string[]>} */
function accepted() {
  const found = [];
  for (const file of libraryFiles()) {
    const text = read(file);
    for (const [, owner, names] of text.matchAll(/new OptionNames\(\s*'([^']+)',\s*(\[[^;]*?\])\)/g)) {
      found.push({ owner, file, names: quoted(names) });
    }
    for (const [, owner, names] of text.matchAll(/[. ]optionNames\(\s*'([^']+)',([^;]*?)\)/g)) {
      found.push({ owner, file, names: [...quoted(names), 'create', 'scope'] });
    }
    for (const [, owner, names] of text.matchAll(/^ {2}(configureLinks?): (\[.*\]),$/gm)) {
      found.push({ owner: `${owner}()`, file, names: quoted(names) });
    }
  }
  const { NAMES } = require('../lib/pool/options');
  found.push({ owner: 'Pool', file: 'lib/pool/options.js', names: [...NAMES] });
  return new Map(
    found.map(({ owner, file, names }) => {
      const isShared = found.filter((each) => each.owner === owner).length > 1;
      return [isShared ? `${owner} ${file}` : owner, names];
    }),
  );
}

const TYPES = ['index.d.ts', ...fs.readdirSync(path.join(ROOT, 'types')).map((name) => `types/${name}`)]
  .map((name) => read(name))
  .join('\n');

/** Properties of an interface and of those that it extends. @param {string} name @returns {string[]} */
function propertiesOf(name) {
  const found = new RegExp(`^export interface ${name}( extends [^{]*)? \\{\\n([^]*?)^\\}`, 'm').exec(TYPES);
  assert.ok(found, `no interface ${name}`);
  const [, bases = '', body] = found;
  const inherited = [...bases.matchAll(/\b(\w+Options)\b/g)].flatMap(([, base]) => propertiesOf(base));
  return [...inherited, ...[...body.matchAll(/^ {2}(\w+)\??:/gm)].map(([, property]) => property)];
}

/** Names in code of a page. @param {string} page */
function namesIn(page) {
  const text = read('docs', `${page}.md`);
  const code = [...text.matchAll(/```[^]*?```|`[^`]+`/g)].join('\n');
  return new Set(code.match(/\w+/g));
}

/** First cells of the tables of options of a page, taken apart. @param {string} page */
function tabled(page) {
  const names = [];
  let isTable = false;
  for (const line of read('docs', `${page}.md`).split('\n')) {
    if (!line.startsWith('|')) {
      isTable = false;
      continue;
    }
    const first = line.split('|')[1].trim();
    if (HEADINGS.includes(first)) isTable = true;
    else if (isTable) names.push(...[...first.matchAll(/`(\w+)`/g)].map(([, name]) => name));
  }
  return names;
}

const sorted = (/** @type {Iterable<string>} */ names) => [...new Set(names)].sort();

describe('options', () => {
  const known = accepted();

  it('are known here', () => assert.deepEqual(sorted(known.keys()), sorted(Object.keys(BAGS))));

  for (const [owner, { page, types = [], inline = [], hidden = [] }] of Object.entries(BAGS)) {
    const shown = () => (known.get(owner) ?? []).filter((name) => !hidden.includes(name));

    it(`${owner}: the types have those that are accepted`, () => {
      for (const name of inline) assert.match(TYPES, new RegExp(`[{ ]${name}\\?: `), name);
      assert.deepEqual(sorted([...types.flatMap(propertiesOf), ...inline]), sorted(shown()));
    });

    it(`${owner}: docs/${page}.md has those that are accepted`, () => {
      const names = namesIn(page);
      assert.deepEqual(
        shown().filter((name) => !names.has(name)),
        [],
      );
    });
  }

  for (const page of new Set(Object.values(BAGS).map((bag) => bag.page))) {
    it(`docs/${page}.md has no other in its tables`, () => {
      const owners = Object.keys(BAGS).filter((owner) => BAGS[owner].page === page);
      const all = owners.flatMap((owner) => known.get(owner) ?? []);
      assert.deepEqual(
        tabled(page).filter((name) => !all.includes(name)),
        [],
      );
    });
  }

  it('were found in tables', () => {
    const counts = ['pool', 'shared'].map((page) => tabled(page).length);
    assert.ok(
      counts.every((count) => count > 15),
      `${counts}`,
    );
  });
});
