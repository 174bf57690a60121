'use strict';

/* The check of locked packages for known vulnerabilities, against a database of its own. */

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const { json } = require('node:stream/consumers');
const { describe, it } = require('node:test');
const { advisoriesOfToday, check } = require('../scripts/checks/advisories');
const {
  compare,
  fetchList,
  isUnreachable,
  lockedByCargo,
  lockedByNpm,
  lockedPackages,
} = require('../scripts/lib/advisories');

/** @typedef {import('../scripts/lib/advisories').Ecosystem} Ecosystem */

/**
 * @param {string} name
 * @param {string} version
 * @param {Ecosystem} [ecosystem]
 */
const locked = (name, version, ecosystem = 'npm') => ({ ecosystem, name, version });

/**
 * @param {string} id
 * @param {string} name
 * @param {any} affected
 * @param {any} [more]
 */
const record = (id, name, affected, more = {}) => ({
  id,
  summary: `about ${name}`,
  affected: [{ package: { ecosystem: 'npm', name }, ...affected }],
  ...more,
});

/** @param {any[]} events */
const range = (...events) => ({ ranges: [{ type: 'SEMVER', events }] });

const RECORDS = [
  record(
    'A-1',
    'a',
    range({ introduced: '0' }, { fixed: '1.2.0' }, { introduced: '2.0.0' }, { fixed: '2.0.3' }),
  ),
  record('A-2', 'a', range({ introduced: '1.0.0' }, { last_affected: '1.4.0' })),
  record('A-3', 'a', range({ introduced: '0' }), { withdrawn: '2026-01-01T00:00:00Z' }),
  record('B-1', 'b', { versions: ['1.0.1'] }),
  record('D-1', 'd', {
    ...range(
      { fixed: '3.0.0' },
      { introduced: '2.0.0' },
      { last_affected: '1.0.0' },
      { introduced: '1.0.0' },
      { introduced: '2.5.0' },
      { fixed: '3.5.0' },
    ),
    versions: ['0.1.0', '1.0.0', '2.4.0', '2012-preview'],
  }),
  { id: 'D-2', summary: 'about nothing' },
  { id: 'D-3', summary: 'about commits', affected: [{ ranges: [{ type: 'GIT', events: [] }] }] },
  record('C-1', 'another', range({ introduced: '0' })),
];

/**
 * @param {import('node:test').TestContext} t
 * @param {http.RequestListener} listener
 * @returns {Promise<string>} address of a server that ends with the test
 */
async function serve(t, listener) {
  const server = http.createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (server.address()).port}`;
}

/**
 * Starts a database that gives one id at a time, and the next one for a token.
 * @param {import('node:test').TestContext} t
 */
const startDatabase = (t) =>
  serve(t, async (request, response) => {
    const url = /** @type {string} */ (request.url);
    if (url.startsWith('/v1/vulns/')) {
      response.end(JSON.stringify(RECORDS.find(({ id }) => url.endsWith(`/${id}`))));
      return;
    }
    const { queries } = /** @type {any} */ (await json(request));
    const results = queries.map(
      (/** @type {any} */ { package: { name, ecosystem }, page_token: token = '0' }) => {
        const about =
          ecosystem === 'npm' ? RECORDS.filter(({ id }) => id.startsWith(name.toUpperCase())) : [];
        const at = Number(token);
        return {
          ...(about[at] ? { vulns: [{ id: about[at].id }] } : {}),
          ...(about[at + 1] ? { next_page_token: `${at + 1}` } : {}),
        };
      },
    );
    response.end(JSON.stringify({ results }));
  });

describe('advisories', () => {
  it('of the database are found for the versions they affect, and for no others', async (t) => {
    const packages = [locked('a', '1.1.0'), locked('b', '1.0.1'), locked('c', '1.0.0')];
    const list = await fetchList(packages, {}, await startDatabase(t));
    assert.deepEqual(list.ecosystems.npm?.packages, ['a', 'b', 'c']);
    assert.deepEqual(
      list.ecosystems.npm?.advisories.map(({ id }) => id),
      ['A-1', 'A-2', 'B-1'],
    );
    const idsFor = (/** @type {string} */ name, /** @type {string} */ version) =>
      compare(list, [locked(name, version)]).found.map((line) => line.match(/[A-Z]-\d/)?.[0]);
    assert.deepEqual(idsFor('a', '0.9.0'), ['A-1']);
    assert.deepEqual(idsFor('a', '1.1.9'), ['A-1', 'A-2']);
    assert.deepEqual(idsFor('a', '1.4.0'), ['A-2']);
    assert.deepEqual(idsFor('a', '1.4.1'), []);
    assert.deepEqual(idsFor('a', '2.0.2'), ['A-1']);
    assert.deepEqual(idsFor('a', '2.0.3'), []);
    assert.deepEqual(idsFor('b', '1.0.1'), ['B-1']);
    assert.deepEqual(idsFor('b', '1.0.2'), []);
    assert.deepEqual(idsFor('c', '1.0.0'), []);
  });

  it('that are accepted are not found, but told with the reason', async (t) => {
    const packages = [locked('b', '1.0.1')];
    const list = await fetchList(packages, { 'B-1': 'not called' }, await startDatabase(t));
    assert.deepEqual(compare(list, packages), {
      found: [],
      accepted: ['b 1.0.1: B-1, about b (accepted: not called)'],
      unknown: [],
    });
  });

  it('cannot be known of packages that were not looked up', async (t) => {
    const list = await fetchList([locked('a', '3.0.0')], {}, await startDatabase(t));
    const others = [locked('b', '1.0.1'), locked('a', '1.0.0', 'crates.io')];
    assert.deepEqual(compare(list, [locked('a', '3.0.0'), ...others]).unknown, others);
  });

  it('may have ranges in any order, and affect versions beside them', async (t) => {
    const packages = [locked('d', '1.0.0')];
    const list = await fetchList(packages, {}, await startDatabase(t));
    assert.deepEqual(list.ecosystems.npm?.advisories, [
      {
        id: 'D-1',
        name: 'd',
        summary: 'about d',
        ranges: [
          { introduced: '1.0.0', lastAffected: '1.0.0' },
          { introduced: '2.0.0', fixed: '3.0.0' },
        ],
        versions: ['0.1.0', '2012-preview'],
      },
    ]);
    const affected = ['0.1.0', '0.2.0', '1.0.0', '1.0.1', '2.0.0', '2.6.0', '3.0.0'].filter(
      (version) => compare(list, [locked('d', version)]).found.length > 0,
    );
    assert.deepEqual(affected, ['0.1.0', '1.0.0', '2.0.0', '2.6.0']);
  });

  it('are not fetched from a database that fails', async (t) => {
    const address = await serve(t, (request, response) => response.writeHead(500).end());
    await assert.rejects(fetchList([locked('a', '1.0.0')], {}, address), /HTTP 500/);
  });
});

describe('the check of advisories', () => {
  const now = new Date('2026-07-01');
  /**
   * @param {import('node:test').TestContext} t
   * @param {() => unknown} run
   * @returns {Promise<string>} what it prints meanwhile
   */
  async function printed(t, run) {
    const log = t.mock.method(console, 'log', () => {});
    try {
      await run();
      return log.mock.calls.map((call) => call.arguments.join(' ')).join('\n');
    } finally {
      log.mock.restore();
    }
  }
  /** @param {string} [updatedAt] @returns {import('../scripts/lib/advisories').List} */
  const listOf = (updatedAt = '2026-06-01') => ({
    accepted: {},
    ecosystems: { 'crates.io': { updatedAt, packages: ['a'], advisories: [] } },
  });
  const crate = locked('a', '1.0.0', 'crates.io');

  it('fails for a package that was not looked up', async (t) => {
    const packages = [crate, locked('new', '1.0.0', 'crates.io')];
    await printed(t, () => {
      const run = () => check(listOf(), { packages, notCovered: [], now });
      assert.throws(run, /crates\.io: new 1\.0\.0 is not in the list/);
    });
  });

  it('fails for an ecosystem that is missing, unless it is named; and if it is named but there', async (t) => {
    const packages = [crate, locked('b', '1.0.0')];
    const text = await printed(t, () => {
      assert.throws(
        () => check(listOf(), { packages, notCovered: [], now }),
        /npm: b 1\.0\.0 is not in the list/,
      );
      assert.equal(check(listOf(), { packages, notCovered: ['npm'], now }).count, 1);
      assert.throws(
        () => check(listOf(), { packages, notCovered: ['npm', 'crates.io'], now }),
        /crates\.io is in the list: remove it/,
      );
    });
    assert.match(text, /WARNING: npm is not in the list, 1 packages go unchecked/);
  });

  it('warns of a list that is older than six months', async (t) => {
    const run = (/** @type {string} */ updatedAt) =>
      printed(t, () => check(listOf(updatedAt), { packages: [crate], notCovered: [], now }));
    assert.doesNotMatch(await run('2026-01-01'), /WARNING/);
    assert.match(await run('2025-12-31'), /WARNING: crates\.io: the list is older than 6 months/);
  });

  it('uses the list in the repository only if the database cannot be reached', async (t) => {
    const server = http.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    await once(server.close(), 'close');
    const text = await printed(t, () => advisoriesOfToday(`http://127.0.0.1:${port}`));
    assert.match(text, /The database cannot be reached .*: the list in the repository serves/);

    const failing = await serve(t, (request, response) => response.writeHead(500).end());
    await printed(t, () => assert.rejects(advisoriesOfToday(failing), /HTTP 500/));
    const odd = await serve(t, (request, response) => response.end('{}'));
    await printed(t, () => assert.rejects(advisoriesOfToday(odd), TypeError));
  });

  it('takes a database that does not answer in time for one that cannot be reached', async (t) => {
    const silent = await serve(t, () => {});
    const error = await fetch(silent, { signal: AbortSignal.timeout(1) }).catch((reason) => reason);
    assert.ok(isUnreachable(error));
    assert.ok(!isUnreachable(new TypeError('not a function')));
  });
});

describe('locked packages', () => {
  it('of npm go by their own names, without the package itself and links', () => {
    const packages = {
      '': { version: '1.0.0' },
      'node_modules/a': { version: '1.0.0' },
      'node_modules/a/node_modules/@x/b': { version: '2.0.0' },
      'node_modules/alias': { name: 'real', version: '3.0.0' },
      'node_modules/linked': { link: true },
    };
    assert.deepEqual(lockedByNpm(JSON.stringify({ packages })), [
      locked('a', '1.0.0'),
      locked('@x/b', '2.0.0'),
      locked('real', '3.0.0'),
    ]);
  });

  it('of cargo are those with a source', () => {
    const text = [
      '[[package]]\nname = "own"\nversion = "0.1.0"\n',
      '[[package]]\nname = "a"\nversion = "1.0.0"\nsource = "registry"\n',
    ].join('\n');
    assert.deepEqual(lockedByCargo(text), [locked('a', '1.0.0', 'crates.io')]);
  });

  it('of the repository come from all lock files', () => {
    const names = new Set(lockedPackages().map(({ name }) => name));
    for (const name of ['eslint', 'napi', 'libfuzzer-sys']) assert.ok(names.has(name), name);
  });
});
