'use strict';

/** Checks the packages in the lock files for known vulnerabilities. */

const { compare, fetchList, lockedPackages, readList } = require('../lib/advisories');
const { CheckError } = require('../lib/exec');

/** @typedef {import('../lib/advisories').List} List */

/** @param {List} list */
function check(list) {
  const packages = lockedPackages();
  const { found, accepted, unknown } = compare(list, packages);
  for (const line of [...found, ...accepted]) console.log(line);
  for (const id of Object.keys(list.accepted)) {
    if (!accepted.some((line) => line.includes(`${id},`))) {
      found.push(`${id} is accepted but affects nothing`);
    }
  }
  for (const [ecosystem, { updatedAt, advisories }] of Object.entries(list.ecosystems)) {
    console.log(`${ecosystem}: ${advisories.length} advisories, as of ${updatedAt}`);
  }
  if (unknown.length > 0) {
    console.log(
      `not looked up when the list was made: ${unknown.length} of ${packages.length} packages ` +
        '(`node scripts/advisories.js` does that, with the network)',
    );
  }
  if (found.length > 0) throw new CheckError(`${found.length} advisories:\n${found.join('\n')}`);
  return { count: packages.length - unknown.length, unit: `of ${packages.length} locked packages` };
}

/** Compares with the list in the repository, without the network. */
const advisories = async () => check(readList());

/** Compares with the database as it is today or, if that cannot be reached, with the list in the repository. */
async function advisoriesOfToday() {
  const saved = readList();
  let list = saved;
  try {
    list = await fetchList(lockedPackages(), saved.accepted);
  } catch (error) {
    const { cause, message } = /** @type {Error & { cause?: Error }} */ (error);
    console.log(
      `The database cannot be asked (${cause?.message ?? message}): the list in the repository serves.`,
    );
  }
  return check(list);
}

module.exports.advisories = advisories;
module.exports.advisoriesOfToday = advisoriesOfToday;
