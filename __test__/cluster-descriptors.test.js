'use strict';

/* Workers whose descriptor table is full, or nearly so: no connection may be lost. */

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { play } = require('./support/scenario');

/** Descriptors that each worker in these tests may have, of which Node.js itself uses about 25. */
const LIMIT = 128;

/**
 * Runs a scenario in processes with a limit. Node.js raises the soft limit to the hard one, so both are lowered.
 * @param {import('node:test').TestContext} t
 * @param {Omit<Parameters<typeof play>[1], 'worker'>} scenario
 */
function playLimited(t, scenario) {
  return play(t, {
    ...scenario,
    env: { ...scenario.env, DESCRIPTOR_LIMIT: String(LIMIT) },
    /** Responds once the primary has told it to, and opens and closes files on demand. */
    worker({ cluster, http, require }) {
      const fs = require('node:fs');
      const files = [];
      let respond = (response) => waiting.push(response);
      const waiting = [];
      const end = (response) => response.end(String(cluster.worker.id));
      const orders = {
        respond() {
          respond = end;
          waiting.splice(0).forEach(end);
        },
        fill() {
          try {
            for (;;) files.push(fs.openSync('/dev/null'));
          } catch ({ code }) {
            return code;
          }
        },
        empty: () => files.splice(0).forEach((fd) => fs.closeSync(fd)),
      };
      process.on('message', (order) => process.send({ order, result: orders[order]() }));
      http.createServer((request, response) => respond(response)).listen(0, '127.0.0.1');
    },
  });
}

/** Has `process.execPath` start workers with the limit. */
const limitWorkers = `
  const fs = require('node:fs');
  const path = require('node:path');
  const folder = fs.mkdtempSync(path.join(require('node:os').tmpdir(), 'manycore-limit-'));
  const script = path.join(folder, 'node');
  const text = '#!/bin/sh\\nulimit -n ' + process.env.DESCRIPTOR_LIMIT + '\\nexec "' + process.execPath + '" "$@"\\n';
  fs.writeFileSync(script, text, { mode: 0o755 });
  process.execPath = script;
  process.on('exit', () => fs.rmSync(folder, { recursive: true }));
  const order = async (worker, order) => {
    worker.send(order);
    for (;;) {
      const [message] = await once(worker, 'message');
      if (message.order === order) return message.result;
    }
  };
`;

/** @param {string} body of the primary's part */
const primary = (body) =>
  new Function(`return async ({ cluster, forkListening, get, tally, tallyUntil, until, once, require }) => {
    ${limitWorkers}
    ${body}
  }`)();

for (const policy of ['none', 'rr', 'ip-hash']) {
  test(`${policy}: more connections than a worker has descriptors wait until it has some again`, async (t) => {
    const { result } = await playLimited(t, {
      env: { NODE_CLUSTER_SCHED_POLICY: policy },
      primary: primary(`
        const { workers: [worker], port } = await forkListening(1);
        const answers = tally(port, 300, 300);
        await until(() => worker.load.connections >= 60);
        await order(worker, 'respond');
        return answers;
      `),
    });
    assert.deepEqual(result, { 1: 300 });
  });

  test(`${policy}: a worker without free descriptors takes no connection until it has some again`, async (t) => {
    const { result } = await playLimited(t, {
      env: { NODE_CLUSTER_SCHED_POLICY: policy },
      primary: primary(`
        const { workers: [worker], port } = await forkListening(1);
        await order(worker, 'respond');
        const code = await order(worker, 'fill');
        const answers = tally(port, 20, 20);
        // Its loop turns a few times.
        for (let i = 0; i < 5; i++) await order(worker, 'respond');
        await order(worker, 'empty');
        return { code, answers: await answers };
      `),
    });
    assert.deepEqual(result, { code: 'EMFILE', answers: { 1: 20 } });
  });
}

for (const policy of ['none', 'rr']) {
  test(`${policy}: other workers serve what a worker without free descriptors cannot`, async (t) => {
    const { result } = await playLimited(t, {
      env: { NODE_CLUSTER_SCHED_POLICY: policy },
      primary: primary(`
        const { workers, port } = await forkListening(2);
        for (const worker of workers) await order(worker, 'respond');
        await order(workers[0], 'fill');
        const without = await tally(port, 100, 10);
        await order(workers[0], 'empty');
        const again = await tallyUntil([1, 2], port, 100, 10);
        return { without, again: Object.keys(again) };
      `),
    });
    assert.deepEqual(result, { without: { 2: 100 }, again: ['1', '2'] });
  });
}

test('a worker without free descriptors does not keep others from having more connections', async (t) => {
  const { result } = await playLimited(t, {
    primary: primary(`
      const { workers, port } = await forkListening(2);
      await order(workers[0], 'fill');
      const answers = tally(port, 40, 40);
      await until(() => workers[1].load.connections === 40);
      for (const worker of workers) await order(worker, 'respond');
      return answers;
    `),
  });
  assert.deepEqual(result, { 2: 40 });
});
