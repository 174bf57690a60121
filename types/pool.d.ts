import type { ChildProcess, ForkOptions, StdioOptions } from 'node:child_process';
import type { EventEmitterAsyncResource } from 'node:events';
import type { MessagePort, ResourceLimits, Transferable, Worker } from 'node:worker_threads';

/** A task as queues and balancers see it. */
export interface PoolTask {
  readonly taskId: number;
  readonly filename: string | null;
  readonly name: string;
  /** When `run()` was called, as `performance.now()`. */
  readonly created: number;
  /** Whether it has a signal. */
  readonly isAbortable: boolean;
  /** What the call was given as `metadata`. */
  readonly metadata?: any;
}

/** Where tasks wait, if not in the queue of the pool. */
export interface TaskQueue {
  readonly size: number;
  /** Takes the next task, or returns null. */
  shift(): PoolTask | null;
  push(task: PoolTask): void;
  /** Takes back a task that was shifted, to be the next again. */
  unshift?(task: PoolTask): void;
  /** Takes a task out that is in the queue. */
  remove(task: PoolTask): void;
}

/** A worker as balancers and the events of a pool see it. */
export interface PoolWorkerInfo {
  /** The number of its thread or process; -1 once it has ended. */
  readonly id: number;
  /** Tasks it has; Infinity while it runs one that may be aborted. */
  readonly currentUsage: number;
  readonly isRunningAbortableTask: boolean;
  /** With `workerHistogram`: for how long its tasks ran. */
  readonly histogram: PoolHistogramSummary | null;
  readonly terminating: boolean;
  readonly destroyed: boolean;
}

/** Names the worker that gets a task, or null to let the task wait. */
export type LoadBalancer = (task: PoolTask, workers: PoolWorkerInfo[]) => PoolWorkerInfo | null;

/** Durations in milliseconds. */
export interface PoolHistogramSummary {
  average: number;
  mean: number;
  stddev: number;
  min: number;
  max: number;
  p0_001: number;
  p0_01: number;
  p0_1: number;
  p1: number;
  p2_5: number;
  p10: number;
  p25: number;
  p50: number;
  p75: number;
  p90: number;
  p97_5: number;
  p99: number;
  p99_9: number;
  p99_99: number;
  p99_999: number;
}

export interface PoolHistogram {
  /** For how long tasks ran. Undefined without `recordTiming`. */
  readonly runTime: PoolHistogramSummary | undefined;
  /** For how long tasks waited until they ran. Undefined without `recordTiming`. */
  readonly waitTime: PoolHistogramSummary | undefined;
  resetRunTime(): void;
  resetWaitTime(): void;
}

export interface PoolOptions {
  /** The file with the functions that tasks call: an absolute path or a `file:` URL. Default: null. */
  filename?: string | URL | null;
  /** The export that `run()` calls. Default: `'default'`. */
  name?: string | null;
  /** Workers that are always there. Default: half the processors, at least 1. */
  minThreads?: number;
  /** Workers at most. Default: one and a half times the processors. */
  maxThreads?: number;
  /** For how long a worker beyond `minThreads` may have nothing to do, in milliseconds. Default: 0. */
  idleTimeout?: number;
  /** Tasks that may wait; `'auto'` is the square of `maxThreads`. Default: Infinity. */
  maxQueue?: number | 'auto';
  /** Tasks that a worker has in hand at once. Default: 1. */
  concurrentTasksPerWorker?: number;
  /** Accepted for piscina's sake: workers never freeze their event loop, and are as fast. Default: `'sync'`. */
  atomics?: 'sync' | 'async' | 'disabled';
  resourceLimits?: ResourceLimits;
  argv?: any[];
  execArgv?: string[];
  env?: NodeJS.Dict<string> | typeof import('node:worker_threads').SHARE_ENV;
  workerData?: any;
  /** A queue of one's own. Tasks are then scheduled in JavaScript, which is slower. */
  taskQueue?: TaskQueue | null;
  /** Added to the nice value of workers. Default: 0. */
  niceIncrement?: number;
  trackUnmanagedFds?: boolean;
  /** For how long `close()` waits, in milliseconds. Default: 30,000. */
  closeTimeout?: number;
  /** Whether `histogram` and `utilization` tell anything. Default: true. */
  recordTiming?: boolean;
  /** With a queue of one's own: whether a task that could not be placed stays first. Default: false. */
  stricterFIFO?: boolean;
  /** Names the worker for each task. Tasks are then scheduled in JavaScript, which is slower. */
  loadBalancer?: LoadBalancer;
  /** Whether each worker has a histogram. Default: false. */
  workerHistogram?: boolean;

  /** What workers are; `worker_threads` and `child_process` are other names. Default: `'threads'`. */
  runtime?: 'threads' | 'worker_threads' | 'processes' | 'child_process';
  /** Of processes: the folder they start in. Default: the caller's. */
  cwd?: string | URL;
  /** Of processes: other options of `child_process.fork()`, such as `execPath` or `uid`. */
  forkOpts?: ForkOptions;
  /** As `argv`. */
  forkArgs?: readonly string[];
  /** How long a task may go on after its abort until its worker is replaced, in milliseconds. Default: 100. */
  abortGraceMs?: number;
  /** How long each task may run, in milliseconds; waiting does not count. Default: 0, no limit. */
  taskTimeoutMs?: number;
  /** How often a task is tried again whose worker ended. Default: 0. */
  maxRetries?: number;
  /** Tasks after which a worker is replaced. Default: 0, never. */
  maxTasksPerWorker?: number;
  /** Whether each task gets a worker of its own. Default: false. */
  isolateWorkers?: boolean;
  /** Age at which a worker without tasks is replaced, in milliseconds. Default: 0, never. */
  maxWorkerAgeMs?: number;
  /**
   * Bytes of heap in use after a task, in processes of resident memory, from which on the worker is replaced.
   * Default: 0, never.
   */
  maxMemoryLimitBeforeRecycle?: number;
  /** Workers started ahead of need, beyond `minThreads` and up to `maxThreads`. Default: 0. */
  warmSpares?: number;
  /** The export that is called in a worker before it ends. Default: null. */
  teardown?: string | null;
  /** How long a worker may take for that, in milliseconds. Default: 1,000. */
  terminateTimeout?: number;
  /** Names the key of a task: those with the same key run on the same worker. */
  computeWorkerKey?: (name: string, task: any) => string | null;
  /** Whether what workers print is told by the events `stdout` and `stderr` instead. Default: false. */
  emitStdStreams?: boolean;
  /**
   * Where workers print: to where this process does, to the streams `stdout` and `stderr` of `pool.threads`, or
   * nowhere. `emitStdStreams` takes precedence. Default: `'inherit'`.
   */
  stdio?: 'inherit' | 'pipe' | 'ignore' | Extract<StdioOptions, readonly any[]>;
  /**
   * Tasks that a worker takes at once, 1 to 1,024, while more than 64 for each worker wait and they run for less than
   * 20 us. Default: 16.
   */
  batch?: number;
  /** False: no worker takes tasks ahead that another could be the first to begin, as with `batch: 1`. Default: true. */
  taskStealing?: boolean;
  /** By how much the priority of a task grows with each millisecond that it waits, 0 to 1. Default: 0. */
  agingFactor?: number;
  /** Whether a worker that ended by an error is replaced at once, or only for the next task. Default: true. */
  restartWorkerOnError?: boolean;
  /** With what the export `setup` of the file is called in a worker, and awaited, before its first task. */
  setupArgs?: any[] | null;
  /**
   * Which worker gets a task, of those with room: the next in turn, the one that got the fewest tasks, whose tasks ran
   * for the shortest time, who would be done first, whose event loop was the least active. Tasks are then scheduled in
   * JavaScript, which is slower.
   */
  workerChoiceStrategy?: 'ROUND_ROBIN' | 'LEAST_USED' | 'LEAST_BUSY' | 'FAIR_SHARE' | 'LEAST_ELU';
  /** Further settings for workers, as for `new Worker()`. */
  workerThreadOpts?: object;
  /** Called before a worker is made; may return other settings for it. */
  onCreateWorker?: (settings: any) => any;
  onTerminateWorker?: (settings: any) => void;

  /** As `minThreads`; `'max'`: as many as `maxThreads`. */
  minWorkers?: number | 'max';
  /** As `maxThreads`. */
  maxWorkers?: number;
  /** As `maxQueue`. */
  maxQueueSize?: number;
  /** As `runtime`. */
  workerType?: 'auto' | 'thread' | 'process';
  /** As `terminateTimeout`. */
  workerTerminateTimeout?: number;
  /** As `abortGraceMs`. */
  abortListenerTimeout?: number;
  /** `'lifo'`: the last task first. */
  queueStrategy?: 'fifo' | 'lifo' | TaskQueue;
}

/** An AbortSignal, or an emitter of `abort`. */
export type AnySignal =
  | AbortSignal
  | {
      once(event: 'abort', listener: () => void): unknown;
      removeListener(event: 'abort', listener: () => void): unknown;
      readonly aborted?: boolean;
      readonly reason?: any;
    };

export interface RunOptions {
  transferList?: readonly Transferable[];
  filename?: string | URL | null;
  name?: string | null;
  /**
   * Rejects the task with an AbortError at once. One that runs hears of it by `taskSignal()`, and its worker is
   * replaced if it does not end within `abortGraceMs`. Such a task has its worker to itself.
   */
  signal?: AnySignal | null;
  /** How long it may run, in milliseconds, as with a signal. Default: `taskTimeoutMs`. */
  timeoutMs?: number;
  /** Higher ones first. Default: 0. */
  priority?: number;
  /** Tasks with the same key run on the same worker, one after the other, as long as it lives. */
  key?: string | number | null;
  /** How often it is tried again if its worker ends. Default: `maxRetries`. */
  retries?: number;
  /** For a queue of one's own. */
  metadata?: any;
  /** Called with what the task tells by `workerEmit()`. */
  onProgress?: (payload: any) => void;
}

export interface MapOptions extends Omit<RunOptions, 'transferList' | 'signal'> {
  /** Tasks under way at once. Default: 16 for each that the workers can run. */
  concurrency?: number;
  /** Whether results are in the order of the items, or in that in which they come. Default: true. */
  ordered?: boolean;
  signal?: AbortSignal;
}

export interface PoolStats {
  totalWorkers: number;
  busyWorkers: number;
  idleWorkers: number;
  /** Tasks that wait. */
  pendingTasks: number;
  /** Tasks that run. */
  activeTasks: number;
  completedTasks: number;
  workers: {
    workerId: number;
    /** Of its thread or process. */
    threadId: number;
    /** False while it starts. */
    hasStarted: boolean;
    /** Tasks it runs. */
    inHand: number;
    /** Tasks that wait for it alone. */
    pinned: number;
    completed: number;
    /** Milliseconds that completed tasks ran. */
    busyMs: number;
  }[];
}

/** The promise of a task, which can still be called off. */
export interface CancellablePromise<R> extends Promise<R> {
  /** Rejects with a CancellationError; the task is stopped as by a signal. */
  cancel(): this;
  /** Rejects with a TimeoutError once the task has run for so many milliseconds. */
  timeout(timeoutMs: number): this;
  /** Calls back when it is settled, either way. */
  always<T>(callback: () => T): Promise<T>;
}

export interface PoolEvents {
  /** A worker ended with an error that no task can be rejected with, or `close()` took too long. */
  error: [error: any];
  /** What code in a worker posts on its `parentPort`, or in a process gives to `process.send()`. */
  message: [message: any];
  /** All workers have as many tasks as they can. */
  needsDrain: [];
  /** No longer so. */
  drain: [];
  /** As `needsDrain`, told once. */
  busy: [];
  /** As `drain`. */
  busyEnd: [];
  close: [];
  workerCreate: [worker: PoolWorkerInfo];
  workerDestroy: [worker: PoolWorkerInfo];
  /** A worker takes tasks. */
  ready: [worker: PoolWorkerInfo];
  /** A worker is replaced for its age, memory, or number of tasks. */
  workerRecycle: [worker: PoolWorkerInfo];
  /** No more tasks may wait. */
  full: [];
  backPressure: [];
  backPressureEnd: [];
  taskError: [error: any];
  /** With `emitStdStreams`. */
  stdout: [text: string, workerId: number];
  stderr: [text: string, workerId: number];
}

/** A pool of threads or processes: piscina's API and more, on a native queue. */
export declare class Pool<T = any, R = any> extends EventEmitterAsyncResource {
  /**
   * Starts `minThreads` workers.
   * @throws TypeError and RangeError for options that cannot be; ERR_FEATURE_UNAVAILABLE_ON_PLATFORM without addon
   */
  constructor(options?: PoolOptions | string | URL);
  constructor(filename: string | URL, options?: Omit<PoolOptions, 'filename'>);

  /**
   * Runs a task: the argument of the handler, as structured clone makes it. Rejects with what the handler threw,
   * with an AbortError, with why its worker ended, or with a DataCloneError for what cannot be sent.
   */
  run(task?: T, options?: RunOptions): Promise<R>;
  /**
   * Runs a task and blocks until it is over. Other tasks go on; this thread's event loop does not.
   * @throws what the handler threw; ERR_MANYCORE_TASK_TIMED_OUT after `timeoutMs`
   */
  runSync(task?: T, options?: RunOptions): R;
  /** Calls an export or a registered method by name, or a function by its source, with arguments. */
  exec(
    method: string | ((...args: any[]) => any),
    params?: readonly any[] | null,
    options?: RunOptions & {
      on?: (payload: any) => void;
      transfer?: readonly Transferable[];
    },
  ): CancellablePromise<any>;
  /** An object with a method for each function that the workers offer. */
  proxy(): Promise<Record<string, (...args: any[]) => CancellablePromise<any>>>;
  /** Runs the handler for each item. The items are read as tasks end. Rejects with the first error. */
  map(
    items: Iterable<T | PromiseLike<T>> | AsyncIterable<T>,
    options?: MapOptions & { onResult?: (count: number) => void },
  ): Promise<R[]>;
  /** As `map()`; results come as they are asked for, and no item is read before there is room. */
  stream(
    items: Iterable<T | PromiseLike<T>> | AsyncIterable<T>,
    options?: MapOptions,
  ): AsyncGenerator<R, void>;
  /** Runs a task once on each worker. */
  broadcast(task?: T, options?: RunOptions): Promise<R[]>;

  /** Rejects the tasks that no worker has begun. */
  cancelPendingTasks(): void;
  /** Replaces all workers, each when its tasks are over. */
  recycleWorkers(): Promise<void>;
  /** Changes `minThreads` and `maxThreads`. */
  resize(limits: { min?: number; max?: number }): void;
  stats(): PoolStats;

  /** Takes no more tasks, and ends when those under way are over; with `force`, only those begun. */
  close(options?: { force?: boolean }): Promise<void>;
  /** Ends all workers. Tasks that are not over are rejected. The pool can be used again. */
  destroy(): Promise<void>;
  /** As `destroy()` if forced, else as `close()`. Tasks that no worker has begun are rejected. */
  terminate(force?: boolean, timeoutMs?: number): Promise<void>;

  readonly maxThreads: number;
  readonly minThreads: number;
  readonly options: PoolOptions & { readonly maxQueue: number };
  /** The workers, as Node's objects; those of processes have their number as `threadId`, too. */
  readonly threads: (Worker | (ChildProcess & { readonly threadId: number }))[];
  readonly idleThreads: number;
  /** Tasks that wait, apart from those that a starting worker is for. */
  readonly queueSize: number;
  readonly completed: number;
  /** Share of the time since the pool was made that its workers ran tasks, 0 to 1. */
  readonly utilization: number;
  /** Milliseconds since the pool was made. */
  readonly duration: number;
  readonly needsDrain: boolean;
  readonly histogram: PoolHistogram;

  /**
   * Keeps `count` threads started for the workers of pools that are made with these options, with the file of their
   * tasks loaded. A pool takes them over as it needs workers; each that is taken is replaced. They do not keep the
   * process alive. `warm(0)` lets all of them go, `warm(0, options)` those for these options. Fulfilled when they are
   * ready, or have gone.
   *
   * What counts is what a thread is started with: `filename`, `name`, `env`, `argv`, `execArgv`, `resourceLimits`,
   * `workerData` (the same object), `trackUnmanagedFds`, `workerThreadOpts`, and whether output is inherited.
   */
  static warm(count: number, options?: PoolOptions | string | URL): Promise<void>;

  /** As `new Pool()`, for those who know it from workerpool. */
  static pool(options?: PoolOptions | string | URL): Pool;
  static pool(filename: string | URL, options?: Omit<PoolOptions, 'filename'>): Pool;
  /** What `exec()` returns, with the classes of the errors that its calls reject with. */
  static readonly Promise: {
    readonly CancellationError: new (message?: string) => Error;
    readonly TimeoutError: new (message?: string) => Error;
  };
  /** Processors of this machine. */
  static readonly cpus: number;
  static readonly isMainThread: boolean;
  static readonly platform: 'node';

  static readonly isWorkerThread: boolean;
  static readonly workerData: any;
  static readonly workerId: number;
  static readonly version: string;
  static readonly Pool: typeof Pool;
  static readonly Piscina: typeof Pool;
  static readonly FixedQueue: typeof FixedQueue;
  static readonly ArrayTaskQueue: typeof ArrayTaskQueue;
  static readonly Transfer: typeof Transfer;
  static readonly transferableSymbol: typeof transferableSymbol;
  static readonly valueSymbol: typeof valueSymbol;
  static readonly queueOptionsSymbol: typeof queueOptionsSymbol;
  static move: typeof move;
  static taskSignal: typeof taskSignal;
  static worker: typeof worker;
  static workerEmit: typeof workerEmit;
}

export interface Pool<T = any, R = any> {
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
  on<Event extends keyof PoolEvents>(event: Event, listener: (...args: PoolEvents[Event]) => void): this;
  on(event: string | symbol, listener: (...args: any[]) => void): this;
  once<Event extends keyof PoolEvents>(event: Event, listener: (...args: PoolEvents[Event]) => void): this;
  once(event: string | symbol, listener: (...args: any[]) => void): this;
}

export { Pool as Piscina };

/** First in, first out; an array underneath. */
export declare class ArrayTaskQueue implements TaskQueue {
  readonly size: number;
  shift(): PoolTask | null;
  push(task: PoolTask): void;
  unshift(task: PoolTask): void;
  remove(task: PoolTask): void;
}

/** First in, first out, each step in constant time. */
export declare class FixedQueue implements TaskQueue {
  readonly size: number;
  shift(): PoolTask | null;
  push(task: PoolTask): void;
  unshift(task: PoolTask): void;
  remove(task: PoolTask): void;
}

/** A task or result of which some is transferred instead of cloned. */
export declare class Transfer<T = any> {
  constructor(message: T, transfer: readonly Transferable[]);
  readonly message: T;
  readonly transfer: readonly Transferable[];
}

/** Under which a value says what of it is to be transferred. */
export declare const transferableSymbol: unique symbol;
/** Under which a value says what is to be sent. */
export declare const valueSymbol: unique symbol;
/** Under which a task carries options for a queue of one's own. */
export declare const queueOptionsSymbol: unique symbol;

/** Marks a task or result to be transferred instead of cloned. */
export declare function move<T extends ArrayBuffer | ArrayBufferView | MessagePort | object>(value: T): T;

/** Whether this code runs in a worker of a pool. */
export declare const isWorkerThread: boolean;
/** The number of the pool's worker that this code runs in, from 1; 0 outside of workers. */
export declare const workerId: number;

/**
 * In a worker: the signal of the task that the calling code belongs to. Its `aborted` tells at once, also in code
 * that never yields to the event loop.
 * @throws ERR_MANYCORE_NOT_IN_TASK
 */
export declare function taskSignal(): AbortSignal;

/**
 * In a worker: tells the caller of the current task something.
 * @throws ERR_MANYCORE_NOT_IN_TASK
 */
export declare function workerEmit(payload: any): void | Promise<void>;

/** `this` of functions that a worker registers by `worker()`, or that `exec()` sends. */
export interface PoolReceiver {
  readonly worker: {
    /** As `workerEmit()`. */
    emit(payload: any): void | Promise<void>;
    /** Calls back when the current task is to stop. One that ends within `abortGraceMs` leaves its worker. */
    addAbortListener(listener: () => any): void;
  };
}

/** In a worker: makes functions known by name to `exec()` and `proxy()`, with a `PoolReceiver` as `this`. */
export declare function worker(
  methods?: Record<string, (...args: any[]) => any>,
  options?: { onTerminate?: (code?: number) => any },
): void;
