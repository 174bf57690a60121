'use strict';

/* Ports in different threads, with `manycore/register`: only their speed may differ. */

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const path = require('node:path');
const test = require('node:test');
const { promisify } = require('node:util');

const { loadAddon } = require('../lib/core/addon');
const { WATCHDOG } = require('./support/worker');

const REGISTER = path.join(__dirname, '..', 'register.js');
const LATENCIES = ['frugal', 'balanced', 'low'];

/**
 * Returns the output of a program with manycore, after checking that it is the same without.
 * @param {string} source
 * @param {string} latency
 */
async function printed(source, latency) {
  const env = { ...process.env, MANYCORE_LATENCY: latency };
  const options = { env, timeout: WATCHDOG.timeout };
  const { stdout } = await promisify(execFile)(process.execPath, ['-r', REGISTER, '-e', source], options);
  const alone = await promisify(execFile)(process.execPath, ['-e', source], options);
  assert.equal(stdout, alone.stdout);
  return stdout;
}

/** Echoes messages, and ends when its port is closed. */
const ECHO = `
  const { workerData, threadId } = require('worker_threads');
  workerData.on('message', (value) => {
    const answer = { n: value.n, list: [value.n], threadId };
    Promise.resolve().then(() => workerData.postMessage(answer));
  });`;

for (const latency of LATENCIES) {
  test(
    `a port transferred to a worker carries messages both ways with ${latency} latency`,
    WATCHDOG,
    async () => {
      const source = `
      const { MessageChannel, Worker } = require('worker_threads');
      const { port1, port2 } = new MessageChannel();
      const worker = new Worker(${JSON.stringify(ECHO)}, { eval: true, workerData: port2, transferList: [port2] });
      let next = 0, timers = 0;
      const timer = setInterval(() => timers++, 1);
      port1.onmessage = ({ data, ports }) => {
        if (data.n !== next || data.list[0] !== next || ports.length !== 0) throw new Error('order');
        next++;
        if (next % 10 === 0 && next < 2000) for (let i = 0; i < 10; i++) port1.postMessage({ n: next + i });
        if (next < 2000 || timers < 3) return next < 2000 ? undefined : port1.postMessage({ n: next });
        clearInterval(timer);
        port1.close();
      };
      for (let i = 0; i < 10; i++) port1.postMessage({ n: i });
      worker.on('exit', (code) => console.log('ended', code));`;
      assert.equal(await printed(source, latency), 'ended 0\n');
    },
  );
}

test('a port transferred to another worker mid-stream takes its messages along', WATCHDOG, async () => {
  const first = `
    const { parentPort, workerData } = require('worker_threads');
    let count = 0;
    workerData.on('message', function forward(n) {
      workerData.postMessage(n);
      if (++count < 500) return;
      workerData.off('message', forward);
      parentPort.postMessage(workerData, [workerData]);
    });`;
  const second = `
    const { parentPort } = require('worker_threads');
    parentPort.once('message', (port) => port.on('message', (n) => port.postMessage(n)));`;
  const source = `
    const { MessageChannel, Worker } = require('worker_threads');
    const { port1, port2 } = new MessageChannel();
    const first = new Worker(${JSON.stringify(first)}, { eval: true, workerData: port2, transferList: [port2] });
    const second = new Worker(${JSON.stringify(second)}, { eval: true });
    first.on('message', (port) => second.postMessage(port, [port]));
    let next = 0;
    port1.on('message', (n) => {
      if (n !== next++) throw new Error('order');
      if (n + 32 < 2000) port1.postMessage(n + 32);
      if (next < 2000) return;
      console.log('all');
      port1.close();
    });
    for (let i = 0; i < 32; i++) port1.postMessage(i);`;
  assert.equal(await printed(source, 'low'), 'all\n');
});

test('a channel connects two threads', WATCHDOG, async () => {
  const worker = `
    const there = new BroadcastChannel('there'), back = new BroadcastChannel('back');
    there.onmessage = ({ data }) => (data === 'end' ? [there, back].map((each) => each.close()) : back.postMessage(data));
    back.postMessage(-1);`;
  const source = `
    const { Worker } = require('worker_threads');
    const there = new BroadcastChannel('there'), back = new BroadcastChannel('back');
    let next = -1;
    back.onmessage = ({ data }) => {
      if (data !== next++) throw new Error('order');
      there.postMessage(next < 1000 ? next : 'end');
      if (next === 1000) [there, back].map((each) => each.close());
    };
    new Worker(${JSON.stringify(worker)}, { eval: true }).on('exit', (code) => console.log('ended', code));`;
  assert.equal(await printed(source, 'low'), 'ended 0\n');
});

test('threads can exit while polling, with or before their parents', WATCHDOG, async () => {
  const source = `
    const { MessageChannel, Worker } = require('worker_threads');
    const { once } = require('events');
    async function live(count) {
      const { port1, port2 } = new MessageChannel();
      const worker = new Worker(${JSON.stringify(ECHO)}, { eval: true, workerData: port2, transferList: [port2] });
      let left = count;
      port1.on('message', ({ n }) => (left-- > 0 ? port1.postMessage({ n }) : worker.terminate()));
      port1.postMessage({ n: 1 });
      await once(worker, 'exit');
    }
    (async () => {
      for (let i = 0; i < 20; i++) await Promise.all([live(60 + i * 10), live(60 + i * 10)]);
      console.log('ended');
      live(Infinity);
      setTimeout(() => process.exit(), 20);
    })();`;
  assert.equal(await printed(source, 'low'), 'ended\n');
});

test(
  'the event loop keeps turning for a while after a message, except with frugal latency',
  WATCHDOG,
  async () => {
    const source = `
    const addon = require(${JSON.stringify(require.resolve('../lib/core/addon'))}).loadAddon();
    const { setTimeout } = require('timers/promises');
    const turns = () => performance.nodeTiming.uvMetricsInfo.loopCount;
    (async () => {
      const arrived = addon.watchLoop();
      let most = 0;
      const isFrugal = process.env.MANYCORE_LATENCY === 'frugal';
      for (let i = 0; isFrugal ? i < 20 : most < 20; i++) {
        const before = turns();
        arrived();
        await setTimeout(2);
        most = Math.max(most, turns() - before);
      }
      console.log(most);
      // It holds no program up.
      arrived();
    })();`;
    assert.equal(typeof loadAddon()?.watchLoop, 'function');
    const turnsWith = async (/** @type {string} */ latency) => {
      const env = { ...process.env, MANYCORE_LATENCY: latency };
      const { stdout } = await promisify(execFile)(process.execPath, ['-e', source], {
        env,
        timeout: 60_000,
      });
      return Number(stdout);
    };
    assert.ok((await turnsWith('low')) >= 20);
    assert.ok((await turnsWith('frugal')) < 20);
  },
);
