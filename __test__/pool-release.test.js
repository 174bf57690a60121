'use strict';

/* A pool of threads that is closed, or could not be created, leaves nothing behind. */

const assert = require('node:assert/strict');
const { readdirSync, readlinkSync } = require('node:fs');
const { execFile } = require('node:child_process');
const { test } = require('node:test');
const { promisify } = require('node:util');
const { Pool } = require('..');
const { TASKS, WATCHDOG, makePool } = require('./support/pool');

/** Returns the number of eventfds of this process. */
function bells() {
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return targets.filter((target) => target.includes('[eventfd]')).length;
}

/** Waits until the event loop has closed them. @param {number} most */
async function atMost(most) {
  while (bells() > most) await new Promise((resolve) => setImmediate(resolve));
}

test('eventfds are released without garbage collection', WATCHDOG, async (t) => {
  /** Referenced, so that nothing is garbage-collected. @type {any[]} */
  const pools = [];
  const round = async (/** @type {(pool: any) => Promise<any>} */ end) => {
    const pool = makePool(t, { minThreads: 2, maxThreads: 2 });
    pools.push(pool);
    assert.equal(await pool.run({ a: 1, b: 2 }), 3);
    await end(pool);
  };
  await round((pool) => pool.close());
  const before = bells();
  for (let i = 0; i < 3; i++) {
    await round((pool) => pool.close());
    await round((pool) => pool.destroy());
  }
  await atMost(before);
});

for (const [kind, how] of [
  ['unused', ''],
  ['used', `pool.run({ a: 1, b: 2 }).then((sum) => assert.equal(sum, 3));`],
  ['it has blocked on', `assert.equal(pool.runSync({ a: 1, b: 2 }), 3);`],
  ['whose task has failed', `assert.rejects(pool.run('no', { name: 'throwError' }));`],
]) {
  test(`a program exits although it has a pool ${kind}`, WATCHDOG, async () => {
    const program = `
      const assert = require('node:assert');
      const { Pool } = require(${JSON.stringify(require.resolve('..'))});
      const common = { filename: ${JSON.stringify(TASKS)}, maxThreads: 2 };
      const use = (options) => {
        const pool = new Pool({ ...common, ...options });
        ${how}
      };
      (async () => {
        use({ minThreads: 0 });
        use({ minThreads: 2 });
        use({ minThreads: 1, runtime: 'processes' });
        await Pool.warm(1, common);
        use({ minThreads: 1 });
        process.on('exit', () => console.log('bye'));
      })();`;
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], { timeout: 60_000 });
    assert.equal(stdout, 'bye\n');
  });
}

test('a closed pool answers method calls and can start again', WATCHDOG, async (t) => {
  const pool = makePool(t);
  const before = await (async () => {
    assert.equal(await pool.run({ a: 1, b: 2 }), 3);
    const [worker] = await new Promise((resolve) => {
      pool.once('workerDestroy', (/** @type {any} */ gone) => resolve([gone]));
      void pool.close();
    });
    return worker;
  })();
  while (before.terminating) await new Promise((resolve) => setImmediate(resolve));
  // Objects that users still reference must handle a closed queue.
  assert.deepEqual([before.currentUsage, before.destroyed], [0, true]);
  assert.deepEqual([pool.queueSize, pool.needsDrain], [0, false]);
  assert.ok(pool.utilization > 0 && pool.utilization <= 1, String(pool.utilization));
  assert.equal(pool.stats().completedTasks, 1);
  assert.equal(await pool.run({ a: 3, b: 4 }), 7);
});

test('a pool whose construction fails leaves no worker', WATCHDOG, async (t) => {
  const before = bells();
  /** @type {any[]} */
  const started = [];
  const options = {
    minThreads: 3,
    maxThreads: 3,
    runtime: 'processes',
    onCreateWorker: () => {
      if (started.push(null) === 3) throw new Error('no more');
    },
  };
  assert.throws(() => new Pool(/** @type {any} */ (options)), { message: 'no more' });
  assert.equal(started.length, 3);
  t.diagnostic('its first two are ended');
  await atMost(before);
});
