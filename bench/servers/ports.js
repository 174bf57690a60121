'use strict';

/*
 * Program of bench/ports.js, which only uses Node's own module; prints how long its messages took.
 *
 *   node [-r manycore/register] ports.js SCENARIO COUNT
 */

const { BroadcastChannel, MessageChannel, Worker, receiveMessageOnPort } = require('node:worker_threads');

const [name, total] = process.argv.slice(2);
const count = Number(total);
const payload = name.endsWith('string') ? 'text of a message' : { action: 'move the piece', strength: 1234 };
const BURST = 1000;

/**
 * Worker that echoes messages from its parent, from a port given to it and from a channel; a number received on the
 * port replaces that many echoes by one.
 */
const ECHO = `
  const { BroadcastChannel, parentPort, workerData } = require('node:worker_threads');
  const channel = new BroadcastChannel('manycore bench back');
  const heard = new BroadcastChannel('manycore bench');
  heard.onmessage = ({ data }) => channel.postMessage(data);
  let silent = 0;
  workerData.on('message', (value) => {
    if (typeof value === 'number') silent = value;
    else if (silent === 0 || --silent === 0) workerData.postMessage(value);
  });
  parentPort.on('message', (value) => parentPort.postMessage(value));
  parentPort.postMessage('ready');`;

/** Sends one message at a time, within this thread. @param {boolean} isEvent */
function alternate(isEvent) {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    let left = count;
    const next = () => {
      if (--left > 0) return port1.postMessage(payload);
      port1.close();
      resolve(undefined);
    };
    if (isEvent) port2.onmessage = next;
    else port2.on('message', next);
    port1.postMessage(payload);
  });
}

function burst() {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    let received = 0;
    const post = () => {
      for (let i = 0; i < BURST; i++) port1.postMessage(payload);
    };
    port2.on('message', () => {
      if (++received % BURST !== 0) return;
      if (received < count) return post();
      port1.close();
      resolve(undefined);
    });
    post();
  });
}

function read() {
  const { port1, port2 } = new MessageChannel();
  for (let posted = 0; posted < count; posted += BURST) {
    for (let i = 0; i < BURST; i++) port1.postMessage(payload);
    while (receiveMessageOnPort(port2) !== undefined);
  }
  port1.close();
}

/**
 * Makes round trips with `window` outstanding messages.
 * @param {{ postMessage(value: any): void }} to
 * @param {(listener: () => void) => void} listen
 * @param {number} window
 */
function echo(to, listen, window) {
  return new Promise((resolve) => {
    let received = 0;
    const post = () => {
      for (let i = 0; i < window; i++) to.postMessage(payload);
    };
    listen(() => {
      if (++received % window !== 0) return;
      if (received < count) post();
      else resolve(undefined);
    });
    post();
  });
}

/**
 * Sends a thousand messages at a time, of which only the last is echoed.
 * @param {import('node:worker_threads').MessagePort} port
 */
function burstAcross(port) {
  return new Promise((resolve) => {
    let answered = 0;
    const post = () => {
      port.postMessage(BURST);
      for (let i = 0; i < BURST; i++) port.postMessage(payload);
    };
    port.on('message', () => {
      if ((answered += BURST) < count) post();
      else resolve(undefined);
    });
    post();
  });
}

async function main() {
  const { port1, port2 } = new MessageChannel();
  const isAcross = name.includes('echo') || name.startsWith('port') || name.startsWith('broadcast');
  const worker = isAcross ? startWorker(port2) : undefined;
  if (worker !== undefined) await new Promise((resolve) => worker.once('message', resolve));
  const window = name.includes('-10-') ? 10 : 1;
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  if (name.startsWith('event')) await alternate(true);
  else if (name.startsWith('emitter')) await alternate(false);
  else if (name.startsWith('burst')) await burst();
  else if (name.startsWith('read')) read();
  else if (name.startsWith('port-burst')) await burstAcross(port1);
  else if (name.startsWith('port-echo')) await echo(port1, (on) => port1.on('message', on), window);
  else if (name.startsWith('broadcast')) {
    const back = new BroadcastChannel('manycore bench back');
    await echo(new BroadcastChannel('manycore bench'), (on) => (back.onmessage = on), window);
  } else await echo(worker, (on) => worker.on('message', on), window);
  const elapsedNs = Number(process.hrtime.bigint() - start);
  const { user, system } = process.cpuUsage(cpu);
  process.stdout.write(JSON.stringify({ messages: count, elapsedNs, cpuUs: user + system }), () =>
    process.exit(),
  );
}

/** @param {import('node:worker_threads').MessagePort} port */
function startWorker(port) {
  return new Worker(ECHO, { eval: true, workerData: port, transferList: [port] });
}

main();
