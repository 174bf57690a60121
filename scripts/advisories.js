'use strict';

/** Fetches scripts/advisories.json from osv.dev, for the packages that the lock files have now. */

const fs = require('node:fs');
const { LIST, fetchList, lockedPackages, readList } = require('./lib/advisories');

async function main() {
  const list = await fetchList(lockedPackages(), readList().accepted);
  fs.writeFileSync(LIST, `${JSON.stringify(list, null, 2)}\n`);
  for (const [ecosystem, { packages, advisories }] of Object.entries(list.ecosystems)) {
    console.log(`${ecosystem}: ${advisories.length} advisories about ${packages.length} packages`);
  }
}

main().catch((error) => {
  console.error(`The list was left as it was: ${error.cause?.message ?? error.message}`);
  process.exitCode = 1;
});
