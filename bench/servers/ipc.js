'use strict';

/*
 * The program under bench/ipc.js: sends messages to a cluster worker and prints how that went.
 *
 *   node ipc.js node|manycore json|advanced SCENARIO COUNT
 */

const [library, serialization, name, total] = process.argv.slice(2);
const cluster = library === 'manycore' ? require('../..').cluster : require('node:cluster');
const { SCENARIOS } = require('../lib/messages');

const scenario = SCENARIOS[name];

/** @param {import('node:cluster').Worker} worker @param {number} count */
function exchange(worker, count) {
  const { make, chunk, window } = scenario;
  return new Promise((resolve) => {
    const chunks = Math.ceil(count / chunk);
    let sent = 0;
    let acknowledged = 0;
    const send = () => {
      const first = sent++ * chunk;
      for (let i = first; i < first + chunk; i++) worker.send(make(i));
    };
    worker.on('message', function acknowledge() {
      acknowledged++;
      if (sent < chunks) send();
      if (acknowledged < chunks) return;
      worker.off('message', acknowledge);
      resolve(chunks * chunk);
    });
    while (sent < Math.min(window, chunks)) send();
  });
}

async function main() {
  cluster.setupPrimary({ serialization });
  const worker = cluster.fork();
  await new Promise((resolve) => worker.once('message', resolve));
  await exchange(worker, Math.ceil(Number(total) / 4));
  worker.send('start');
  await new Promise((resolve) => worker.once('message', resolve));
  const cpu = process.cpuUsage();
  const startNs = process.hrtime.bigint();
  const messages = await exchange(worker, Number(total));
  const elapsedNs = Number(process.hrtime.bigint() - startNs);
  const { user, system } = process.cpuUsage(cpu);
  worker.send('end');
  const workerUs = await new Promise((resolve) => worker.once('message', resolve));
  worker.disconnect();
  console.log(JSON.stringify({ messages, elapsedNs, cpuUs: user + system + workerUs }));
}

function serve() {
  let received = 0;
  let cpu = process.cpuUsage();
  process.on('message', (message) => {
    if (message === 'start') {
      received = 0;
      cpu = process.cpuUsage();
      process.send('started');
    } else if (message === 'end') {
      const { user, system } = process.cpuUsage(cpu);
      process.send(user + system);
    } else if (++received % scenario.chunk === 0) {
      process.send(received);
    }
  });
  process.send('ready');
}

if (cluster.isPrimary) main();
else serve();
