'use strict';

/*
 * Workers are killed, ended, frozen and blocked while connections are opened: each connection is accounted for.
 * MANYCORE_CHAOS_TIMES is a factor for the duration.
 */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { describe, test } = require('node:test');
const { setTimeout: delay } = require('node:timers/promises');

const { Connections } = require('./support/connections');
const { Program, WATCHDOG_MS, isRunning } = require('./support/program');

const SERVER = path.join(__dirname, 'fixtures', 'chaos-server.js');
const WORKERS = 4;
const RATE = 400;
const TIMES = Number(process.env.MANYCORE_CHAOS_TIMES ?? 1);

/**
 * All ways of scheduling: workers share the listening socket, accept what the primary grants them, or get what the
 * primary has accepted.
 */
const POLICIES = ['none', 'rr', 'least-connections', 'a function', 'ip-hash'];
/** Under this one, clients wait for the worker that they belong to while it is alive. */
const STICKY_POLICY = 'ip-hash';
/** Number of clients that the connections come from: enough that each worker has some. */
const CLIENTS = 100;
/** Under this one, workers are harmed for 10 s. */
const DEFAULT_POLICY = 'none';

/**
 * A worker owns a connection from the instant at which the kernel gives it the descriptor. What it then has is counted
 * while it is stopped, just before the signal. SIGKILL acts at once; SIGTERM when the worker goes on, and its main
 * thread may claim one more until the thread that handles the signal has ended the process.
 * @type {Record<string, number>}
 */
const CLAIMED_LATER = { SIGKILL: 0, SIGTERM: 1 };

/**
 * @param {import('node:test').TestContext} t
 * @param {string} policy
 */
async function start(t, policy) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-chaos-'));
  const record = path.join(folder, 'record');
  const program = new Program([SERVER, String(WORKERS), policy, record], { ipc: true });
  t.after(() => {
    program.kill();
    fs.rmSync(folder, { recursive: true });
  });
  const { port, pids } = await program.message();
  const ask = (/** @type {unknown} */ message) => {
    const answer = program.message();
    program.process.send(message);
    return answer;
  };
  return { program, port, pids, ask, record };
}

/**
 * Harms workers under load.
 * @param {import('node:test').TestContext} t
 * @param {string} policy
 * @param {{ harm: string, everyMs: number, seconds: number, atLeast?: number }} chaos
 */
async function run(t, policy, { harm, everyMs, seconds: once, atLeast = 2 }) {
  const seconds = once * TIMES;
  const { program, port, ask, record } = await start(t, policy);
  const { fds } = await ask('fds');
  const connections = new Connections(port, RATE, CLIENTS);
  program.process.send({ harm, everyMs });
  await delay(seconds * 1000); // Duration of the load.
  const calm = await ask('calm');
  const stuck = await connections.finish(WATCHDOG_MS);
  const { outcomes, opened } = connections;
  const ended = (/** @type {string} */ end) => outcomes.filter((outcome) => outcome.end === end);
  const dead = new Set(calm.harms.map(({ pid }) => String(pid)));
  const cuts = ended('cut');
  const { owners, sockets } = readRecord(record);
  const isForeign = (/** @type {{ client: string }} */ { client }) =>
    owners.has(client) && !owners.get(client)?.some((pid) => dead.has(pid));
  const foreign = cuts.filter(isForeign).length;
  const unrecorded = cuts.filter((cut) => !owners.has(cut.client)).length;
  const claimed = calm.harms
    .flatMap((death) => death.claimed)
    .filter((socket) => !sockets.has(socket)).length;
  const counts = { stuck, refused: ended('refused').length, cut: cuts.length, foreign, unrecorded, claimed };
  t.diagnostic(`${opened} connections, ${calm.harms.length} times harm: ${JSON.stringify(counts)}`);
  assert.ok(opened >= RATE * seconds * 0.99, `too few connections: ${opened}`);
  assert.ok(calm.harms.length >= atLeast, `too few faults injected: ${calm.harms.length}`);
  assert.equal(outcomes.length + stuck, opened);
  await sameDescriptors(ask, fds);
  return { ...calm, ...counts, outcomes, cuts, answered: ended('answered') };
}

/**
 * Returns which workers had a connection from each port of a client, as a port may be used again, and the sockets of
 * all.
 * @param {string} file
 */
function readRecord(file) {
  /** @type {Map<string, string[]>} */
  const owners = new Map();
  const sockets = new Set();
  for (const line of fs.readFileSync(file, 'latin1').trimEnd().split('\n')) {
    const [pid, client, socket] = line.split(' ');
    owners.set(client, [...(owners.get(client) ?? []), pid]);
    sockets.add(socket);
  }
  return { owners, sockets };
}

/**
 * Checks that the primary has as many open descriptors as at the start, once the kernel and its loop have closed
 * the last.
 * @param {(message: unknown) => Promise<any>} ask
 * @param {number} before
 */
async function sameDescriptors(ask, before) {
  const deadline = performance.now() + WATCHDOG_MS / 4;
  let fds;
  do ({ fds } = await ask('fds'));
  while (fds !== before && performance.now() < deadline);
  assert.equal(fds, before, 'the primary leaked file descriptors');
}

for (const policy of POLICIES) {
  describe(`policy ${policy}`, () => {
    const seconds = policy === DEFAULT_POLICY ? 10 : 3;

    for (const harm of Object.keys(CLAIMED_LATER)) {
      test(`${harm}: only connections of the worker that died are cut`, async (t) => {
        const result = await run(t, policy, { harm, everyMs: 250, seconds });
        assert.deepEqual([result.stuck, result.refused], [0, 0]);
        for (const { from, to } of result.cuts) {
          const deaths = result.harms.filter((death) => from <= death.to && death.from <= to);
          assert.ok(deaths.length > 0, 'a connection was cut although no worker died');
        }
        assert.equal(result.foreign, 0, 'connections of living workers were cut');
        const allowed = result.claimed + result.harms.length * CLAIMED_LATER[harm];
        assert.ok(result.unrecorded <= allowed, `${result.unrecorded} cut, of which the dead had ${allowed}`);
        assert.equal(result.exits, result.harms.length);
        assert.equal(result.disconnects, result.harms.length);
      });
    }

    test('worker.disconnect(): every connection is answered', async (t) => {
      const result = await run(t, policy, { harm: 'disconnect', everyMs: 250, seconds });
      assert.deepEqual([result.stuck, result.refused, result.cut], [0, 0, 0]);
      assert.equal(result.exits, result.harms.length);
    });

    const options = { skip: policy === STICKY_POLICY && 'clients wait for their worker' };
    test(
      'frozen workers (SIGSTOP): new connections go to other workers and all are answered',
      options,
      async (t) => {
        const result = await run(t, policy, { harm: 'freeze', everyMs: 500, seconds: Math.max(seconds, 4) });
        assert.deepEqual([result.stuck, result.refused, result.cut], [0, 0, 0]);
        assert.equal(heldBack(result), 0);
      },
    );

    test('a worker blocked for 2.5 s delays no new connection', options, async (t) => {
      const result = await run(t, policy, { harm: 'block', everyMs: 500, seconds: Math.max(seconds, 4) });
      assert.deepEqual([result.stuck, result.refused, result.cut], [0, 0, 0]);
      assert.equal(heldBack(result), 0);
    });

    test("connections are served while the primary's event loop is blocked for 5 s", async (t) => {
      const chaos = { harm: 'block the primary', everyMs: 1000, seconds: 6, atLeast: 1 };
      const result = await run(t, policy, chaos);
      assert.deepEqual([result.stuck, result.refused, result.cut], [0, 0, 0]);
      const [{ from, to }] = result.harms;
      const during = result.outcomes.filter((outcome) => outcome.from > from && outcome.to < to).length;
      // On a machine that keeps up, all but those at both ends of the period.
      assert.ok(during >= RATE, `answered while the primary was blocked: ${during}`);
    });

    test('no worker outlives a killed primary', async (t) => {
      const { program, port, pids } = await start(t, policy);
      const connections = new Connections(port, RATE);
      await delay(200); // Some load on the workers.
      program.process.kill('SIGKILL');
      const deadline = performance.now() + WATCHDOG_MS;
      while (pids.some(isRunning) && performance.now() < deadline) await delay(5);
      assert.deepEqual(pids.filter(isRunning), []);
      assert.equal(await connections.finish(WATCHDOG_MS), 0);
    });
  });
}

/**
 * Returns the number of connections stuck behind a stalled worker: opened during the stall, answered by that worker
 * after it, and meanwhile overtaken by a second's worth of connections that were opened later. (Without being
 * overtaken, a connection has only waited like all others.)
 * @param {{ harms: { pid: number, from: number, to: number }[],
 *   answered: import('./support/connections').Outcome[] }} result
 */
function heldBack({ harms, answered }) {
  const late = answered.filter(({ worker, from, to }) =>
    harms.some((stall) => stall.pid === worker && from > stall.from && from < stall.to && to > stall.to),
  );
  return late.filter((held) => {
    const overtakers = answered.filter(({ from, to }) => from > held.from && to < held.to);
    return overtakers.length >= RATE;
  }).length;
}
