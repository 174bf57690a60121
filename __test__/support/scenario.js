'use strict';

/* Scenarios with a primary and its workers, written inline in a test and run in separate processes. */

const path = require('node:path');
const { Program } = require('./program');

const FIXTURE = path.join(__dirname, '..', 'fixtures', 'scenario.js');
const OURS = path.join(__dirname, '..', '..');

/**
 * Runs a scenario; resolves to the result of the primary's part, and how its process ended.
 * @param {import('node:test').TestContext} t
 * @param {{
 *   primary: (api: any) => any,
 *   worker: (api: any) => any,
 *   cluster?: string,
 *   env?: Record<string, string>,
 *   nodeArgs?: string[],
 * }} scenario `primary` and `worker` have no access to the test's scope
 * @returns {Promise<{ result: any, code: number | null, stdout: string, stderr: string }>}
 */
async function play(t, { primary, worker, cluster = OURS, env, nodeArgs = [] }) {
  const parts = JSON.stringify({ primary: String(primary), worker: String(worker) });
  const program = new Program([...nodeArgs, FIXTURE], {
    env: { CLUSTER: cluster, SCENARIO: parts, ...env },
    ipc: true,
  });
  t.after(() => program.kill());
  let result;
  program.process.on('message', (message) => ({ result } = message));
  const { code } = await program.ended();
  const { stdout, stderr } = program;
  if (program.leftBehind) throw new Error(`processes are left behind\n${stdout}\n${stderr}`);
  if (code === 70) throw new Error(stderr);
  return { result, code, stdout, stderr };
}

/**
 * Runs a scenario on ours and on Node's own cluster, for tests that both agree.
 * @param {import('node:test').TestContext} t
 * @param {Parameters<typeof play>[1]} scenario
 */
async function playBoth(t, scenario) {
  const ours = await play(t, scenario);
  const nodes = await play(t, { ...scenario, cluster: 'node:cluster' });
  return { ours, nodes };
}

module.exports.play = play;
module.exports.playBoth = playBoth;
