'use strict';

const { mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');

/**
 * Creates a temporary folder, and a file in it that tasks wait for.
 * @param {import('node:test').TestContext} t
 */
function makeGate(t) {
  const folder = mkdtempSync(path.join(tmpdir(), 'manycore-pool-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'go');
  return { folder, file, open: () => writeFileSync(file, '') };
}

/** Returns a promise that is resolved when a task has started, and the `onProgress` that resolves it. */
function begun() {
  /** @type {(value?: any) => void} */
  let onProgress = () => {};
  const promise = new Promise((resolve) => (onProgress = resolve));
  return { promise, onProgress };
}

module.exports.makeGate = makeGate;
module.exports.begun = begun;
