'use strict';

/* Channels with both ports in one thread, with `manycore/register`: only their speed may differ. */

require('../register');

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const test = require('node:test');
const { inspect, promisify, types } = require('node:util');
const vm = require('node:vm');
const workerThreads = require('node:worker_threads');

const { MessageChannel, MessagePort, Worker, moveMessagePortToContext, receiveMessageOnPort } = workerThreads;
const { WATCHDOG } = require('./support/worker');

const REGISTER = path.join(__dirname, '..', 'register.js');
const OPERATIONS = path.join(__dirname, 'fixtures', 'port-operations.js');

/**
 * Creates a channel that is closed after the test.
 * @param {import('node:test').TestContext} t
 */
function open(t) {
  const channel = new MessageChannel();
  t.after(() => channel.port1.close());
  return channel;
}

/**
 * Returns the next `count` messages of a port.
 * @param {any} port
 * @param {number} count
 * @returns {Promise<any[]>}
 */
function receive(port, count) {
  return new Promise((resolve) => {
    /** @type {any[]} */
    const received = [];
    port.on('message', function collect(/** @type {any} */ value) {
      received.push(value);
      if (received.length < count) return;
      port.off('message', collect);
      resolve(received);
    });
  });
}

/** Returns all messages queued at a port. @param {any} port */
function takeAll(port) {
  const taken = [];
  for (let next; (next = receiveMessageOnPort(port)) !== undefined;) taken.push(next.message);
  return taken;
}

/** Posts messages of all kinds, one per number. @param {any} port @param {number[]} numbers */
function postMixed(port, numbers) {
  for (const n of numbers) {
    if (n % 7 === 3) port.postMessage({ n, shared: new SharedArrayBuffer(1) });
    else if (n % 7 === 5) {
      const buffer = new ArrayBuffer(n);
      port.postMessage({ n, buffer }, [buffer]);
    } else if (n % 7 === 6) port.postMessage(n);
    else port.postMessage({ n, text: 'a longer text than eight' });
  }
}

/** @param {any[]} values */
const numbersOf = (values) => values.map((value) => value.n ?? value);
const range = (/** @type {number} */ from, /** @type {number} */ to) =>
  Array.from({ length: to - from }, (_, i) => from + i);

test('ports behave identically with and without manycore', WATCHDOG, async () => {
  const run = promisify(execFile);
  const options = { maxBuffer: 2 ** 28 };
  const args = [OPERATIONS, '1', '400', '40'];
  const [alone, registered] = await Promise.all([
    run(process.execPath, args, options),
    run(process.execPath, ['-r', REGISTER, ...args], options),
  ]);
  assert.ok(alone.stdout.length > 1_000_000);
  // Comparing strings of this size must not print them.
  const [left, right] = [alone.stdout.split('\n'), registered.stdout.split('\n')];
  const at = left.findIndex((line, i) => line !== right[i]);
  assert.deepEqual(right.slice(at - 5, at + 5), left.slice(at - 5, at + 5));
  assert.equal(right.length, left.length);
});

test('MessageChannel looks like Node’s to reflection', () => {
  const channel = new MessageChannel();
  assert.equal(globalThis.MessageChannel, MessageChannel);
  assert.equal(channel.constructor, MessageChannel);
  assert.ok(channel instanceof MessageChannel && channel.port1 instanceof MessagePort);
  assert.deepEqual(Object.keys(channel).sort(), ['port1', 'port2']);
  assert.equal(inspect(MessageChannel), '[Function: MessageChannel]');
  assert.deepEqual([MessageChannel.name, MessageChannel.length], ['MessageChannel', 0]);
  assert.throws(() => Reflect.apply(MessageChannel, undefined, []), { code: 'ERR_CONSTRUCT_CALL_REQUIRED' });
  class Named extends MessageChannel {
    name = 'mine';
  }
  const named = new Named();
  assert.ok(named instanceof Named && named.port1 instanceof MessagePort && named.name === 'mine');
  assert.deepEqual(Object.getOwnPropertyNames(channel.port1), []);
  const { postMessage, close } = MessagePort.prototype;
  assert.deepEqual([postMessage.name, close.name], ['postMessage', 'close']);
  for (const { port1 } of [channel, named]) port1.close();
});

test('misuse throws Node’s own errors', (t) => {
  const { port1 } = open(t);
  const { postMessage } = /** @type {any} */ (MessagePort.prototype);
  assert.throws(() => postMessage.call(undefined, 1), TypeError);
  assert.throws(() => postMessage.call({}, 1), TypeError);
  assert.throws(() => /** @type {any} */ (port1).postMessage(), { code: 'ERR_MISSING_ARGS' });
  assert.throws(() => /** @type {any} */ (port1).postMessage(1, 1), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => port1.postMessage(Symbol('a')), { name: 'DataCloneError', code: 25 });
  assert.throws(() => receiveMessageOnPort(/** @type {any} */ ({})), { code: 'ERR_INVALID_ARG_TYPE' });
});

test('values are copied when they are posted', async (t) => {
  const { port1, port2 } = open(t);
  const value = { list: [1, { deep: true }], date: new Date(5), self: /** @type {any} */ (null) };
  value.self = value;
  port1.postMessage(value);
  value.list.push(2);
  const [copy] = await receive(port2, 1);
  assert.notEqual(copy, value);
  assert.deepEqual(copy.list, [1, { deep: true }]);
  assert.ok(types.isDate(copy.date) && copy.self === copy);
});

test('a hundred thousand messages wait for a listener, and arrive in order', WATCHDOG, async (t) => {
  const { port1, port2 } = open(t);
  const numbers = range(0, 100_000);
  for (const n of numbers) port1.postMessage(n % 2 ? n : { n });
  assert.deepEqual(numbersOf([receiveMessageOnPort(port2)?.message]), [0]);
  assert.deepEqual(numbersOf(await receive(port2, 99_999)), numbers.slice(1));
});

test('messages that only Node can carry keep their position', WATCHDOG, async (t) => {
  const { port1, port2 } = open(t);
  postMixed(port1, range(0, 50));
  assert.deepEqual(numbersOf([receiveMessageOnPort(port2)?.message]), [0]);
  const rest = receive(port2, 1999);
  for (let from = 50; from < 2000; from += 50) {
    postMixed(port1, range(from, from + 50));
    if (from % 100 === 0) await new Promise(setImmediate);
  }
  assert.deepEqual(numbersOf(await rest), range(1, 2000));
});

test('timers fire during an endless message exchange', WATCHDOG, async (t) => {
  const { port1, port2 } = open(t);
  let isOver = false;
  let count = 0;
  port1.on('message', (n) => !isOver && port1.postMessage(n));
  port2.on('message', (n) => {
    count++;
    port2.postMessage(n);
  });
  port1.postMessage('ball');
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setTimeout(resolve, 0));
  isOver = true;
  assert.ok(count > 0);
});

test('ticks and microtasks queued by a message run before the next message', async (t) => {
  const { port1, port2 } = open(t);
  /** @type {string[]} */
  const order = [];
  for (let n = 0; n < 3; n++) port1.postMessage(n);
  await new Promise((resolve) =>
    port2.on('message', (n) => {
      order.push(`message ${n}`);
      process.nextTick(() => order.push(`tick ${n}`));
      Promise.resolve().then(() => order.push(`microtask ${n}`));
      if (n === 2) setImmediate(resolve);
    }),
  );
  assert.deepEqual(
    order,
    range(0, 3).flatMap((n) => [`message ${n}`, `tick ${n}`, `microtask ${n}`]),
  );
});

test('a throwing listener does not hold up later messages', WATCHDOG, async () => {
  const source = `
    const { MessageChannel } = require('worker_threads');
    const { port1, port2 } = new MessageChannel();
    const seen = [];
    process.on('uncaughtException', ({ message }) => seen.push(message));
    port2.on('message', (n) => {
      seen.push(n);
      if (n === 5) { port1.close(); port2.on('close', () => console.log(seen.join())); }
      if (n % 2 === 0) throw new Error('thrown ' + n);
    });
    for (let n = 0; n <= 5; n++) port1.postMessage(n);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-r', REGISTER, '-e', source]);
  assert.equal(stdout.trim(), '0,thrown 0,1,2,thrown 2,3,4,thrown 4,5');
});

test('transferring a port to a worker moves its pending messages, in order', WATCHDOG, async (t) => {
  const worker = new Worker(
    `const { parentPort, workerData, receiveMessageOnPort } = require('worker_threads');
     const all = (port) => {
       const taken = [];
       for (let next; (next = receiveMessageOnPort(port));) taken.push(next.message.n ?? next.message);
       return taken;
     };
     parentPort.postMessage(all(workerData.port));
     parentPort.on('message', (port) => parentPort.postMessage([all(port), port], [port]));`,
    { eval: true, ...given() },
  );
  t.after(() => worker.terminate());
  function given() {
    const { port1, port2 } = open(t);
    postMixed(port1, range(0, 20));
    return { workerData: { port: port2 }, transferList: [port2] };
  }
  assert.deepEqual((await once(worker, 'message'))[0], range(0, 20));

  const ways = [
    (/** @type {any} */ port) => worker.postMessage(port, [port]),
    (/** @type {any} */ port) => worker.postMessage(port, /** @type {any} */ ({ transfer: [port] })),
    (/** @type {any} */ port) => worker.postMessage(port, /** @type {any} */ (new Set([port]).values())),
  ];
  for (const send of ways) {
    const { port1, port2 } = open(t);
    postMixed(port1, range(0, 20));
    // One of them is being delivered while the port is transferred, the others are not.
    const went = new Promise((resolve) => port2.once('message', () => resolve(send(port2))));
    await went;
    postMixed(port1, range(20, 40));
    const [[taken, back]] = await once(worker, 'message');
    // Messages posted after the worker's last look are still at the returned port.
    assert.deepEqual([...taken, ...numbersOf(takeAll(back))], range(1, 40));
    back.postMessage('to the other');
    assert.deepEqual(await receive(port1, 1), ['to the other']);
  }
});

test('a failed transfer leaves the port and its pending messages in place', WATCHDOG, async (t) => {
  const { port1, port2 } = open(t);
  const other = open(t);
  port1.postMessage(1);
  for (const list of [[port2], new Set([port2])]) {
    assert.throws(() => other.port1.postMessage(() => {}, /** @type {any} */ (list)), {
      name: 'DataCloneError',
    });
  }
  port1.postMessage(2);
  assert.deepEqual(await receive(port2, 2), [1, 2]);
  port1.postMessage({ n: 3 });
  port2.postMessage({ n: 4 });
  assert.deepEqual([takeAll(port1), takeAll(port2)], [[{ n: 4 }], [{ n: 3 }]]);
});

test('a transfer list is iterated once, as in Node', (t) => {
  const { port1, port2 } = open(t);
  const passed = open(t);
  const list = function* () {
    yield passed.port1;
    yield passed.port2;
  };
  const iterator = list();
  port1.postMessage([passed.port1, passed.port2], /** @type {any} */ (iterator));
  assert.deepEqual(iterator.next(), { done: true, value: undefined });
  const [[first, second]] = takeAll(port2);
  first.postMessage('through both');
  assert.deepEqual(takeAll(second), ['through both']);
});

test('structuredClone and moveMessagePortToContext move ports with their pending messages', async (t) => {
  const { port1, port2 } = open(t);
  postMixed(port1, range(0, 10));
  const [cloned] = structuredClone([port2], { transfer: [port2] });
  postMixed(port1, range(10, 20));
  assert.deepEqual(numbersOf(takeAll(cloned)), range(0, 20));

  const other = open(t);
  postMixed(other.port1, range(0, 10));
  const context = vm.createContext();
  const moved = moveMessagePortToContext(other.port2, context);
  assert.ok(!(moved instanceof MessagePort));
  assert.equal(numbersOf(takeAll(moved)).length, 10);
});

test('requests on a port do not affect the order of its messages', WATCHDOG, async (t) => {
  const { port1, port2 } = open(t);
  const received = receive(port2, 4);
  port1.postMessage(1);
  port1.postMessage({ n: 2 });
  /** @type {any} */ (port2).onRequest((/** @type {number} */ n) => n + 1);
  port1.postMessage(3);
  assert.equal(await /** @type {any} */ (port1).request(41), 42);
  port1.postMessage({ n: 4 });
  assert.deepEqual(numbersOf(await received), [1, 2, 3, 4]);
});

test('a program exits when only a port without listeners remains', WATCHDOG, async () => {
  const source = `
    const { MessageChannel, receiveMessageOnPort } = require('worker_threads');
    const { port1, port2 } = new MessageChannel();
    port1.postMessage({ left: true });
    port2.on('message', console.log).unref();
    const other = new MessageChannel();
    for (let i = 0; i < 5000; i++) other.port1.postMessage(i);
    other.port2.once('message', (n) => console.log('got', n));
    other.port1.on('message', () => {});
    other.port1.unref();`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-r', REGISTER, '-e', source]);
  const alone = await promisify(execFile)(process.execPath, ['-e', source]);
  assert.equal(stdout, alone.stdout);
});

test('a Node thread without manycore can use a port', WATCHDOG, async () => {
  const hooks = `data:text/javascript,export const initialize = ({ port }) =>
    port.on('message', (value) => port.postMessage(['heard', value])).unref();`;
  const source = `
    const { MessageChannel } = require('worker_threads');
    const { register } = require('module');
    const { port1, port2 } = new MessageChannel();
    port1.postMessage('before');
    register(${JSON.stringify(hooks)}, { data: { port: port2 }, transferList: [port2] });
    port1.postMessage({ n: 'after' });
    const seen = [];
    port1.on('message', (m) => { if (seen.push(m) === 2) { console.log(JSON.stringify(seen)); port1.close(); } });`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-r', REGISTER, '-e', source]);
  assert.deepEqual(JSON.parse(stdout), [
    ['heard', 'before'],
    ['heard', { n: 'after' }],
  ]);
});

const { postMessageToThread } = /** @type {any} */ (workerThreads);
test('postMessageToThread transfers ports', { ...WATCHDOG, skip: !postMessageToThread }, async (t) => {
  const worker = new Worker(
    `const { parentPort, receiveMessageOnPort } = require('worker_threads');
     process.on('workerMessage', (port) => parentPort.postMessage(receiveMessageOnPort(port)));
     parentPort.on('message', () => {});
     parentPort.postMessage('ready');`,
    { eval: true },
  );
  t.after(() => worker.terminate());
  await once(worker, 'message');
  const { port1, port2 } = open(t);
  port1.postMessage({ n: 1 });
  const answered = once(worker, 'message');
  await postMessageToThread(worker.threadId, port2, [port2]);
  assert.deepEqual((await answered)[0], { message: { n: 1 } });
});
