'use strict';

/*
 * Deaths in a pool of processes: workers killed at random instants, and the death of the pool's owner. CI runs a
 * share; MANYCORE_POOL_KILL_TASKS=100000 runs more.
 */

const assert = require('node:assert/strict');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const { readFileSync } = require('node:fs');
const { test } = require('node:test');
const { makePool, fixture } = require('./support/pool');

const TASKS = Number(process.env.MANYCORE_POOL_KILL_TASKS ?? 4000);
const AT_ONCE = 1000;
const WATCHDOG = { timeout: 600_000 };

/**
 * Whether a process is running; one that has ended may stay in the process table until it is reaped.
 * @param {number} pid
 */
function isAlive(pid) {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** @param {number[]} pids */
async function gone(pids) {
  while (pids.some(isAlive)) await new Promise((resolve) => setTimeout(resolve, 20));
}

for (const [name, retries, concurrentTasksPerWorker] of /** @type {const} */ ([
  ['without retries, only tasks already started are lost', 0, 1],
  ['with retries, nothing is lost', 1000, 3],
])) {
  test(`processes are killed at random times: ${name}`, WATCHDOG, async (t) => {
    const pool = makePool(t, {
      filename: fixture('processes.js'),
      runtime: 'processes',
      minThreads: 2,
      maxThreads: 2,
      maxRetries: retries,
      concurrentTasksPerWorker,
    });
    pool.on('error', () => {});
    const counts = { fine: 0, killed: 0 };
    let kills = 0;
    let isOver = false;
    const killing = (async () => {
      while (!isOver) {
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
        const children = pool.threads.filter((/** @type {any} */ child) => child.exitCode === null);
        // Otherwise, none might ever get to a task.
        const { workers } = pool.stats();
        if (children.length === 0 || !workers.some((/** @type {any} */ each) => each.hasStarted)) continue;
        const victim = children[Math.floor(Math.random() * children.length)];
        if (victim.kill('SIGKILL')) kills++;
      }
    })();
    /** @param {number} i */
    const one = async (i) => {
      const task = i % 50 === 0 ? { i, text: 'x'.repeat(20_000) } : { i };
      try {
        if (i % 4 === 0) assert.equal(await pool.run(200, { name: 'spin' }), 200);
        else assert.deepEqual(await pool.run(task), task);
        counts.fine++;
      } catch (/** @type {any} */ error) {
        if (error.signal !== 'SIGKILL' || retries > 0) throw error;
        counts.killed++;
      }
    };
    for (let i = 0; i < TASKS || kills < 10; i += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, (_, k) => one(i + k)));
    }
    isOver = true;
    await killing;
    const { fine, killed } = counts;
    assert.equal(fine + killed, pool.completed);
    // The maximum number of tasks that a process holds.
    assert.ok(killed <= kills * concurrentTasksPerWorker, `${killed} tasks lost to ${kills} kills`);
    t.diagnostic(`${fine} completed, ${killed} lost, ${kills} processes killed`);
    assert.equal(pool.stats().pendingTasks, 0);
  });
}

test('worker processes exit when the process of their pool is killed', WATCHDOG, async () => {
  const owner = fork(fixture('owner.js'), { execArgv: [] });
  const [pids] = await once(owner, 'message');
  assert.equal(pids.filter(isAlive).length, 3);
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  await gone(pids);
});

test('worker processes exit when the thread of their pool exits', WATCHDOG, async () => {
  const { Worker } = require('node:worker_threads');
  const owner = new Worker(fixture('owner.js'));
  const [pids] = await once(owner, 'message');
  assert.equal(pids.filter(isAlive).length, 3);
  await owner.terminate();
  await gone(pids);
});
