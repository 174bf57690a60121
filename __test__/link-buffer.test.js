'use strict';

/* `linkBuffer()`: buffers that are passed to a thread or process instead of copied. */

const assert = require('node:assert/strict');
const test = require('node:test');
const { once } = require('node:events');

const { MessageChannel, Worker, linkBuffer } = require('..');
const { Program } = require('./support/program');
const { play } = require('./support/scenario');

const WATCHDOG = { timeout: 60_000 };
const MIB = 1024 * 1024;
const LENGTH = 100_000;

/** Creates a worker that tells about the buffers it receives, or sends one of its own. */
function makeWorker() {
  const source = `
    const { parentPort } = require('node:worker_threads');
    const { configureLink, linkBuffer } = require(${JSON.stringify(require.resolve('..'))});
    let kept;
    parentPort.on('message', (message) => {
      if (message.views !== undefined) parentPort.postMessage(configureLink(parentPort, message));
      else if (message.length) {
        const bytes = new Uint8Array(linkBuffer(parentPort, message.length)).fill(message.fill);
        parentPort.postMessage(bytes);
        parentPort.postMessage(bytes.length);
      } else if (message.ask) parentPort.postMessage(kept.byteLength);
      else {
        kept = message.bytes;
        parentPort.postMessage([kept.length, kept[0], kept.every((byte) => byte === kept[0])]);
      }
    });
    parentPort.postMessage('ready');`;
  return new Worker(source, { eval: true });
}

/** @param {Worker} worker */
async function ask(worker, message) {
  const answer = once(worker, 'message');
  worker.postMessage(message);
  return (await answer)[0];
}

test('buffers of a link are passed between threads', WATCHDOG, async (t) => {
  const worker = makeWorker();
  t.after(() => worker.terminate());
  await once(worker, 'message');
  // The worker has not switched to its lanes yet: an ordinary buffer, which is copied.
  const early = new Uint8Array(linkBuffer(worker, LENGTH)).fill(1);
  assert.deepEqual(await ask(worker, { bytes: early }), [LENGTH, 1, true]);
  assert.equal(early.length, LENGTH);
  // It does with its first setting.
  assert.equal(await ask(worker, { views: false }), true);
  assert.equal(await ask(worker, { ask: true }), LENGTH);
  for (const views of [false, true]) {
    assert.equal(await ask(worker, { views }), true);
    for (let fill = 0; fill < 50; fill++) {
      const bytes = new Uint8Array(linkBuffer(worker, LENGTH)).fill(fill);
      assert.deepEqual(await ask(worker, { bytes }), [LENGTH, fill, true]);
      assert.equal(bytes.length, 0);
      assert.equal(await ask(worker, { ask: true }), views ? 0 : LENGTH);
    }
  }
  const messages = [];
  worker.on('message', (message) => messages.push(message));
  worker.postMessage({ length: LENGTH, fill: 9 });
  while (messages.length < 2) await once(worker, 'message');
  const [bytes, left] = messages;
  assert.ok(left === 0 && bytes.length === LENGTH && bytes.every((byte) => byte === 9));
});

test('what a link cannot pass is an ordinary buffer', WATCHDOG, async (t) => {
  const worker = makeWorker();
  t.after(() => worker.terminate());
  await once(worker, 'message');
  await ask(worker, { views: false });
  const { port1 } = new MessageChannel();
  t.after(() => port1.close());
  for (const [end, length] of [
    [worker, 0],
    [worker, 1000],
    [worker, 65 * MIB],
    [port1, MIB],
    [{}, MIB],
  ]) {
    const buffer = linkBuffer(end, length);
    assert.ok(buffer instanceof ArrayBuffer && buffer.byteLength === length);
    if (end === worker) worker.postMessage({ bytes: new Uint8Array(buffer) });
    assert.equal(buffer.byteLength, length);
  }
  // The buffer of a link is copied like any other where it goes another way.
  const buffer = linkBuffer(worker, MIB);
  new Uint8Array(buffer).fill(3);
  const copy = structuredClone(buffer);
  assert.ok(copy.byteLength === MIB && new Uint8Array(copy)[MIB - 1] === 3);
  assert.equal(buffer.byteLength, MIB);
  await worker.terminate();
  assert.equal(new Uint8Array(buffer)[MIB - 1], 3);
  assert.equal(linkBuffer(worker, MIB).byteLength, MIB);
});

test('invalid lengths are rejected', () => {
  for (const [length, code] of [
    ['1', 'ERR_INVALID_ARG_TYPE'],
    [undefined, 'ERR_INVALID_ARG_TYPE'],
    [-1, 'ERR_OUT_OF_RANGE'],
    [1.5, 'ERR_OUT_OF_RANGE'],
    [Infinity, 'ERR_OUT_OF_RANGE'],
  ]) {
    assert.throws(() => linkBuffer({}, length), { code });
  }
});

for (const serialization of ['advanced', 'json']) {
  test(`buffers of a link are passed between processes (${serialization})`, async (t) => {
    const { result, stderr } = await play(t, {
      env: { SERIALIZATION: serialization },
      async primary({ cluster, once, require }) {
        const { configureLink, linkBuffer } = require(process.env.CLUSTER);
        const isAdvanced = process.env.SERIALIZATION === 'advanced';
        cluster.setupPrimary({ serialization: process.env.SERIALIZATION });
        const worker = cluster.fork();
        await once(worker, 'message');
        const ask = async (message) => {
          const answer = new Promise((resolve) => worker.once('message', (...args) => resolve(args[0])));
          worker.send(message);
          return await answer;
        };
        const length = 100_000;
        const seen = { passed: 0, kept: 0, back: 0 };
        for (let round = 0; round < 200; round++) {
          if (round === 100) await ask({ views: true });
          const bytes = Buffer.from(linkBuffer(worker, length)).fill(round);
          const answer = await ask({ bytes });
          if (!isAdvanced) return { left: bytes.length, answer };
          if (answer.join() === `${[length, round, true]}` && bytes.length === 0) seen.passed++;
          if ((await ask('kept')) === (round < 100 ? length : 0)) seen.kept++;
        }
        configureLink(worker, { views: true });
        for (let round = 0; round < 20; round++) {
          const bytes = await ask({ length, fill: round });
          if (bytes.length === 0 && (await ask('left')) === 0) seen.back++;
        }
        // A worker that dies with buffers that it has not read.
        worker.send('stop');
        for (let i = 0; i < 10; i++) worker.send(Buffer.from(linkBuffer(worker, length)));
        const mine = Buffer.from(linkBuffer(worker, length)).fill(5);
        worker.process.kill('SIGKILL');
        await once(worker, 'exit');
        seen.mine = mine.every((byte) => byte === 5);
        seen.after = linkBuffer(worker, length).byteLength;
        return seen;
      },
      worker({ require }) {
        const { configureLink, linkBuffer } = require(process.env.CLUSTER);
        let kept;
        let left;
        process.on('message', (message) => {
          if (message === 'kept') return process.send(kept.length);
          if (message === 'left') return process.send(left);
          if (message === 'stop') for (;;);
          if (message.views !== undefined) return process.send(configureLink(process, message));
          if (message.length) {
            const bytes = Buffer.from(linkBuffer(process, message.length)).fill(message.fill);
            process.send(bytes);
            return (left = bytes.length);
          }
          kept = message.bytes;
          process.send([kept.length, kept[0], kept.every?.((byte) => byte === kept[0])]);
        });
        process.send('ready');
      },
    });
    if (serialization === 'json') {
      assert.equal(result?.left, 100_000, stderr);
    } else {
      const all = { passed: 200, kept: 200, back: 20, mine: true, after: 100_000 };
      assert.deepEqual(result, all, stderr);
    }
  });
}

/* A worker moves the memory that it was given to an ArrayBuffer of its parent's, and ends. */
const MOVED = `
  const { once } = require('node:events');
  const { Worker, linkBuffer } = require(process.argv[1]);
  const [, , what] = process.argv;
  const worker = new Worker(\`
    const { parentPort } = require('node:worker_threads');
    const { configureLink, linkBuffer } = require(\${JSON.stringify(process.argv[1])});
    parentPort.on('message', ({ views, given }) => {
      if (views !== undefined) return parentPort.postMessage(configureLink(parentPort, { views }));
      const buffer = given ?? linkBuffer(parentPort, 1 << 20);
      if (given === undefined) new Uint8Array(buffer).fill(5);
      const moved = buffer.transfer();
      parentPort.postMessage(moved, [moved]);
      parentPort.close();
    });
    parentPort.postMessage('ready');\`, { eval: true });
  (async () => {
    await once(worker, 'message');
    worker.postMessage({ views: what !== 'own' });
    await once(worker, 'message');
    if (what === 'own') worker.postMessage({});
    else {
      const given = what === 'plain' ? new ArrayBuffer(1 << 20) : linkBuffer(worker, 1 << 20);
      new Uint8Array(given).fill(5);
      worker.postMessage({ given });
    }
    const exit = once(worker, 'exit');
    const [moved] = await once(worker, 'message');
    await exit;
    const bytes = new Uint8Array(moved);
    console.log(bytes.length, bytes.every((byte) => byte === 5));
  })();`;

const canTransfer = 'transfer' in ArrayBuffer.prototype;

for (const what of ['own', 'stored', 'plain']) {
  const title = `memory that a worker has moved to its parent outlives the worker: ${what}`;
  test(title, { ...WATCHDOG, skip: !canTransfer }, async (t) => {
    const program = new Program(['-e', MOVED, require.resolve('..'), what]);
    t.after(() => program.kill());
    const { code, signal } = await program.ended();
    assert.deepEqual([code, signal, program.stdout], [0, null, '1048576 true\n'], program.stderr);
  });
}
