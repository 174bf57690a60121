'use strict';

const { mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');

/**
 * A folder of the test's own, and a task's way to wait: for a file in it.
 * @param {import('node:test').TestContext} t
 */
function makeGate(t) {
  const folder = mkdtempSync(path.join(tmpdir(), 'manycore-pool-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'go');
  return { folder, file, open: () => writeFileSync(file, '') };
}

/** A promise, and `onProgress` that resolves it: a task has begun. */
function begun() {
  /** @type {(value?: any) => void} */
  let onProgress = () => {};
  const promise = new Promise((resolve) => (onProgress = resolve));
  return { promise, onProgress };
}

module.exports.makeGate = makeGate;
module.exports.begun = begun;
