'use strict';

/*
 * Messages of all kinds in both directions at once, including handles and large ones at random.
 * MANYCORE_MIXED_MESSAGES is their number, MANYCORE_MIXED_SEED selects others.
 */

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const { countHandles } = require('./fixtures/mixed-ipc-messages');
const { play } = require('./support/scenario');

const MESSAGES = path.join(__dirname, 'fixtures', 'mixed-ipc-messages.js');
const COUNT = Number(process.env.MANYCORE_MIXED_MESSAGES ?? 1_000_000);
const SEED = process.env.MANYCORE_MIXED_SEED ?? '5';

/** Handles are slow, as each needs a round trip: few among many messages, then many among few, so that they overlap. */
const PLANS = [
  { serialization: 'json', count: COUNT, handleRate: 300 / COUNT },
  { serialization: 'advanced', count: COUNT, handleRate: 300 / COUNT },
  { serialization: 'json', count: 600, handleRate: 0.5 },
];

for (const { serialization, count, handleRate } of PLANS) {
  const plan = { seed: SEED, count, isAdvanced: serialization === 'advanced', handleRate };
  const handles = countHandles(plan);
  const name = `${serialization}: ${count} mixed messages and ${handles} handles each way, in order and equal`;
  test(`${name} (seed ${SEED})`, async (t) => {
    assert.ok(handles > 0);
    const { result } = await play(t, {
      env: { SERIALIZATION: serialization, MESSAGES, PLAN: JSON.stringify(plan) },
      async primary({ cluster, once, require }) {
        const { MESSAGES, SERIALIZATION, PLAN } = process.env;
        cluster.setupPrimary({ serialization: SERIALIZATION });
        const { sendAll, receiveAll } = require(MESSAGES);
        const plan = JSON.parse(PLAN);
        const worker = cluster.fork();
        await once(worker, 'message');
        const theirs = new Promise((resolve) => {
          worker.on('message', (message) => message?.result && resolve(message.result));
        });
        const ours = receiveAll(worker, plan);
        await sendAll(worker, plan);
        return { ours: await ours, theirs: await theirs };
      },
      async worker({ require }) {
        const { MESSAGES, PLAN } = process.env;
        const { sendAll, receiveAll } = require(MESSAGES);
        const plan = JSON.parse(PLAN);
        const ours = receiveAll(process, plan);
        process.send('ready');
        await sendAll(process, plan);
        process.send({ result: await ours });
      },
    });
    const all = { received: count, handles };
    assert.deepEqual(result, { ours: all, theirs: all });
  });
}
