'use strict';

/* A million messages of all kinds each way at once, handles and large ones among them. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const { play } = require('./support/scenario');

const MESSAGES = path.join(__dirname, 'fixtures', 'mixed-ipc-messages.js');
const COUNTS = { json: 1_000_000, advanced: 200_000 };

for (const [serialization, count] of Object.entries(COUNTS)) {
  test(`${serialization}: ${count} mixed messages each way, all in order and equal`, async (t) => {
    const { result } = await play(t, {
      env: { SERIALIZATION: serialization, MESSAGES, COUNT: String(count) },
      async primary({ cluster, once, require }) {
        const { MESSAGES, SERIALIZATION, COUNT } = process.env;
        cluster.setupPrimary({ serialization: SERIALIZATION });
        const { sendAll, receiveAll } = require(MESSAGES);
        const isAdvanced = SERIALIZATION === 'advanced';
        const worker = cluster.fork();
        await once(worker, 'message');
        const theirs = new Promise((resolve) => {
          worker.on('message', (message) => message?.result && resolve(message.result));
        });
        const ours = receiveAll(worker, Number(COUNT), isAdvanced);
        await sendAll(worker, Number(COUNT), isAdvanced);
        return { ours: await ours, theirs: await theirs };
      },
      async worker({ require }) {
        const { MESSAGES, SERIALIZATION, COUNT } = process.env;
        const { sendAll, receiveAll } = require(MESSAGES);
        const isAdvanced = SERIALIZATION === 'advanced';
        const ours = receiveAll(process, Number(COUNT), isAdvanced);
        process.send('ready');
        await sendAll(process, Number(COUNT), isAdvanced);
        process.send({ result: await ours });
      },
    });
    assert.deepEqual(result, { ours: { received: count }, theirs: { received: count } });
  });
}
