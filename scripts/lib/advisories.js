'use strict';

/**
 * Known vulnerabilities of locked packages: a list of advisories, how it is made from the database of osv.dev, and
 * how it is compared with the lock files. Only making the list needs the network.
 */

const fs = require('node:fs');
const path = require('node:path');
const semver = require('semver');
const { ROOT } = require('./exec');

const LIST = path.join(ROOT, 'scripts', 'advisories.json');
const DATABASE = 'https://api.osv.dev';
/** Limit of the database for one request. */
const QUERIES_AT_ONCE = 1000;
const RECORDS_AT_ONCE = 8;
const TIMEOUT_MS = 30_000;

/**
 * @typedef {'crates.io' | 'npm'} Ecosystem as osv.dev spells it
 *
 * @typedef {object} Locked a package in a lock file
 * @property {Ecosystem} ecosystem
 * @property {string} name
 * @property {string} version
 *
 * @typedef {object} Range versions from `introduced` on, up to and without `fixed`, or with `lastAffected`
 * @property {string} introduced '0': from the first version on
 * @property {string} [fixed]
 * @property {string} [lastAffected]
 *
 * @typedef {object} Advisory
 * @property {string} id
 * @property {string} name of the package
 * @property {string} summary
 * @property {Range[]} ranges
 * @property {string[]} [versions] affected in addition to the ranges
 *
 * @typedef {object} EcosystemList
 * @property {string} updatedAt an ISO date; later advisories are not in the list
 * @property {string[]} packages that were looked up, also those without advisories
 * @property {Advisory[]} advisories
 *
 * @typedef {object} List
 * @property {Record<string, string>} accepted advisories by id, each with the reason why it may stand
 * @property {Partial<Record<Ecosystem, EcosystemList>>} ecosystems
 */

/** @returns {List} */
const readList = () => JSON.parse(fs.readFileSync(LIST, 'utf8'));

/**
 * Returns the packages in a lock file of npm.
 * @param {string} text
 * @returns {Locked[]}
 */
function lockedByNpm(text) {
  return Object.entries(JSON.parse(text).packages)
    .filter(([place, { link }]) => place !== '' && !link)
    .map(([place, { name, version }]) => ({
      ecosystem: 'npm',
      // An alias is installed under a name other than its own.
      name: name ?? place.replace(/^.*node_modules\//, ''),
      version,
    }));
}

/**
 * Returns the packages in a lock file of cargo, without those of the workspace.
 * @param {string} text
 * @returns {Locked[]}
 */
function lockedByCargo(text) {
  const entry = /^\[\[package\]\]\nname = "(.+)"\nversion = "(.+)"\nsource = /gm;
  return [...text.matchAll(entry)].map(([, name, version]) => ({ ecosystem: 'crates.io', name, version }));
}

/** Returns the packages in all lock files of the repository, each version once. */
function lockedPackages() {
  const read = (/** @type {string} */ name) => fs.readFileSync(path.join(ROOT, name), 'utf8');
  const all = [
    ...lockedByNpm(read('package-lock.json')),
    ...lockedByCargo(read('Cargo.lock')),
    ...lockedByCargo(read('fuzz/Cargo.lock')),
  ];
  return [...new Map(all.map((each) => [`${each.ecosystem} ${each.name} ${each.version}`, each])).values()];
}

/**
 * @param {string} version
 * @param {Range[]} ranges
 */
function isWithin(version, ranges) {
  // The database also lists versions of before semantic versioning, which are in no range.
  if (semver.valid(version) === null) return false;
  return ranges.some(
    ({ introduced, fixed, lastAffected }) =>
      (introduced === '0' || semver.gte(version, introduced)) &&
      (fixed === undefined || semver.lt(version, fixed)) &&
      (lastAffected === undefined || semver.lte(version, lastAffected)),
  );
}

/**
 * @param {string} version
 * @param {Advisory} advisory
 */
function affects(version, { ranges, versions = [] }) {
  return versions.includes(version) || isWithin(version, ranges);
}

/**
 * Compares packages with a list.
 * @param {List} list
 * @param {Locked[]} packages
 * @returns {{ found: string[], accepted: string[], unknown: Locked[] }} advisories that affect a package, those that
 *   are accepted, and packages that were not looked up when the list was made
 */
function compare(list, packages) {
  const found = [];
  const accepted = [];
  const unknown = [];
  for (const locked of packages) {
    const known = list.ecosystems[locked.ecosystem];
    if (!known?.packages.includes(locked.name)) {
      unknown.push(locked);
      continue;
    }
    for (const advisory of known.advisories) {
      if (advisory.name !== locked.name || !affects(locked.version, advisory)) continue;
      const line = `${locked.name} ${locked.version}: ${advisory.id}, ${advisory.summary}`;
      const reason = list.accepted[advisory.id];
      if (reason === undefined) found.push(line);
      else accepted.push(`${line} (accepted: ${reason})`);
    }
  }
  return { found, accepted, unknown };
}

/** Kinds of events of a range, in the order in which those of one version count. */
const EVENTS = /** @type {const} */ (['fixed', 'introduced', 'last_affected']);

/**
 * Compares versions; '0' precedes all.
 * @param {string} a
 * @param {string} b
 */
function compareVersions(a, b) {
  if (a === '0' || b === '0') return Number(b === '0') - Number(a === '0');
  return semver.compare(a, b);
}

/**
 * Converts a range of the database.
 * @param {Partial<Record<typeof EVENTS[number], string>>[]} events in any order
 * @returns {Range[]}
 */
function rangesOf(events) {
  const inOrder = EVENTS.flatMap((kind) =>
    events.flatMap(({ [kind]: version }) => (version === undefined ? [] : { kind, version })),
  ).sort((a, b) => compareVersions(a.version, b.version));
  /** @type {Range[]} */
  const ranges = [];
  /** @type {Range | null} */
  let open = null;
  for (const { kind, version } of inOrder) {
    if (kind === 'introduced') {
      if (open === null) ranges.push((open = { introduced: version }));
    } else if (open !== null) {
      open[kind === 'fixed' ? 'fixed' : 'lastAffected'] = version;
      open = null;
    }
  }
  return ranges;
}

/**
 * Converts a record of the database.
 * @param {any} record
 * @param {Ecosystem} ecosystem
 * @param {Set<string>} names packages that matter
 * @returns {Advisory[]} one for each of them that it affects
 */
function advisoriesOf(record, ecosystem, names) {
  if (record.withdrawn) return [];
  return (record.affected ?? [])
    .filter((/** @type {any} */ { package: of }) => of?.ecosystem === ecosystem && names.has(of.name))
    .map((/** @type {any} */ { package: { name }, ranges = [], versions = [] }) => {
      const converted = ranges
        .filter((/** @type {any} */ { type }) => type === 'SEMVER' || type === 'ECOSYSTEM')
        .flatMap((/** @type {any} */ { events }) => rangesOf(events));
      const others = versions.filter((/** @type {string} */ version) => !isWithin(version, converted));
      return {
        id: record.id,
        name,
        summary: record.summary ?? record.details?.split('\n')[0] ?? '',
        ranges: converted,
        ...(others.length > 0 ? { versions: others } : {}),
      };
    });
}

/**
 * Fetches a list.
 * @param {Locked[]} packages
 * @param {Record<string, string>} accepted
 * @param {string} [database] its address
 * @returns {Promise<List>}
 * @throws if the database cannot be reached, see {@link isUnreachable}, or gives no usable answer
 */
async function fetchList(packages, accepted, database = DATABASE) {
  /**
   * @param {string} where
   * @param {unknown} body sent if it is not undefined
   * @returns {Promise<any>}
   */
  const ask = async (where, body) => {
    const response = await fetch(`${database}${where}`, {
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) throw new Error(`${where}: HTTP ${response.status}`);
    return response.json();
  };

  /**
   * Returns the ids of all records about packages.
   * @param {{ package: { name: string, ecosystem: Ecosystem }, page_token?: string }[]} queries
   * @returns {Promise<string[]>}
   */
  const idsOf = async (queries) => {
    const ids = [];
    for (let at = 0; at < queries.length; at += QUERIES_AT_ONCE) {
      const some = queries.slice(at, at + QUERIES_AT_ONCE);
      const { results } = await ask('/v1/querybatch', { queries: some });
      if (results.length !== some.length) {
        throw new Error('/v1/querybatch: an answer for each query is missing');
      }
      const more = [];
      for (const [index, { vulns = [], next_page_token: token }] of results.entries()) {
        ids.push(...vulns.map((/** @type {{ id: string }} */ { id }) => id));
        if (token) more.push({ ...some[index], page_token: token });
      }
      ids.push(...(await idsOf(more)));
    }
    return ids;
  };

  /** @type {List} */
  const list = { accepted, ecosystems: {} };
  const updatedAt = new Date().toISOString().slice(0, 10);
  for (const ecosystem of /** @type {const} */ (['crates.io', 'npm'])) {
    const names = new Set(packages.filter((each) => each.ecosystem === ecosystem).map(({ name }) => name));
    const ids = [...new Set(await idsOf([...names].map((name) => ({ package: { name, ecosystem } }))))];
    const advisories = [];
    for (let at = 0; at < ids.length; at += RECORDS_AT_ONCE) {
      const some = ids.slice(at, at + RECORDS_AT_ONCE);
      const records = await Promise.all(
        some.map((id) => ask(`/v1/vulns/${encodeURIComponent(id)}`, undefined)),
      );
      advisories.push(...records.flatMap((record) => advisoriesOf(record, ecosystem, names)));
    }
    advisories.sort((a, b) => `${a.name} ${a.id}`.localeCompare(`${b.name} ${b.id}`, 'en'));
    list.ecosystems[ecosystem] = { updatedAt, packages: [...names].sort(), advisories };
  }
  return list;
}

/**
 * Whether `fetchList` has failed because the network or the database could not be reached in time.
 * @param {unknown} error
 */
function isUnreachable(error) {
  if (!(error instanceof Error)) return false;
  return (
    error.name === 'TimeoutError' ||
    /** @type {{ code?: unknown } | undefined} */ (error.cause)?.code !== undefined
  );
}

module.exports.LIST = LIST;
module.exports.compare = compare;
module.exports.fetchList = fetchList;
module.exports.isUnreachable = isUnreachable;
module.exports.lockedByCargo = lockedByCargo;
module.exports.lockedByNpm = lockedByNpm;
module.exports.lockedPackages = lockedPackages;
module.exports.readList = readList;
