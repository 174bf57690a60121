'use strict';

/* piscina's own tests, as in its package, run against our class. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, test } = require('node:test');
const { prepare, runFile } = require('./support/piscina-suite');

/**
 * Tests that cannot pass, and why; one that does pass must be removed from the list. @type {Record<string, string>}
 */
const DIFFERENT = {
  'postTask() calls the correct async hooks': 'tasks are no async resources of their own (docs/pool.md)',
  'Exports match own property names':
    'the class has itself as `default`, as modules do that are compiled to CommonJS',
  'workers are marked as destroyed if destroyed':
    'a task that is aborted before a worker has begun it costs no worker',
  'workerCreate/workerDestroy should be emitted while managing worker lifecycle': 'as above',
  'Marking an object as movable works as expected': 'asks a module inside of piscina',
  'Using Piscina.move() returns a movable object': 'as above',
  'Using ArrayBuffer works as expected': 'as above',
  'Using TypedArray works as expected': 'as above',
  'Using MessagePort works as expected': 'as above',
};
/** Passes if the worker gets the next task before it ends; otherwise another worker gets that task, which succeeds. */
const BY_TIMING = new Set(['exiting process in immediate after task errors next task and resets worker']);
/** Number of test files in the published package. */
const FEWEST_FILES = 25;

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-piscina-'));
after(() => fs.rmSync(folder, { recursive: true }));

const files = prepare(folder);
const seen = new Set();

test("piscina's test files are found", () =>
  assert.ok(files.length >= FEWEST_FILES, `${files.length} files`));

for (const file of files) {
  test(file, { timeout: 200_000 }, async () => {
    const { passed, failed, output } = await runFile(folder, file);
    for (const name of [...passed, ...failed]) seen.add(name);
    const wrong = failed.filter((name) => !Object.hasOwn(DIFFERENT, name) && !BY_TIMING.has(name));
    assert.deepEqual(wrong, [], output);
    assert.ok(passed.length + failed.length > 0, output);
    const mended = passed.filter((name) => Object.hasOwn(DIFFERENT, name));
    assert.deepEqual(mended, [], 'listed as different but passing');
  });
}

test('every listed difference names an existing test', () => {
  const gone = Object.keys(DIFFERENT).filter((name) => !seen.has(name));
  assert.deepEqual(gone, []);
});
