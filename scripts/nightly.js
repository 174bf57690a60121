'use strict';

/**
 * What takes too long, or tools too rare, for every change: sanitizers, fuzzing, the soak, advisories. Needs nightly
 * Rust and, for `fuzz` and `advisories`, cargo-fuzz and cargo-deny.
 *
 *   MANYCORE_FUZZ_SECONDS    for each target (60)
 *   MANYCORE_SOAK_MINUTES    (10)
 */

const { runChecks } = require('./lib/checks');
const { advisories, asan, fuzz, soak } = require('./checks/nightly');

runChecks({ asan, fuzz, soak, advisories }, 'node scripts/nightly.js');
