'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const test = require('node:test');
const { BroadcastChannel, receiveMessageOnPort } = require('../lib/threads');

const { play } = require('./support/scenario');
const { WATCHDOG, start, messages } = require('./support/worker');

/* Channels that reach every thread, and with `{ scope: 'host' }` every process of the cluster. */

test('within a process, a host channel behaves like any other channel', WATCHDOG, async (t) => {
  const host = new BroadcastChannel('within', { scope: 'host' });
  const plain = new BroadcastChannel('within');
  const other = new BroadcastChannel('another', { scope: 'host' });
  t.after(() => [host, plain, other].forEach((channel) => channel.close()));
  assert.ok(host instanceof BroadcastChannel && plain instanceof BroadcastChannel);
  assert.equal(host.name, 'within');
  let runs = 0;
  const value = {
    get once() {
      return ++runs;
    },
    bytes: new Uint8Array([1, 2, 3]).subarray(1),
    map: new Map([[1, new Date(2)]]),
  };
  plain.postMessage('back');
  assert.deepEqual(receiveMessageOnPort(host), { message: 'back' });
  host.postMessage(value);
  const [event] = await once(plain, 'message');
  assert.equal(runs, 1);
  assert.deepEqual(event.data, { once: 1, bytes: new Uint8Array([2, 3]), map: new Map([[1, new Date(2)]]) });
  assert.equal(event.data.bytes.buffer.byteLength, 3);
  assert.equal(receiveMessageOnPort(other), undefined);
});

test("threads receive each other's messages", WATCHDOG, async (t) => {
  const worker = start(
    t,
    `const { parentPort } = require('worker_threads');
     const channel = new BroadcastChannel('threads', { scope: 'host' });
     channel.onmessage = ({ data }) => { parentPort.postMessage(data); channel.close(); };
     channel.postMessage('up');`,
  );
  const channel = new BroadcastChannel('threads', { scope: 'host' });
  t.after(() => channel.close());
  await once(channel, 'message');
  channel.postMessage('hello');
  assert.deepEqual(await messages(worker, 1), ['hello']);
});

test('invalid arguments and values are rejected', WATCHDOG, () => {
  assert.throws(() => new BroadcastChannel(), { code: 'ERR_MISSING_ARGS' });
  assert.throws(() => new BroadcastChannel('x', { scope: 'world' }), { code: 'ERR_INVALID_ARG_VALUE' });
  const channel = new BroadcastChannel('refused', { scope: 'host' });
  const witness = new BroadcastChannel('refused');
  assert.throws(() => channel.postMessage(), { code: 'ERR_MISSING_ARGS' });
  assert.throws(() => channel.postMessage(() => {}), { name: 'DataCloneError' });
  // Shared memory cannot leave the process.
  assert.throws(() => channel.postMessage(new SharedArrayBuffer(1)), { name: 'DataCloneError' });
  assert.equal(receiveMessageOnPort(witness), undefined);
  channel.close();
  channel.close();
  assert.throws(() => channel.postMessage(1), { name: 'InvalidStateError' });
  witness.close();
});

test('every thread of every process receives each message once, in order', WATCHDOG, async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, once, require }) {
      const { BroadcastChannel } = require('../..');
      const channel = new BroadcastChannel('news', { scope: 'host' });
      const heard = [];
      channel.onmessage = ({ data }) => heard.push(data);
      const workers = [cluster.fork(), cluster.fork(), cluster.fork()];
      // The third has no channel of that name.
      await Promise.all(workers.map((worker) => once(worker, 'message')));
      const reports = workers.slice(0, 2).map((worker) => once(worker, 'message'));
      workers[0].send('post');
      const [first, second] = (await Promise.all(reports)).map(([report]) => report);
      while (heard.length < 50) await once(channel, 'message');
      const fromPrimary = workers.slice(0, 2).map((worker) => once(worker, 'message'));
      channel.postMessage('from the primary');
      const last = (await Promise.all(fromPrimary)).map(([report]) => report);
      channel.close();
      const exits = workers.map((worker) => once(worker, 'exit'));
      for (const worker of workers) worker.process.kill();
      await Promise.all(exits);
      return { heard, first, second, last };
    },
    async worker({ cluster, once, require }) {
      const { BroadcastChannel, Worker } = require('../..');
      if (cluster.worker.id === 3) {
        process.send('ready');
        return;
      }
      const channel = new BroadcastChannel('news', { scope: 'host' });
      const thread = new Worker(
        `const { parentPort, BroadcastChannel } = require('worker_threads');
         const channel = new BroadcastChannel('news', { scope: 'host' });
         const heard = [];
         channel.onmessage = ({ data }) => {
           heard.push(data);
           if (data === 'from the primary') parentPort.postMessage('last');
           if (data === 49) parentPort.postMessage(heard);
         };
         parentPort.on('message', () => { for (let i = 0; i < 50; i++) channel.postMessage(i); });
         parentPort.postMessage('ready');`,
        { eval: true },
      );
      await once(thread, 'message');
      const heard = [];
      let threadHeard;
      const report = () => {
        if (heard.length >= 50 && (threadHeard || cluster.worker.id === 1)) {
          process.send({ main: heard.slice(0, 50), thread: threadHeard });
        }
      };
      channel.onmessage = ({ data }) => {
        if (data === 'from the primary') return;
        heard.push(data);
        if (heard.length === 50) report();
      };
      thread.on('message', (message) => {
        if (message === 'last') process.send('last');
        else if (cluster.worker.id === 2) {
          threadHeard = message;
          report();
        }
      });
      process.on('message', () => thread.postMessage('post'));
      process.send('ready');
    },
  });
  const all = Array.from({ length: 50 }, (_, i) => i);
  assert.deepEqual(result.heard, all);
  assert.deepEqual(result.first, { main: all });
  assert.deepEqual(result.second, { main: all, thread: all });
  assert.deepEqual(result.last, ['last', 'last']);
});

test('nothing is written to exited processes and threads', WATCHDOG, async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, once, require }) {
      const { BroadcastChannel } = require('../..');
      const relay = require('../../lib/threads/broadcast-relay');
      const channel = new BroadcastChannel('mortal', { scope: 'host' });
      const worker = cluster.fork();
      await once(channel, 'message');
      const before = relay.listening('mortal');
      worker.process.kill('SIGKILL');
      await once(worker, 'exit');
      channel.postMessage('into the void');
      const after = relay.listening('mortal');
      channel.close();
      return { before, after, end: relay.listening('mortal') };
    },
    worker({ require }) {
      const { BroadcastChannel } = require('../..');
      new BroadcastChannel('mortal', { scope: 'host' }).postMessage('up');
    },
  });
  assert.deepEqual(result, { before: 2, after: 1, end: 0 });
});

test('an exiting thread removes its channel names', WATCHDOG, async (t) => {
  const relay = require('../lib/threads/broadcast-relay');
  const channel = new BroadcastChannel('brief', { scope: 'host' });
  t.after(() => channel.close());
  const worker = start(
    t,
    `new (require('worker_threads').BroadcastChannel)('brief', { scope: 'host' }).postMessage('up');`,
  );
  await once(channel, 'message');
  // The message came through Node's own channel, the name comes through the worker's port.
  while (relay.listening('brief') < 2) await new Promise(setImmediate);
  assert.equal(relay.listening('brief'), 2);
  await worker.terminate();
  assert.equal(relay.listening('brief'), 1);
});
