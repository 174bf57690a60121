'use strict';

/**
 * Checks that take too long for every change, or need uncommon tools: sanitizers, fuzzing, the soak test, longer
 * chaos tests, life cycles of thousands of workers, Node's thread tests with lanes from the start, advisories
 * as of today. Requires nightly Rust and, for `fuzz` and `deny`, cargo-fuzz and cargo-deny.
 *
 *   MANYCORE_FUZZ_SECONDS    for each target (60)
 *   MANYCORE_FUZZ_RUNS       for each property of `codec` (300000)
 *   MANYCORE_CHAOS_TIMES     as long as in all tests (5)
 *   MANYCORE_SOAK_MINUTES    (10)
 *   MANYCORE_LIFE_WORKERS    (2000)
 */

const { runChecks } = require('./lib/checks');
const { advisoriesOfToday } = require('./checks/advisories');
const { lanes } = require('./checks/conformance');
const { asan, chaos, codec, deny, fuzz, life, soak } = require('./checks/nightly');

const checks = { asan, fuzz, codec, soak, chaos, life, lanes, advisories: advisoriesOfToday, deny };
runChecks(checks, 'node scripts/nightly.js');
