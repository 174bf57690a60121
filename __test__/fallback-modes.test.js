'use strict';

// Where the addon is unavailable, Node's own modules are used, and features that need the addon throw.
// MANYCORE_FALLBACK=1 simulates an unsupported platform.

const assert = require('node:assert/strict');
const { SCHED_NONE, SCHED_RR } = require('node:cluster');
const path = require('node:path');
const test = require('node:test');
const { run, runOk } = require('./package-helpers');

const SURFACE = path.join(__dirname, 'fixtures', 'fallback-surface.js');
const APP = path.join(__dirname, 'fixtures', 'package-app.js');

const PERMISSION = process.allowedNodeEnvironmentFlags.has('--permission')
  ? '--permission'
  : '--experimental-permission';

const MODES = [
  { name: 'MANYCORE_FALLBACK=1', env: { MANYCORE_FALLBACK: '1' }, flags: [], reason: /MANYCORE_FALLBACK=1/ },
  { name: '--no-addons', env: {}, flags: ['--no-addons'], reason: /ERR_DLOPEN_DISABLED/ },
  {
    name: PERMISSION,
    env: {},
    flags: [PERMISSION, '--allow-fs-read=*', '--allow-worker', '--allow-child-process'],
    // Later versions require a permission to connect and listen as well.
    optionalFlags: ['--allow-net'],
    reason: /ERR_DLOPEN_DISABLED|ERR_ACCESS_DENIED/,
  },
];

for (const { name, env, flags, optionalFlags = [], reason } of MODES) {
  const known = optionalFlags.filter((flag) => process.allowedNodeEnvironmentFlags.has(flag));
  const args = [...flags, ...known];

  test(`${name}: cluster and worker_threads are Node's own`, async () => {
    const surface = JSON.parse(await runOk(process.execPath, [...args, SURFACE], { env }));
    assert.deepEqual(surface.otherClusterNames, []);
    assert.equal(surface.policy, SCHED_RR);
    assert.deepEqual(
      surface.nodesPolicy,
      [SCHED_NONE, SCHED_NONE],
      "setting Node's policies did not reach Node's cluster",
    );
    // Node's class, with a `warm` that keeps no spares.
    assert.deepEqual(surface.otherThreadNames, ['Worker']);
    assert.ok(surface.threadNames > 10);
  });

  test(`${name}: features that need the addon throw an error that states the reason`, async () => {
    const surface = JSON.parse(await runOk(process.execPath, [...args, SURFACE], { env }));
    const failures = [surface.failure, ...surface.policyFailures];
    assert.equal(failures.length, 3);
    for (const failure of failures) {
      assert.equal(failure?.code, 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM');
      assert.equal(failure.name, 'TypeError');
      assert.match(failure.message, reason);
    }
    assert.match(failures[0].message, /^The feature Pool is unavailable here: /);
    assert.match(failures[1].message, /least-connections/);
  });

  test(`${name}: cluster and worker threads work`, async () => {
    const { stdout, code, stderr } = await run(process.execPath, [...args, APP], { env });
    assert.equal(code, 0, stderr);
    assert.equal(stdout, 'cluster: Hello!\nworker exit: 0\nthread: Hello from Worker\n');
  });
}

test('the addon loads when no fallback is active', async () => {
  const script = `require('manycore'); require('./lib/core/addon').requireAddon('Pool'); console.log('there')`;
  assert.equal(await runOk(process.execPath, ['-e', script]), 'there\n');
});
