'use strict';

/* User code that throws when called by a pool: reported once, and nothing after it is lost. */

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { test } = require('node:test');
const { promisify } = require('node:util');
const { TASKS, WATCHDOG, fixture } = require('./support/pool');

const RUNTIMES = ['threads', 'processes'];

/**
 * Returns the output of a program, which must end by itself. In a separate process, since the test runner treats
 * uncaught exceptions as failures.
 * @param {string} runtime
 * @param {string} body body of an async function with `Pool`, `options` for one, and `reported`, the uncaught
 * exceptions
 */
async function run(runtime, body) {
  const options = { filename: TASKS, minThreads: 1, maxThreads: 1, runtime };
  const program = `
    const { Pool } = require(${JSON.stringify(require.resolve('..'))});
    const options = ${JSON.stringify(options)};
    const reported = [];
    process.on('uncaughtException', (error) => reported.push(error.message));
    const fail = (message) => {
      throw new Error(message);
    };
    (async () => {
      const told = await (async () => {${body}})();
      process.on('exit', () => console.log(JSON.stringify({ told, reported })));
    })();`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], { timeout: 60_000 });
  return JSON.parse(stdout);
}

for (const runtime of RUNTIMES) {
  test(`errors thrown by task listeners are reported one by one: ${runtime}`, WATCHDOG, async () => {
    const { told, reported } = await run(
      runtime,
      `const pool = new Pool(options);
      pool.on('taskError', (error) => fail('told ' + error.message));
      const tasks = Array.from({ length: 50 }, (_, i) =>
        i % 2 === 0 ? pool.run({ a: i, b: i }) : pool.run(String(i), { name: 'throwError' }),
      );
      const results = await Promise.allSettled(tasks);
      return results.map(({ value, reason }) => value ?? reason.message);`,
    );
    const all = Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? 2 * i : String(i)));
    assert.deepEqual(told, all);
    assert.deepEqual(
      reported,
      all.filter((each) => typeof each === 'string').map((each) => `told ${each}`),
    );
  });

  test(`a pool whose event listeners throw can still be closed: ${runtime}`, WATCHDOG, async () => {
    const { told, reported } = await run(
      runtime,
      `const pool = new Pool({ ...options, maxQueue: 2 });
      await pool.run({ a: 0, b: 0 });
      for (const name of ['full', 'backPressure', 'backPressureEnd', 'drain', 'busyEnd', 'workerDestroy']) {
        pool.on(name, () => fail(name));
      }
      const tasks = Array.from({ length: 3 }, (_, i) => pool.run({ a: i, b: i }));
      await pool.close();
      return await Promise.all(tasks);`,
    );
    assert.deepEqual(told, [0, 2, 4]);
    for (const name of ['full', 'backPressure', 'backPressureEnd', 'workerDestroy']) {
      assert.ok(reported.includes(name), `${name}: ${reported}`);
    }
  });

  test(`a throwing progress listener does not affect the task: ${runtime}`, WATCHDOG, async () => {
    const { told, reported } = await run(
      runtime,
      `const pool = new Pool({ ...options, filename: ${JSON.stringify(fixture('inside.js'))} });
      const told = [];
      const on = ({ done }) => {
        told.push(done);
        fail('progress ' + done);
      };
      return [await pool.exec('count', [3], { on }), told];`,
    );
    assert.deepEqual(told, [3, [1, 2, 3]]);
    assert.deepEqual(reported, ['progress 1', 'progress 2', 'progress 3']);
  });

  test(`a worker is replaced even if the listener for its exit throws: ${runtime}`, WATCHDOG, async () => {
    const { told, reported } = await run(
      runtime,
      `const pool = new Pool({ ...options, onTerminateWorker: () => fail('ended') });
      const exited = await pool.run(5, { name: 'exit' }).catch((error) => error.message);
      const sum = await pool.run({ a: 1, b: 2 });
      return [exited, sum];`,
    );
    assert.deepEqual(told, ['worker exited with code: 5', 3]);
    assert.equal(reported[0], 'ended');
  });
}

test('runSync() returns its own result, whatever listeners do meanwhile', WATCHDOG, async () => {
  const { told, reported } = await run(
    'threads',
    `const pool = new Pool(options);
    pool.on('taskError', () => fail('told'));
    const failing = pool.run('no', { name: 'throwError' }).catch((error) => error.message);
    return [pool.runSync({ a: 1, b: 2 }), await failing];`,
  );
  assert.deepEqual(told, [3, 'no']);
  assert.deepEqual(reported, ['told']);
});
