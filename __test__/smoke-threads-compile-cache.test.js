'use strict';

/* Workers use the compile cache that their parent has enabled. */

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { mkdtempSync, rmSync } = require('node:fs');
const nodeModule = /** @type {any} */ (require('node:module'));
const { tmpdir } = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { Pool, Worker } = require('..');

const SOURCE = `
  const { parentPort, workerData } = require('node:worker_threads');
  const folder = require('node:module').getCompileCacheDir?.();
  if (workerData === null) parentPort.postMessage(folder);
  else new (require(workerData).Worker)(__SOURCE, { eval: true, workerData: null }).on('message', (inner) => {
    parentPort.postMessage([folder, inner]);
  });`;
const NESTED = SOURCE.replace('__SOURCE', JSON.stringify(SOURCE.replace('__SOURCE', "''")));
const WATCHDOG = { timeout: 120_000 };

/** @param {import('node:worker_threads').WorkerOptions} [options] */
async function seenBy(options) {
  const [seen] = await once(new Worker(NESTED, { eval: true, workerData: null, ...options }), 'message');
  return seen;
}

test('workers have no compile cache if their parent has none', WATCHDOG, async () => {
  assert.equal(await seenBy(), undefined);
});

test(
  'workers, nested workers, spares and pools use the compile cache of their parent',
  { ...WATCHDOG, skip: nodeModule.enableCompileCache === undefined && 'from Node 22.8 on' },
  async (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'compile-cache-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    nodeModule.enableCompileCache(folder);
    const ours = nodeModule.getCompileCacheDir();
    assert.ok(ours.startsWith(folder));
    assert.equal(await seenBy(), ours);
    assert.deepEqual(await seenBy({ workerData: require.resolve('..') }), [ours, ours]);
    await Worker.warm(1);
    assert.equal(await seenBy(/** @type {any} */ ({ warm: true })), ours);
    await Worker.warm(0);
    const ask = () => /** @type {any} */ (process).getBuiltinModule('node:module').getCompileCacheDir();
    const pool = new Pool({ maxThreads: 1 });
    assert.equal(await pool.exec(ask), ours);
    await pool.destroy();
    await Pool.warm(1, { maxThreads: 1 });
    const ready = new Pool({ maxThreads: 1 });
    assert.equal(await ready.exec(ask), ours);
    await ready.destroy();
    await Pool.warm(0);
  },
);
