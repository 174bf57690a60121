// An ESM consumer: compiled, never run.

import { cluster, isMainThread, MessageChannel, Worker, type SchedulingPolicy } from 'manycore';
import clusterModule, { fork, type ClusterWorker, type WorkerLoad } from 'manycore/cluster';
import { parentPort, Worker as Thread, type WorkerOptions } from 'manycore/worker_threads';
import 'manycore/register';

const policy: SchedulingPolicy = (_connection, workers) => workers[0];
cluster.schedulingPolicy = policy;
clusterModule.schedulingPolicy = 'p2c';

const forked: ClusterWorker = fork();
const load: WorkerLoad | undefined = forked.load;
const lagMs: number = load?.loopLagMs ?? 0;
cluster.workers?.[forked.id]?.send({ lagMs });

const options: WorkerOptions = { eval: true };
const workers: Thread[] = [new Worker('', options), new Thread('', options)];
const { port1 } = new MessageChannel();
for (const worker of workers) if (isMainThread) worker.postMessage(port1, [port1]);
parentPort?.on('message', (value) => value);
// @ts-expect-error must be a string, number or function
cluster.schedulingPolicy = {};
