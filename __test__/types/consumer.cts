// A CommonJS consumer: compiled, never run.

import manycore = require('manycore');
import cluster = require('manycore/cluster');
import threads = require('manycore/worker_threads');
import type { Address } from 'node:cluster';

const policies: manycore.SchedulingPolicy[] = [
  cluster.SCHED_RR,
  cluster.SCHED_NONE,
  'rr',
  'none',
  'least-connections',
  'p2c',
  'ip-hash',
  (connection, workers) => {
    const sameHost: boolean = connection.remoteAddress === '127.0.0.1';
    return workers[sameHost ? 0 : workers.length - 1];
  },
];
for (const policy of policies) cluster.schedulingPolicy = policy;
// @ts-expect-error no such policy
cluster.schedulingPolicy = 'fastest';

if (manycore.cluster.isPrimary) {
  manycore.cluster.setupPrimary({ args: [], stallLimitMs: 20 });
  const worker: manycore.ClusterWorker = manycore.cluster.fork({ ROLE: 'web' });
  const load = worker.load;
  if (load === undefined) throw new Error('no addon');
  const { connections, requests, loopLagMs, unclaimed, rssBytes, cpu } = load;
  const numbers: number[] = [connections, requests, loopLagMs, unclaimed, rssBytes, cpu.user, cpu.system];
  numbers.push(worker.id, worker.process.pid ?? 0);
  // @ts-expect-error the load is the worker's to report
  load.connections = 1;
  manycore.cluster
    .on('exit', (who, code, signal) => [who.load?.cpu, code.toFixed(), signal.length])
    .once('listening', (who, address: Address) => [who.id, address.port])
    .on('stall', (who, { moved }) => [who.id, moved.toFixed()])
    .on('anything else', (...args) => args.length);
  // @ts-expect-error 'online' comes with the worker alone
  manycore.cluster.on('online', (...[who, code]: manycore.ClusterEvents['online']) => [who, code]);
}

const thread: threads.Worker = new manycore.Worker('', { eval: true, workerData: { n: 1 } });
thread.postMessage('hello');
thread.on('message', (value) => value);
const port: threads.MessagePort | null = manycore.parentPort;
port?.close();
// @ts-expect-error no such export
void manycore.nothing;
