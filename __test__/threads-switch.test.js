'use strict';

/*
 * Messages use Node's port at first and lanes later: order, contents and modifications of the port by programs
 * survive the switch, whenever it happens. And a worker with few messages never gets lanes.
 */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { once } = require('node:events');

const { state } = require('../lib/threads/launch');
const { WATCHDOG, start, messages, untilExit } = require('./support/worker');

const LIBRARY = JSON.stringify(path.join(__dirname, '..'));
const USUAL = state.lanesAfter;
/** Number of messages before lanes are created. */
const POINTS = [0, 1, 2, 3, 7, Infinity];

/** @param {string} name @param {(t: import('node:test').TestContext, after: number) => Promise<void>} body */
function atEachPoint(name, body) {
  for (const after of POINTS) {
    test(`${name}, lanes after ${after}`, WATCHDOG, async (t) => {
      state.lanesAfter = after;
      t.after(() => (state.lanesAfter = USUAL));
      await body(t, after);
    });
  }
}

/** Posts messages of every kind; its source is also used in workers. @param {any} port @param {number} count */
function postAll(port, count) {
  for (let index = 0; index < count; index++) {
    const bytes = new Uint8Array([index]);
    const kinds = [
      () => port.postMessage({ index }),
      () => port.postMessage({ index, shared: new SharedArrayBuffer(1) }),
      () => port.postMessage({ index, bytes }, [bytes.buffer]),
      () => port.postMessage({ index, port: new MessageChannel().port1 }, []),
      () => port.postMessage({ index, text: 'x'.repeat(300_000) }),
    ];
    try {
      kinds[index % 5]();
    } catch (error) {
      // A port that is not in the transfer list is refused in either case.
      port.postMessage({ index, name: error.name });
    }
  }
}

const COUNT = 25;
const EXPECTED = Array.from({ length: COUNT }, (_, index) => index);

atEachPoint('order from the worker', async (t) => {
  const worker = start(
    t,
    `const { parentPort } = require('node:worker_threads'); (${postAll})(parentPort, ${COUNT});`,
  );
  const { received, code } = await untilExit(worker);
  assert.equal(code, 0);
  assert.deepEqual(
    received.map(({ index }) => index),
    EXPECTED,
  );
  assert.deepEqual(received[2].bytes, new Uint8Array([2]));
  assert.ok(received[1].shared instanceof SharedArrayBuffer);
  assert.match(received[3].name, /Error$/);
});

atEachPoint('order to the worker, which answers each', async (t) => {
  const worker = start(t, () => {
    const { parentPort } = require('node:worker_threads');
    parentPort.on('message', ({ index }) => parentPort.postMessage(index));
  });
  postAll(worker, COUNT);
  assert.deepEqual(await messages(worker, COUNT), EXPECTED);
  postAll(worker, COUNT);
  assert.deepEqual(await messages(worker, COUNT), EXPECTED);
});

atEachPoint('ports travel in both directions', async (t) => {
  const worker = start(t, () => {
    const { parentPort } = require('node:worker_threads');
    parentPort.on('message', ({ port, index }) => {
      port.postMessage(index);
      parentPort.postMessage({ port, index }, [port]);
    });
  });
  for (let index = 0; index < 10; index++) {
    const { port1, port2 } = new MessageChannel();
    const heard = once(port1, 'message');
    const back = once(worker, 'message');
    worker.postMessage({ port: port2, index }, [port2]);
    assert.deepEqual((await heard)[0], index);
    const [message] = await back;
    assert.equal(message.index, index);
    const again = once(port1, 'message');
    message.port.postMessage('still there');
    assert.deepEqual((await again)[0], 'still there');
    port1.close();
  }
});

atEachPoint('receiving synchronously in the worker', async (t) => {
  const worker = start(t, () => {
    const { parentPort, receiveMessageOnPort } = require('node:worker_threads');
    const seen = [];
    while (seen.length < 25) {
      const message = receiveMessageOnPort(parentPort);
      if (message !== undefined) seen.push(message.message.index);
      if (message !== undefined && seen.length % 4 === 0) parentPort.postMessage('on the way');
    }
    parentPort.postMessage(seen);
  });
  postAll(worker, COUNT);
  const received = await messages(worker, 7);
  assert.deepEqual(received.at(-1), EXPECTED);
});

atEachPoint('listeners that come and go lose nothing', async (t) => {
  const worker = start(t, () => {
    const { parentPort } = require('node:worker_threads');
    const next = () =>
      parentPort.once('message', ({ index }) => {
        parentPort.postMessage(index);
        setImmediate(next);
      });
    next();
    // An event emitted by the program is not a message of the parent.
    parentPort.emit('message', { index: 'own' });
  });
  const received = messages(worker, COUNT + 1);
  postAll(worker, COUNT);
  assert.deepEqual(await received, ['own', ...EXPECTED]);
});

atEachPoint('what the program put in place of methods stays', async (t) => {
  const worker = start(t, () => {
    const { parentPort } = require('node:worker_threads');
    const { postMessage } = parentPort;
    parentPort.postMessage = (value, ...rest) => postMessage.call(parentPort, ['wrapped', value], ...rest);
    for (let index = 0; index < 10; index++) parentPort.postMessage(index);
  });
  const { received } = await untilExit(worker);
  assert.deepEqual(
    received,
    Array.from({ length: 10 }, (_, index) => ['wrapped', index]),
  );
});

atEachPoint('a request finds its handler, also beside a lane', async (t) => {
  const worker = start(
    t,
    `require(${LIBRARY});
    const { parentPort } = require('node:worker_threads');
    parentPort.once('message', () => parentPort.onRequest((value) => value.shared ?? value));`,
  );
  const early = [worker.request(1), worker.request({ shared: new SharedArrayBuffer(3) })];
  worker.postMessage('go on');
  const [one, shared] = await Promise.all(early);
  assert.equal(one, 1);
  assert.equal(shared.byteLength, 3);
  assert.equal(worker.call(5), 5);
});

atEachPoint('a blocked caller learns of the end of a worker that never had a handler', async (t) => {
  const worker = start(t, '');
  assert.throws(() => worker.call('anybody there?'), { code: 'ERR_MANYCORE_PEER_GONE' });
});

test('parentPort can be transferred as long as it has no lanes', WATCHDOG, async (t) => {
  const worker = start(
    t,
    `const { parentPort } = require('node:worker_threads');
    const { Worker } = require(${LIBRARY});
    const inner = new Worker(
      \`require('node:worker_threads').workerData.on('message', (message) => {
         require('node:worker_threads').workerData.postMessage(['passed on', message]);
       });\`,
      { eval: true, workerData: parentPort, transferList: [parentPort] },
    );`,
  );
  worker.postMessage(1);
  worker.postMessage(2);
  assert.deepEqual(await messages(worker, 2), [
    ['passed on', 1],
    ['passed on', 2],
  ]);
});

test('a worker with little traffic has no lanes and has loaded no code for them', WATCHDOG, async (t) => {
  // By inode: those of ended workers may disappear meanwhile.
  const lanes = () => {
    const maps = fs.readFileSync('/proc/self/maps', 'utf8').split('\n');
    return maps.filter((line) => line.includes('memfd:')).map((line) => line.split(/ +/)[4]);
  };
  const before = new Set(lanes());
  const isNew = (/** @type {string} */ inode) => !before.has(inode);
  const quiet = start(t, () => {
    const { parentPort } = require('node:worker_threads');
    const ours = () =>
      Object.keys(require('node:module')._cache).filter((file) => /lib.(threads|link)/.test(file));
    parentPort.on('message', () => parentPort.postMessage(ours().length));
  });
  for (let index = 0; index < 10; index++) {
    quiet.postMessage(index);
    assert.deepEqual(await messages(quiet, 1), [1]);
  }
  assert.ok(!lanes().some(isNew));
  for (let index = 0; index < USUAL; index++) {
    quiet.postMessage(index);
    await messages(quiet, 1);
  }
  assert.ok(lanes().some(isNew));
});
