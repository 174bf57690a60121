// An ESM consumer: compiled, never run.

import {
  Channel,
  FixedQueue,
  Piscina,
  Pool,
  RateLimiter,
  SharedArray,
  SharedBuffer,
  SharedCounter,
  SharedHistogram,
  SharedMap,
  Topic,
  cluster,
  isMainThread,
  MessageChannel,
  move,
  shared,
  taskSignal,
  Worker,
  worker,
  workerEmit,
  type PiscinaTask,
  type PoolStats,
  type RateVerdict,
  type SchedulingPolicy,
  type TaskQueue,
} from 'manycore';
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

class Newest implements TaskQueue {
  #tasks: PiscinaTask[] = [];
  get size() {
    return this.#tasks.length;
  }
  push(task: PiscinaTask) {
    this.#tasks.push(task);
  }
  shift() {
    return this.#tasks.pop() ?? null;
  }
  remove(task: PiscinaTask) {
    this.#tasks.splice(this.#tasks.indexOf(task), 1);
  }
}

async function runTasks(): Promise<number> {
  const pool = new Pool<{ a: number; b: number }, number>({
    filename: new URL('./add.js', import.meta.url),
    maxQueue: 'auto',
    taskQueue: new Newest(),
    loadBalancer: (_task, workers) => workers.find(({ currentUsage }) => currentUsage === 0) ?? null,
  });
  pool.on('error', (error) => error).once('workerCreate', ({ id }) => id.toFixed());
  const sum: number = await pool.run(
    { a: 1, b: 2 },
    { signal: AbortSignal.timeout(5), priority: 1, key: 'a' },
  );
  // @ts-expect-error not a task of this pool
  await pool.run('a');
  // @ts-expect-error no such kind of worker
  new Piscina({ runtime: 'fibers' });
  // @ts-expect-error a queue is an object
  new Piscina({ taskQueue: null });
  const all: number[] = await pool.map([{ a: 1, b: 2 }], {
    concurrency: 2,
    onResult: (count) => count.toFixed(),
  });
  for await (const each of pool.stream([{ a: 1, b: 2 }], { ordered: false })) all.push(each);
  const added: number = await pool.exec(async (a: number, b: number) => a + b, [1, 2]);
  const either: string = await pool.exec('anything', [added]);
  // @ts-expect-error the function takes a number
  await pool.exec((n: number) => n, ['one']);
  await pool.exec(either.length > 0 ? 'named' : (n: number) => n, [1]);
  const called = pool.exec((text: string) => text.length, ['abc']).timeout(5);
  called.cancel();
  await called.always(() => {});
  all.push(pool.runSync({ a: 1, b: 2 }, { timeoutMs: 5 }), ...(await pool.broadcast()));
  const stats: PoolStats = pool.stats();
  pool.resize({ max: 2 });
  await pool.recycleWorkers({ runtime: 'processes' });
  await pool.close({ force: true });
  const { runTime } = pool.histogram;
  return sum + all.length + stats.activeTasks + (runTime?.p99_9 ?? 0) + new FixedQueue().size;
}
void runTasks;
move(new Uint8Array(2));
worker({ add: (a: number, b: number) => a + b }, { onTerminate: () => workerEmit(taskSignal().aborted) });

async function share(): Promise<number> {
  const map = SharedMap.open<string, { visits: number }>('sessions', {
    evict: 'lru',
    ttlMs: 5,
    scope: 'process',
  });
  const session = map.update('a', (before) => ({ visits: (before?.visits ?? 0) + 1 }), { ttlMs: Infinity });
  // @ts-expect-error not a value of this map
  map.set('a', 1);
  map.watch('a').on('change', (value, version) => [value?.visits, version.toFixed()]);
  for (const [key, { visits }] of map) map.set(key.trim(), { visits });
  const array = new SharedArray<number>({ length: 1, type: 'int32' });
  const sum: number = SharedArray.open('numbers', { length: 1, type: 'float64' }).add(0);
  const count: bigint = SharedArray.open('counts', { length: 1, type: 'bigint64' }).add(0);
  SharedArray.open<{ sum: number; count: bigint }>('values', { capacity: 1 }).push({ sum, count });
  // @ts-expect-error bigints
  SharedArray.open('counts', { length: 1, type: 'bigint64' }).set(0, 1);
  // @ts-expect-error no such type
  new SharedArray({ length: 1, type: 'int8' });
  const bytes = new Uint8Array(new SharedBuffer({ byteLength: 4 }).buffer);
  const histogram = new SharedHistogram({ significantDigits: 2 }).merge(new SharedHistogram());
  const verdict: RateVerdict = new RateLimiter({ limit: 1, windowMs: 5 }).take(Buffer.from('a'), 2);
  // @ts-expect-error a limiter has a limit
  new RateLimiter({ windowMs: 5 });
  const channel = new Channel<number>({ capacity: 1 });
  await channel.send(1, { timeoutMs: 5, signal: AbortSignal.timeout(5) });
  for await (const value of channel) channel.sendSync(value, { timeoutMs: 5 });
  const subscription = new Topic<string>().subscribe({ from: 'earliest' });
  const text: string = subscription.tryReceive()?.value ?? (await subscription.receive({ timeoutMs: 5 }));
  const { kind, bytes: size } = shared.list()[0];
  const numbers = [
    new SharedCounter({ initial: 1 }).add(2),
    array.add(0),
    bytes[0],
    histogram.percentile(99),
    size,
  ];
  return numbers.length + (session?.visits ?? 0) + verdict.retryAfterMs + text.length + kind.length;
}
void share;
