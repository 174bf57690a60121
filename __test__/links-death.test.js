'use strict';

/*
 * Either end of a link ends in each of the link's states. The other one is notified as by Node, everything posted
 * before an orderly end arrives, pending requests fail, and nothing is left behind.
 */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { once } = require('node:events');

const { Worker, configureLink, linkStatus } = require('..');
const { state } = require('../lib/threads/launch');
const { WATCHDOG, start, untilExit } = require('./support/worker');

const LIBRARY = JSON.stringify(path.join(__dirname, '..'));
const LAUNCH = JSON.stringify(require.resolve('../lib/threads/launch'));
const USUAL = state.lanesAfter;
const GONE = { code: 'ERR_MANYCORE_PEER_GONE' };

before(() => (state.lanesAfter = 0));
after(() => (state.lanesAfter = USUAL));

/** Prologue of workers: the port, manycore, and a counter of posted messages that outlives them. */
const PROLOGUE = `
  const { parentPort, workerData: posted } = require('node:worker_threads');
  const manycore = require(${LIBRARY});
  const post = () => { parentPort.postMessage(posted[0]); posted[0]++; };
  const end = () => process.exit(7);
  const announce = () => { Atomics.store(posted, 1, 1); Atomics.notify(posted, 1); };`;

/**
 * Worker code that is ended either by its own `end()`, or by terminate() after it has announced itself.
 * @type {Record<string, { body: string, before?: (worker: any) => void }>}
 */
const SENDING = {
  'before lanes exist': { body: 'post(); post(); ENDING' },
  'idle on its lane': { body: 'for (let i = 0; i < 10; i++) post(); setTimeout(() => { ENDING }, 0);' },
  'in the middle of a burst': { body: 'for (let i = 0; i < 3000; i++) post(); ENDING' },
  'with records waiting for room in the ring': {
    body: `for (let i = 0; i < 3000; i++) { parentPort.postMessage([posted[0], '${'x'.repeat(2000)}']); posted[0]++; } ENDING`,
  },
  'while waiting for the ring to drain': {
    body: `manycore.configureLink(parentPort, { highWaterMarkBytes: 1000 });
      while (!manycore.linkStatus(parentPort).needsDrain) post();
      manycore.linkDrained(parentPort);
      ENDING`,
  },
  'while polling for messages': {
    body: `manycore.configureLink(parentPort, { latency: 'low' });
      parentPort.on('message', () => { post(); if (posted[0] === 50) { ENDING } });
      post();`,
    before: (worker) => worker.on('message', () => worker.postMessage(0)),
  },
};

/** @param {import('node:test').TestContext} t @param {string} body */
function startCounting(t, body) {
  const workerData = new Int32Array(new SharedArrayBuffer(8));
  return { worker: start(t, PROLOGUE + body, { workerData }), posted: workerData };
}

/** As that, for one that ends by itself: a test keeps hold of the others. @param {string} body */
function startEnding(body) {
  return new Worker(PROLOGUE + body, { eval: true, workerData: new Int32Array(new SharedArrayBuffer(8)) });
}

for (const [name, { body, before: prepare }] of Object.entries(SENDING)) {
  test(`a worker exits ${name}: everything it posted is received`, WATCHDOG, async (t) => {
    state.lanesAfter = name.startsWith('before') ? USUAL : 0;
    const { worker, posted } = startCounting(t, body.replace('ENDING', 'end();'));
    prepare?.(worker);
    const { received, code } = await untilExit(worker);
    assert.equal(code, 7);
    assert.ok(posted[0] > 0);
    assert.deepEqual(
      received.map((message) => (Array.isArray(message) ? message[0] : message)),
      Array.from({ length: posted[0] }, (_, index) => index),
    );
    assert.equal(configureLink(worker, {}), false);
    state.lanesAfter = 0;
  });

  test(`a worker is terminated ${name}: received messages are intact and in order`, WATCHDOG, async (t) => {
    state.lanesAfter = name.startsWith('before') ? USUAL : 0;
    const { worker, posted } = startCounting(t, body.replace('ENDING', 'announce(); for (;;);'));
    prepare?.(worker);
    const done = untilExit(worker);
    // If it needs no replies to get there.
    if (prepare === undefined) Atomics.wait(posted, 1, 0);
    else while (posted[1] === 0) await new Promise(setImmediate);
    assert.equal(await worker.terminate(), 1);
    const { received } = await done;
    const indices = received.map((message) => (Array.isArray(message) ? message[0] : message));
    assert.deepEqual(
      indices,
      indices.map((_, index) => index),
    );
    assert.ok(indices.length <= posted[0]);
    assert.deepEqual(linkStatus(worker), { bufferedAmount: 0, needsDrain: false });
    state.lanesAfter = 0;
  });
}

/** Ways in which a worker ends, within a handler or after sending a request. */
const ENDS = {
  exits: 'end();',
  'throws asynchronously': 'process.nextTick(() => { throw new Error("expected"); });',
};

for (const [name, ending] of Object.entries(ENDS)) {
  test(`a worker ${name} during requests: the requesters are notified`, WATCHDOG, async (t) => {
    const { worker } = startCounting(
      t,
      `parentPort.onRequest((value) => value === 'end' ? ((() => { ${ending} })(), new Promise(() => {})) : value);`,
    );
    worker.on('error', (error) => assert.equal(error.message, 'expected'));
    assert.equal(await worker.request(1), 1);
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    const asked = [worker.request('end'), worker.request('end'), worker.request('never')];
    await Promise.all(asked.slice(0, 2).map((each) => assert.rejects(each, GONE)));
    await asked[2].catch((error) => assert.equal(error.code, GONE.code));
    await exited;
    await assert.rejects(worker.request(1), GONE);
    assert.throws(() => worker.call(1), GONE);
  });

  test(`a worker ${name} during a call: the blocked caller is notified`, WATCHDOG, async (t) => {
    const { worker } = startCounting(
      t,
      `parentPort.onRequest((value) => value === 'end' ? ((() => { ${ending} })(), new Promise(() => {})) : value);`,
    );
    worker.on('error', (error) => assert.equal(error.message, 'expected'));
    assert.equal(worker.call(1), 1);
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    assert.throws(() => worker.call('end'), GONE);
    await exited;
  });
}

/** Worker code that sends requests without getting a reply. */
const ASKING = {
  'a request to its parent': `parentPort.request('mine').catch(() => {});`,
  'a blocking call to its parent': `parentPort.call('mine');`,
};

for (const [name, ask] of Object.entries(ASKING)) {
  test(`a worker is terminated in ${name}: the handler is notified`, WATCHDOG, async (t) => {
    const { worker } = startCounting(t, ask);
    const signal = await new Promise((resolve) => {
      worker.onRequest((value, context) => {
        assert.equal(value, 'mine');
        resolve(context.signal);
        return new Promise(() => {});
      });
    });
    const aborted = once(signal, 'abort');
    assert.equal(await worker.terminate(), 1);
    await aborted;
  });
}

/** What a thread does with its own worker when it is terminated; it has announced itself by then. */
const MIDDLES = {
  'idle on its lanes': 'inner.once("message", announce); inner.postMessage(0);',
  'while receiving messages': 'inner.on("message", announce); inner.postMessage("flood");',
  'with records waiting for room in the ring':
    'for (let i = 0; i < 3000; i++) inner.postMessage("x".repeat(2000)); announce();',
  'while waiting for the ring to drain': `
    inner.postMessage('block');
    manycore.configureLink(inner, { highWaterMarkBytes: 1000 });
    while (!manycore.linkStatus(inner).needsDrain) inner.postMessage(0);
    manycore.linkDrained(inner); announce();`,
  'in a request': 'inner.request("never"); inner.request(0).then(announce);',
  'in a blocking call': 'inner.onRequest(announce); inner.call("ask");',
};

for (const [name, body] of Object.entries(MIDDLES)) {
  test(`a thread is terminated ${name} with its worker: nothing hangs`, WATCHDOG, async (t) => {
    const inner = `
      const { parentPort } = require('node:worker_threads');
      parentPort.on('message', (message) => {
        if (message === 'flood') for (let i = 0; i < 1e6; i++) parentPort.postMessage(i);
        else if (message === 'block') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
        else if (message === 0) parentPort.postMessage(message);
      });
      parentPort.onRequest((value) => {
        if (value === 0) return value;
        if (value === 'ask') parentPort.request('asked').catch(() => {});
        return new Promise(() => {});
      });`;
    const { worker, posted } = startCounting(
      t,
      `require(${LAUNCH}).state.lanesAfter = 0;
      const inner = new manycore.Worker(${JSON.stringify(inner)}, { eval: true });
      ${body}`,
    );
    const exited = once(worker, 'exit');
    while (posted[1] === 0) await new Promise(setImmediate);
    await worker.terminate();
    await exited;
  });
}

/** Descriptors and mappings of lanes in this process. */
function lanesHeld() {
  const targets = fs.readdirSync('/proc/self/fd').map((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return {
    descriptors: targets.filter((target) => /manycore|eventfd/.test(target)).length,
    mappings: fs.readFileSync('/proc/self/maps', 'utf8').split('memfd:manycore-lane').length - 1,
  };
}

/**
 * Waits until few enough descriptors and mappings are left, when the garbage collector has run, within the time
 * limit of the test.
 */
async function settled(/** @type {(held: ReturnType<typeof lanesHeld>) => boolean} */ isEnough) {
  require('node:v8').setFlagsFromString('--expose-gc');
  const collect = require('node:vm').runInNewContext('gc');
  for (;;) {
    collect();
    await new Promise(setImmediate);
    const held = lanesHeld();
    if (isEnough(held)) return held;
  }
}

/** Workers that have ended in every state, one after the other. */
async function endInEveryState() {
  const workers = [];
  for (const { body } of Object.values(SENDING).slice(0, 5)) {
    const worker = startEnding(body.replace('ENDING', 'end();'));
    await untilExit(worker);
    workers.push(worker);
  }
  const worker = startEnding('parentPort.onRequest(() => end());');
  assert.throws(() => worker.call(1), GONE);
  await once(worker, 'exit');
  return [...workers, worker];
}

test('exits in every state leak neither descriptors nor mappings', WATCHDOG, async () => {
  await endInEveryState();
  const base = await settled(() => true);
  for (let i = 0; i < 3; i++) await endInEveryState();
  await settled((held) => held.mappings <= base.mappings && held.descriptors <= base.descriptors);
});

test('references to exited workers do not retain their lanes', WATCHDOG, async () => {
  await endInEveryState();
  const none = await settled((held) => held.mappings === 0);
  const kept = [...(await endInEveryState()), ...(await endInEveryState())];
  // Got a request before it has started, and none afterwards: its end of the lanes is unused.
  const silent = new Worker('', { eval: true });
  const asked = assert.rejects(silent.request(1), GONE);
  assert.ok(lanesHeld().mappings > 0);
  await once(silent, 'exit');
  await asked;
  await settled((held) => held.mappings === 0 && held.descriptors <= none.descriptors);
  for (const worker of [...kept, silent]) {
    assert.deepEqual(linkStatus(worker), { bufferedAmount: 0, needsDrain: false });
    assert.throws(() => worker.call(1), GONE);
    assert.equal(worker.postMessage(1), undefined);
  }
});
