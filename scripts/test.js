'use strict';

/** Runs all checks of the repository, or those named. */

const { runChecks } = require('./lib/checks');
const { advisories } = require('./checks/advisories');
const { conformance } = require('./checks/conformance');
const { generated } = require('./checks/generated');
const { licences } = require('./checks/licences');
const { nodeTests, packageInstall, smoke } = require('./checks/node-tests');
const { lockFiles } = require('./checks/lock-files');
const { cargoTest, clippy, loom, loomModels } = require('./checks/rust');
const { eslint, prettier, rustfmt } = require('./checks/style');
const { types } = require('./checks/types');

runChecks(
  {
    prettier,
    rustfmt,
    eslint,
    types,
    licences,
    'lock-files': lockFiles,
    advisories,
    clippy,
    'cargo-test': cargoTest,
    ...(loomModels().length > 0 ? { loom } : {}),
    generated,
    node: nodeTests,
    smoke,
    install: packageInstall,
    conformance,
  },
  'node scripts/test.js',
);
