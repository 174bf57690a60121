'use strict';

// Invalid values of environment variables: the default is used, with one warning.

const assert = require('node:assert/strict');
const path = require('node:path');
const test = require('node:test');

const { run } = require('./support/program');

const MANYCORE = path.join(__dirname, '..');
const START = `const { Worker, cluster, shared } = require(${JSON.stringify(MANYCORE)});`;
const WORKER = path.join(__dirname, 'fixtures', 'cluster-worker.js');
const POOL = `
  const { Pool } = require(${JSON.stringify(MANYCORE)});
  const pool = new Pool({ maxThreads: 2 });
  pool.exec(() => 1).then(() => pool.destroy());`;
const THREADS = `${START}
  const source = "const { Worker } = require('node:worker_threads'); new Worker('', { eval: true })";
  for (let i = 0; i < 2; i++) new Worker(source, { eval: true });`;
const CLUSTER = `${START}
  console.log(cluster.schedulingPolicy);
  cluster.setupPrimary({ exec: ${JSON.stringify(WORKER)}, execArgv: [] });
  cluster.setupPrimary();
  console.log(cluster.schedulingPolicy);
  cluster.fork();`;

/** @param {string} stderr */
const warningsOf = (stderr) =>
  [...stderr.matchAll(/\[MANYCORE_INVALID_SETTING\] Warning: (.*)/g)].map(([, text]) => text);

const CASES = [
  {
    env: { MANYCORE_LATENCY: 'lowest' },
    says: 'MANYCORE_LATENCY=lowest in the environment is ignored: it must be frugal, balanced or low',
    programs: [THREADS, POOL],
  },
  {
    env: { MANYCORE_LANES_AFTER: '10 messages' },
    says:
      'MANYCORE_LANES_AFTER=10 messages in the environment is ignored: ' +
      `it must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`,
    programs: [THREADS],
  },
  {
    env: { MANYCORE_FALLBACK: 'true' },
    says: 'MANYCORE_FALLBACK=true in the environment is ignored: it must be 0 or 1',
    programs: [THREADS, POOL, `${START} shared.list();`],
  },
  {
    env: { NODE_CLUSTER_SCHED_POLICY: 'least_connections' },
    says:
      'NODE_CLUSTER_SCHED_POLICY=least_connections in the environment is ignored: ' +
      'it must be none, rr, least-connections, p2c or ip-hash',
    programs: [CLUSTER],
    stdout: '2\n2\n',
  },
  {
    env: { NODE_CLUSTER_SCHED_POLICY: 'p2c', MANYCORE_FALLBACK: '1' },
    says:
      'NODE_CLUSTER_SCHED_POLICY=p2c in the environment is ignored: ' +
      "this policy needs manycore's native addon, which cannot run here",
    programs: [CLUSTER],
  },
];

for (const { env, says, programs, stdout: expected } of CASES) {
  test(`${JSON.stringify(env)} causes one warning`, async () => {
    for (const program of programs) {
      const { code, stdout, stderr } = await run(['-e', program], { env });
      assert.deepEqual({ code, warnings: warningsOf(stderr) }, { code: 0, warnings: [says] }, stderr);
      if (expected !== undefined) assert.equal(stdout, expected);
    }
  });
}

test('valid and empty values are used without a warning', async () => {
  for (const env of [
    {
      MANYCORE_LATENCY: 'low',
      MANYCORE_LANES_AFTER: '0',
      NODE_CLUSTER_SCHED_POLICY: 'p2c',
      MANYCORE_FALLBACK: '0',
    },
    { MANYCORE_LATENCY: '', MANYCORE_LANES_AFTER: '', NODE_CLUSTER_SCHED_POLICY: '', MANYCORE_FALLBACK: '' },
    { NODE_CLUSTER_SCHED_POLICY: 'rr', MANYCORE_FALLBACK: '1' },
  ]) {
    for (const program of [THREADS, CLUSTER]) {
      const { code, stderr } = await run(['-e', program], { env });
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    }
  }
});
