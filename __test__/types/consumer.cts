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
  (_connection, workers) => workers.find((worker) => worker.load.requests === 0),
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

async function lock(): Promise<number> {
  const mutex = new manycore.Mutex({ maxRequests: 16 });
  const same: manycore.Mutex = manycore.Mutex.from(mutex);
  const token: manycore.UnlockToken = await same.lockAsync({ timeoutMs: 5, signal: AbortSignal.timeout(5) });
  const condition = manycore.Condition.open('name', { create: 'exclusive', scope: 'process' });
  const notified: boolean = condition.wait(token) || (await condition.waitForAsync(token, 5, () => true));
  token.unlock();
  // @ts-expect-error null when it is not available
  mutex.lockIfAvailable().unlock();
  new manycore.RwLock().lockShared().unlock();
  manycore.Semaphore.open('permits', 3).acquireIfAvailable(2)?.unlock();
  const last: boolean = new manycore.Barrier(2).wait();
  const ran: boolean = new manycore.Once().run(({ ownerDied }) => void ownerDied);
  // @ts-expect-error null when it is not available
  await manycore.locks.request('a', { ifAvailable: true }, (held) => held.name);
  const length: number = await manycore.locks.request('a', { mode: 'shared' }, (held) => held.name.length);
  const { deadlocks } = await new manycore.LockManager({ namespace: 'app' }).query();
  const led: string = await manycore.leader(
    'mailer',
    async ({ signal, name }) => `${name} ${signal.aborted}`,
  );
  const once = await manycore.runOnce('job', 1, ({ fencingToken }) => fencingToken);
  return once.ran ? once.value + length + deadlocks.length : Number(led) + Number(last && ran && notified);
}
void lock;
new manycore.BroadcastChannel('news', { scope: 'host' }).postMessage(1);
// @ts-expect-error no such scope
new threads.BroadcastChannel('news', { scope: 'world' });

const asked = new threads.Worker('./worker.js');
asked
  .request({ id: 1 }, { timeoutMs: 5, signal: AbortSignal.timeout(5), transferList: [] })
  .then((answer) => answer);
asked.call('x', { timeoutMs: 5 });
const answer: number = asked.call<number>('x');
asked.request<string>(answer).then((text) => text.length);
asked.onRequest((value: { id: number }) => value.id);
threads.parentPort?.onRequest((value, { signal }) => (signal.aborted ? null : value));
new threads.MessageChannel().port1.onRequest(null).request();
// @ts-expect-error a blocked thread cannot abort
asked.call('x', { signal: AbortSignal.timeout(5) });
