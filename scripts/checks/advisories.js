'use strict';

/** Checks the packages in the lock files for known vulnerabilities. */

const { compare, fetchList, isUnreachable, lockedPackages, readList } = require('../lib/advisories');
const { CheckError } = require('../lib/exec');

/** Ecosystems that the list in the repository does not cover. Fails once it does: then this is to be removed. */
const NOT_COVERED = ['npm'];
const REMEDY = '`node scripts/advisories.js` fetches the list';
/** The check warns of a list that is older. */
const OLD_AFTER_MONTHS = 6;

/**
 * @typedef {import('../lib/advisories').List} List
 * @typedef {import('../lib/advisories').Locked} Locked
 */

/**
 * @param {List} list
 * @param {object} [options]
 * @param {Locked[]} [options.packages]
 * @param {string[]} [options.notCovered] ecosystems that the list must not have; packages of all others must be in it
 * @param {Date} [options.now]
 */
function check(list, { packages = lockedPackages(), notCovered = NOT_COVERED, now = new Date() } = {}) {
  const { found, accepted, unknown } = compare(list, packages);
  for (const line of [...found, ...accepted]) console.log(line);
  const missing = unknown.filter(({ ecosystem }) => !notCovered.includes(ecosystem));
  const faults = missing.map(
    ({ ecosystem, name, version }) => `${ecosystem}: ${name} ${version} is not in the list`,
  );
  for (const ecosystem of notCovered.filter((name) => Object.hasOwn(list.ecosystems, name))) {
    faults.push(`${ecosystem} is in the list: remove it from NOT_COVERED`);
  }
  for (const id of Object.keys(list.accepted)) {
    if (!accepted.some((line) => line.includes(`${id},`))) {
      faults.push(`${id} is accepted but affects nothing`);
    }
  }
  const oldBefore = new Date(now);
  oldBefore.setUTCMonth(oldBefore.getUTCMonth() - OLD_AFTER_MONTHS);
  for (const [ecosystem, { updatedAt, advisories }] of Object.entries(list.ecosystems)) {
    console.log(`${ecosystem}: ${advisories.length} advisories, as of ${updatedAt}`);
    if (!(new Date(updatedAt) >= oldBefore)) {
      console.log(`WARNING: ${ecosystem}: the list is older than ${OLD_AFTER_MONTHS} months: ${REMEDY}`);
    }
  }
  for (const ecosystem of notCovered) {
    const { length } = unknown.filter((each) => each.ecosystem === ecosystem);
    console.log(`WARNING: ${ecosystem} is not in the list, ${length} packages go unchecked: ${REMEDY}`);
  }
  if (missing.length > 0) faults.push(REMEDY);
  if (found.length + faults.length > 0) {
    throw new CheckError([`${found.length} advisories:`, ...found, ...faults].join('\n'));
  }
  return { count: packages.length - unknown.length, unit: `of ${packages.length} locked packages` };
}

/** Compares with the list in the repository, without the network. */
const advisories = async () => check(readList());

/**
 * Compares with the database as it is today or, if that cannot be reached, with the list in the repository.
 * @param {string} [database] its address
 */
async function advisoriesOfToday(database) {
  const saved = readList();
  const packages = lockedPackages();
  let today;
  try {
    today = await fetchList(packages, saved.accepted, database);
  } catch (error) {
    if (!isUnreachable(error)) throw error;
    const { cause, message } = /** @type {Error & { cause?: Error }} */ (error);
    console.log(
      `The database cannot be reached (${cause?.message || message}): the list in the repository serves.`,
    );
    return check(saved, { packages });
  }
  return check(today, { packages, notCovered: [] });
}

module.exports.advisories = advisories;
module.exports.advisoriesOfToday = advisoriesOfToday;
module.exports.check = check;
