'use strict';

const assert = require('node:assert/strict');
const nodeCluster = require('node:cluster');
const test = require('node:test');
const nodeThreads = require('node:worker_threads');
const { runOk } = require('./package-helpers');

const THREAD_NAMES = Object.keys(nodeThreads);
// An event emitter's own fields, and members that depend on the role of the process, are not part of the API.
const CLUSTER_NAMES = Object.keys(nodeCluster).filter((name) => !name.startsWith('_'));

/** Runs an ES module in this repository, where the package can import itself by name. */
const runModule = (source) => runOk(process.execPath, ['--input-type=module', '--eval', source]);

/** A module that imports the names statically and compares each with that of require(). */
const importing = (names, specifier) => `
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';
import { ${names.map((name, index) => `${name} as v${index}`).join(', ')} } from '${specifier}';
const required = createRequire(process.cwd() + '/x.js')('${specifier}');
${names.map((name, index) => `assert.equal(v${index}, required.${name}, '${name}');`).join('\n')}
console.log('compared', ${names.length});
`;

test('require() returns cluster and all of worker_threads', () => {
  const manycore = require('manycore');
  assert.equal(manycore.cluster, require('manycore/cluster'));
  const threads = require('manycore/worker_threads');
  for (const name of THREAD_NAMES) {
    assert.ok(name in threads, `manycore/worker_threads lacks ${name}`);
    assert.ok(name in manycore, `manycore lacks ${name}`);
    if (name !== 'locks') assert.equal(manycore[name], threads[name], name);
  }
  for (const name of CLUSTER_NAMES) assert.ok(name in manycore.cluster, `cluster lacks ${name}`);
});

test("exports newer Node versions' names when manycore can implement them", () => {
  const manycore = require('manycore');
  for (const name of ['isInternalThread', 'isMarkedAsUntransferable', 'markAsUncloneable', 'threadName']) {
    assert.notEqual(manycore[name], undefined, name);
  }
});

test("locks is manycore's own on every Node version", () => {
  const { LockManager, locks } = require('manycore');
  assert.ok(locks instanceof LockManager);
});

test('exports can be replaced, for example by test doubles', async () => {
  const script = `
    const manycore = require('manycore');
    const descriptor = Object.getOwnPropertyDescriptor(manycore, 'Worker');
    Object.defineProperty(manycore, 'Worker', { ...descriptor, get: () => 'double' });
    console.log(manycore.Worker);`;
  assert.equal((await runOk(process.execPath, ['-e', script])).trim(), 'double');
});

test('require() loads only the entry point until an export is used', async () => {
  const script = `
    require('manycore');
    const first = Object.keys(require.cache).length;
    require('manycore').cluster;
    console.log(first, Object.keys(require.cache).length > first);`;
  assert.equal((await runOk(process.execPath, ['-e', script])).trim(), '1 true');
});

test('named imports work for every name that require() returns', async () => {
  const names = Object.keys(require('manycore'));
  for (const name of ['cluster', 'linkDrained', ...THREAD_NAMES]) assert.ok(names.includes(name), name);
  assert.equal((await runModule(importing(names, 'manycore'))).trim(), `compared ${names.length}`);
});

test('named imports work from manycore/worker_threads', async () => {
  const stdout = await runModule(importing(THREAD_NAMES, 'manycore/worker_threads'));
  assert.equal(stdout.trim(), `compared ${THREAD_NAMES.length}`);
});

test('named imports work from manycore/cluster', async () => {
  const stdout = await runModule(importing(CLUSTER_NAMES, 'manycore/cluster'));
  assert.equal(stdout.trim(), `compared ${CLUSTER_NAMES.length}`);
});

test('importing names that only newer Node versions have does not fail', async () => {
  const source = `import { locks, threadName } from 'manycore/worker_threads'; console.log('imported', typeof threadName);`;
  assert.equal((await runModule(source)).trim(), 'imported string');
});

test('the default import equals the result of require()', async () => {
  const source = `
    import { createRequire } from 'node:module';
    import manycore from 'manycore';
    import cluster from 'manycore/cluster';
    const require = createRequire(process.cwd() + '/x.js');
    console.log(manycore === require('manycore'), cluster === require('manycore/cluster'));`;
  assert.equal((await runModule(source)).trim(), 'true true');
});

test('package internals are not exported', () => {
  assert.throws(() => require('manycore/lib/core/addon.js'), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' });
  assert.equal(require('manycore/package.json').name, 'manycore');
});
