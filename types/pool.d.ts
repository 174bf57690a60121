import type { ChildProcess, ForkOptions, StdioOptions } from 'node:child_process';
import type { EventEmitterAsyncResource } from 'node:events';
import type { MessagePort, ResourceLimits, Transferable, Worker } from 'node:worker_threads';

/** A task, as passed to task queues and load balancers. */
export interface PoolTask {
  /** The number of the task, unique in its pool. */
  readonly taskId: number;
  /** The file whose function it calls. */
  readonly filename: string | null;
  /** The export that it calls. */
  readonly name: string;
  /** When `run()` was called, as `performance.now()`. */
  readonly created: number;
  /** Whether it was given a signal. */
  readonly isAbortable: boolean;
  /** The option `metadata` of the call. */
  readonly metadata?: any;
}

/** A custom queue for waiting tasks. */
export interface TaskQueue {
  /** The number of waiting tasks. */
  readonly size: number;
  /** Removes and returns the next task, or returns null. */
  shift(): PoolTask | null;
  /** Appends a task. */
  push(task: PoolTask): void;
  /** Puts a task that was shifted back to the front. */
  unshift?(task: PoolTask): void;
  /** Removes a task from the queue. */
  remove(task: PoolTask): void;
}

/** A worker, as passed to load balancers and listeners of the pool. */
export interface PoolWorkerInfo {
  /** Its thread or process id; -1 once it has ended. */
  readonly id: number;
  /** How many tasks it has; Infinity while it runs one that can be aborted. */
  readonly currentUsage: number;
  /** Whether it runs a task that has a signal. */
  readonly isRunningAbortableTask: boolean;
  /** Run times of its tasks, with `workerHistogram`. */
  readonly histogram: PoolHistogramSummary | null;
  /** Whether it is about to end. */
  readonly terminating: boolean;
  /** Whether it has ended. */
  readonly destroyed: boolean;
}

/** Returns the worker that gets a task, or null to let the task wait. */
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

/** Times of the tasks of a pool. */
export interface PoolHistogram {
  /**
   * Run times of tasks, since the pool was created, or since it was used again after it had ended. Undefined without
   * `recordTiming`.
   */
  readonly runTime: PoolHistogramSummary | undefined;
  /** How long tasks waited before they ran. Undefined without `recordTiming`. */
  readonly waitTime: PoolHistogramSummary | undefined;
  /** Forgets the run times recorded so far. */
  resetRunTime(): void;
  /** Forgets the waiting times recorded so far. */
  resetWaitTime(): void;
}

/** Options of a pool: piscina's, then additions of manycore, then other pools' names for some of them. */
export interface PoolOptions {
  /** The file with the functions that tasks call: an absolute path or a `file:` URL. Default: null. */
  filename?: string | URL | null;
  /** The export that `run()` calls. Default: `'default'`. */
  name?: string | null;
  /** Workers that are always kept. Default: half the number of processors, at least 1. */
  minThreads?: number;
  /** The maximum number of workers. Default: one and a half times the number of processors. */
  maxThreads?: number;
  /** How long a worker beyond `minThreads` and `warmSpares` may be idle before it ends, in milliseconds. Default: 0. */
  idleTimeout?: number;
  /** How many tasks may wait; `'auto'` is the square of `maxThreads`. Default: Infinity. */
  maxQueue?: number | 'auto';
  /** How many tasks a worker runs at the same time. Default: 1. */
  concurrentTasksPerWorker?: number;
  /** For compatibility with piscina, without effect: workers never block their event loop. Default: `'sync'`. */
  atomics?: 'sync' | 'async' | 'disabled';
  /** Limits of each worker, as for Node's `Worker`; those of processes are passed as V8 flags. Default: none. */
  resourceLimits?: ResourceLimits;
  /** Appended to `process.argv` in workers. Default: nothing. */
  argv?: any[];
  /** Node options of workers. Default: those of this process. */
  execArgv?: string[];
  /** The environment of workers; with threads, also `SHARE_ENV`. Default: a copy of this one. */
  env?: NodeJS.Dict<string> | typeof import('node:worker_threads').SHARE_ENV;
  /** A value that workers can read as `workerData`. Default: none. */
  workerData?: any;
  /** A custom queue. Tasks are then scheduled in JavaScript, which is slower. */
  taskQueue?: TaskQueue;
  /** Increment of the nice value of workers. Default: 0. */
  niceIncrement?: number;
  /** With threads: whether file descriptors opened by `fs.open()` are closed with their thread. Default: true. */
  trackUnmanagedFds?: boolean;
  /** How long `close()` waits for tasks, in milliseconds. Default: 30,000. */
  closeTimeout?: number;
  /** Whether to record the times for `histogram` and `utilization`. Default: true. */
  recordTiming?: boolean;
  /** With a custom queue: whether a task that no worker could take goes back to the front. Default: false. */
  stricterFIFO?: boolean;
  /** Chooses the worker for each task. Tasks are then scheduled in JavaScript, which is slower. */
  loadBalancer?: LoadBalancer;
  /** Whether to record a histogram for each worker. Default: false. */
  workerHistogram?: boolean;

  /** What workers are; `worker_threads` and `child_process` are aliases. Default: `'threads'`. */
  runtime?: 'threads' | 'worker_threads' | 'processes' | 'child_process';
  /** With processes: their working directory. Default: that of the caller. */
  cwd?: string | URL;
  /** With processes: other options of `child_process.fork()`, such as `execPath` or `uid`. */
  forkOpts?: ForkOptions;
  /** Alias of `argv`. */
  forkArgs?: readonly string[];
  /** How long an aborted task may continue before its worker is replaced, in milliseconds. Default: 100. */
  abortGraceMs?: number;
  /** How long each task may run, in milliseconds; waiting does not count. Default: 0, no limit. */
  taskTimeoutMs?: number;
  /** How often a task is retried if its worker ends. Default: 0. */
  maxRetries?: number;
  /** After how many tasks a worker is replaced. Default: 0, never. */
  maxTasksPerWorker?: number;
  /** Whether each task gets a new worker. Default: false. */
  isolateWorkers?: boolean;
  /** The age at which an idle worker is replaced, in milliseconds. Default: 0, never. */
  maxWorkerAgeMs?: number;
  /**
   * The memory use after a task at which the worker is replaced: bytes of heap in threads, of resident memory in
   * processes. Default: 0, never.
   */
  maxMemoryLimitBeforeRecycle?: number;
  /** How many workers to start before they are needed, in addition to `minThreads`, up to `maxThreads`. Default: 0. */
  warmSpares?: number;
  /** The export to call in a worker before it ends. Default: null. */
  teardown?: string | null;
  /** How long `teardown` may take, in milliseconds. Default: 1,000. */
  terminateTimeout?: number;
  /** Returns the key of a task: tasks with the same key run on the same worker. */
  computeWorkerKey?: (name: string, task: any) => string | null;
  /** Whether the output of workers is emitted as the events `stdout` and `stderr` instead of printed. Default: false. */
  emitStdStreams?: boolean;
  /**
   * Where the output of workers goes: to the output of this process, to the streams `stdout` and `stderr` of
   * `pool.threads`, or nowhere. `emitStdStreams` takes precedence. Default: `'inherit'`.
   */
  stdio?: 'inherit' | 'pipe' | 'ignore' | Extract<StdioOptions, readonly any[]>;
  /**
   * How many tasks a worker takes at once, 1 to 1,024, while more than 64 per worker wait and tasks run for less than
   * 20 us. Default: 16.
   */
  batch?: number;
  /** If false, no worker takes tasks ahead that another worker could start earlier, as with `batch: 1`. Default: true. */
  taskStealing?: boolean;
  /** How much the priority of a task grows per millisecond of waiting, 0 to 1. Default: 0. */
  agingFactor?: number;
  /** Whether a worker that ended with an error is replaced at once, or only for the next task. Default: true. */
  restartWorkerOnError?: boolean;
  /** Arguments for the export `setup` of the file, which a worker calls and awaits before its first task. */
  setupArgs?: any[] | null;
  /**
   * Which of the workers with room gets a task: the next in turn, the one that got the fewest tasks, whose tasks ran for
   * the shortest time in total, that would finish first, or whose event loop was the least active. Tasks are then
   * scheduled in JavaScript, which is slower.
   */
  workerChoiceStrategy?: 'ROUND_ROBIN' | 'LEAST_USED' | 'LEAST_BUSY' | 'FAIR_SHARE' | 'LEAST_ELU';
  /** More options of `new Worker()`. */
  workerThreadOpts?: object;
  /** Called before a worker is created; may return other settings for it. */
  onCreateWorker?: (settings: any) => any;
  /** Called after a worker has ended. */
  onTerminateWorker?: (settings: any) => void;

  /** Alias of `minThreads`; `'max'` stands for `maxThreads`, or without it, for one fewer than the number of processors. */
  minWorkers?: number | 'max';
  /** Alias of `maxThreads`. */
  maxWorkers?: number;
  /** Alias of `maxQueue`. */
  maxQueueSize?: number;
  /** Alias of `runtime`. */
  workerType?: 'auto' | 'thread' | 'process';
  /** Alias of `terminateTimeout`. */
  workerTerminateTimeout?: number;
  /** Alias of `abortGraceMs`. */
  abortListenerTimeout?: number;
  /** `'lifo'` runs the newest task first. Default: `'fifo'`. */
  queueStrategy?: 'fifo' | 'lifo' | TaskQueue;
}

/** An AbortSignal, or an EventEmitter that emits `abort`. */
export type AnySignal =
  | AbortSignal
  | {
      once(event: 'abort', listener: () => void): unknown;
      removeListener(event: 'abort', listener: () => void): unknown;
      readonly aborted?: boolean;
      readonly reason?: any;
    };

/** A channel, as of tinypool, between the program and the worker that runs a task. */
export interface TaskChannel {
  /** Called when the task begins, with a function that sends a message to its worker's `process` or `parentPort`. */
  onMessage?: (send: (message: any) => void) => void;
  /** Called with what the worker passes to `process.send()` or `parentPort.postMessage()`. */
  postMessage?: (message: any) => void;
  /** Called when the worker has ended, or has begun a task with another channel. */
  onClose?: () => void;
}

/** Options of a task. */
export interface RunOptions {
  /** Objects in the task to transfer instead of cloning. Default: none. */
  transferList?: readonly Transferable[];
  /** The file with the function to call. Default: the one of the pool. */
  filename?: string | URL | null;
  /** The export to call. Default: the one of the pool. */
  name?: string | null;
  /**
   * Aborting it rejects the task with an AbortError at once. A running task is informed through `taskSignal()`, and its
   * worker is replaced if the task does not end within `abortGraceMs`. A task with a signal has its worker to itself.
   */
  signal?: AnySignal | null;
  /** How long the task may run before it is aborted, in milliseconds. Default: `taskTimeoutMs`. */
  timeoutMs?: number;
  /** Tasks with a higher priority run first. Default: 0. */
  priority?: number;
  /** Tasks with the same key run on the same worker, one after another, as long as that worker exists. */
  key?: string | number | null;
  /** How often the task is retried if its worker ends. Default: `maxRetries`. */
  retries?: number;
  /** Passed to custom queues and load balancers. */
  metadata?: any;
  /** Called with what the task passes to `workerEmit()`. */
  onProgress?: (payload: any) => void;
  /** Exchanges messages with the worker that runs the task. */
  channel?: TaskChannel | null;
}

/** Options of `map()` and `stream()`; those of tasks apply to each one. */
export interface MapOptions extends Omit<RunOptions, 'transferList' | 'signal'> {
  /** How many tasks are submitted at the same time. Default: 16 for each one that the workers can run, at most 16,384. */
  concurrency?: number;
  /** Whether results are in the order of the items, or in the order of completion. Default: true. */
  ordered?: boolean;
  /** Aborting it ends the whole run, which rejects with an AbortError. */
  signal?: AbortSignal;
}

/** What a pool is doing at one moment. */
export interface PoolStats {
  /** Workers, those that are starting included. */
  totalWorkers: number;
  /** Workers that run tasks. */
  busyWorkers: number;
  /** Workers that run none. */
  idleWorkers: number;
  /** Waiting tasks. */
  pendingTasks: number;
  /** Running tasks. */
  activeTasks: number;
  /** Tasks that have ended. */
  completedTasks: number;
  /** Each worker. */
  workers: {
    workerId: number;
    /** Its thread or process id. */
    threadId: number;
    /** False while it is starting. */
    hasStarted: boolean;
    /** How many tasks it is running. */
    inHand: number;
    /** How many tasks wait for this worker in particular. */
    pinned: number;
    completed: number;
    /** Total run time of completed tasks, in milliseconds. */
    busyMs: number;
  }[];
}

/** The promise of a task that can be cancelled. */
export interface CancellablePromise<R> extends Promise<R> {
  /** Rejects with a CancellationError; the task is aborted as by a signal. */
  cancel(): this;
  /**
   * Rejects with a TimeoutError, whose code is ERR_MANYCORE_TASK_TIMED_OUT, once the task has run for `timeoutMs`
   * milliseconds.
   */
  timeout(timeoutMs: number): this;
  /** Calls the callback once it is fulfilled or rejected. */
  always<T>(callback: () => T): Promise<T>;
}

/** Events of a pool and their arguments. */
export interface PoolEvents {
  /** A worker failed with an error that belongs to no task, or `close()` took too long. */
  error: [error: any];
  /** Code in a worker posted a message on `parentPort`, or in a process by `process.send()`. */
  message: [message: any];
  /** All workers have as many tasks as they can take. */
  needsDrain: [];
  /** Workers can take tasks again. */
  drain: [];
  /** Like `needsDrain`, emitted once until `busyEnd`. */
  busy: [];
  /** Like `drain`. */
  busyEnd: [];
  /** The pool has ended. */
  close: [];
  /** A worker has been created. */
  workerCreate: [worker: PoolWorkerInfo];
  /** A worker has ended. */
  workerDestroy: [worker: PoolWorkerInfo];
  /** A worker is ready to take tasks. */
  ready: [worker: PoolWorkerInfo];
  /** A worker is replaced because of its age, its memory use, or the number of its tasks. */
  workerRecycle: [worker: PoolWorkerInfo];
  /** The queue is full. */
  full: [];
  /** Like `full`. */
  backPressure: [];
  /** The queue has room again. */
  backPressureEnd: [];
  /** A task has failed with this error. */
  taskError: [error: any];
  /** With `emitStdStreams`. */
  stdout: [text: string, workerId: number];
  /** With `emitStdStreams`. */
  stderr: [text: string, workerId: number];
}

/** A pool of threads or processes with a native queue: piscina's API and more. */
export declare class Pool<T = any, R = any> extends EventEmitterAsyncResource {
  /**
   * Starts `minThreads` workers.
   * @throws TypeError or RangeError for invalid options; ERR_FEATURE_UNAVAILABLE_ON_PLATFORM without the addon
   */
  constructor(options?: PoolOptions | string | URL);
  constructor(filename: string | URL, options?: Omit<PoolOptions, 'filename'>);

  /**
   * Runs a task: calls the handler with a structured clone of `task`. Rejects with what the handler threw, with an
   * AbortError, with the reason why its worker ended, or with a DataCloneError if the value cannot be cloned.
   */
  run(task?: T, options?: RunOptions): Promise<R>;
  /**
   * Runs a task and blocks the calling thread, with its event loop, until the task has ended. Other tasks continue.
   * @throws what the handler threw; ERR_MANYCORE_TASK_TIMED_OUT after `timeoutMs`
   */
  runSync(task?: T, options?: RunOptions): R;
  /** Calls an export or a registered method by name, or a function, which is sent as source text, with arguments. */
  exec<F extends (...args: any[]) => any = (...args: any[]) => any>(
    method: F | string,
    params?: Readonly<Parameters<F>> | null,
    options?: RunOptions & {
      on?: (payload: any) => void;
      transfer?: readonly Transferable[];
    },
  ): CancellablePromise<Awaited<ReturnType<F>>>;
  /** Returns an object with a method for each function that the workers offer. */
  proxy(): Promise<Record<string, (...args: any[]) => CancellablePromise<any>>>;
  /** Runs the handler for each item. Items are read as tasks complete. Rejects with the first error. */
  map(
    items: Iterable<T | PromiseLike<T>> | AsyncIterable<T>,
    options?: MapOptions & { onResult?: (count: number) => void },
  ): Promise<R[]>;
  /**
   * Like `map()`, but yields results on demand, each as soon as it is there, and reads no item before there is room for it.
   */
  stream(
    items: Iterable<T | PromiseLike<T>> | AsyncIterable<T>,
    options?: MapOptions,
  ): AsyncGenerator<R, void>;
  /** Runs a task once in each worker; instead of one that is being replaced, in the one that replaces it. */
  broadcast(task?: T, options?: RunOptions): Promise<R[]>;

  /** Rejects the tasks that no worker has started. */
  cancelPendingTasks(): void;
  /** Replaces each worker as soon as its tasks have ended. */
  recycleWorkers(options?: { runtime?: PoolOptions['runtime'] } | null): Promise<void>;
  /**
   * Changes `minThreads` and `maxThreads`. Idle workers over the maximum end at once; the others take no further task
   * and end when those they have are done.
   * @throws ERR_OUT_OF_RANGE if `min` is negative, or `max` less than 1 or than `min`
   */
  resize(limits: { min?: number; max?: number }): void;
  /** Counts of workers and tasks, in total and for each worker. */
  stats(): PoolStats;

  /** Accepts no more tasks and ends when all submitted tasks have ended; with `force`, only the running ones. */
  close(options?: { force?: boolean }): Promise<void>;
  /** Ends all workers and rejects all unfinished tasks. The pool can be used again afterwards. */
  destroy(): Promise<void>;
  /** Like `destroy()` if forced, otherwise like `close()`, but rejects the tasks that no worker has started. */
  terminate(force?: boolean, timeoutMs?: number): Promise<void>;

  /** The maximum number of workers. */
  readonly maxThreads: number;
  /** The number of workers that are always kept. */
  readonly minThreads: number;
  /** The options of the pool, defaults included. */
  readonly options: PoolOptions & { readonly maxQueue: number };
  /** The workers as Node's objects; those of processes also have their process id as `threadId`. */
  readonly threads: (Worker | (ChildProcess & { readonly threadId: number }))[];
  /** The number of workers without a task. */
  readonly idleThreads: number;
  /** Waiting tasks, except those for which a worker is starting. */
  readonly queueSize: number;
  /** The number of tasks that have ended. */
  readonly completed: number;
  /** The share of time since the pool was created that its workers have spent running tasks, 0 to 1. */
  readonly utilization: number;
  /** Milliseconds since the pool was created. */
  readonly duration: number;
  /** Whether all workers have as many tasks as they can take. */
  readonly needsDrain: boolean;
  /** Times of tasks. */
  readonly histogram: PoolHistogram;

  /**
   * Keeps `count` threads started, with the task file loaded, for pools that are created with these options. A pool that
   * needs workers takes them over; each one that is taken is replaced. They do not keep the process alive. `warm(0)` ends
   * all of them, `warm(0, options)` those for these options. Resolves when they are ready or have ended.
   *
   * The options that have to match are those that a thread is started with: `filename`, `name`, `env`, `argv`, `execArgv`,
   * `resourceLimits`, `workerData` (the same object), `trackUnmanagedFds`, `workerThreadOpts`, and whether output is
   * inherited.
   */
  static warm(count: number, options?: PoolOptions | string | URL): Promise<void>;

  /** Like `new Pool()`; workerpool's name for it. */
  static pool(options?: PoolOptions | string | URL): Pool;
  static pool(filename: string | URL, options?: Omit<PoolOptions, 'filename'>): Pool;
  /** The classes of the errors that calls of `exec()` reject with, as workerpool exports them. */
  static readonly Promise: {
    readonly CancellationError: new (message?: string) => Error;
    readonly TimeoutError: new (message?: string) => Error;
  };
  /** The number of processors. */
  static readonly cpus: number;
  /** Whether this is not a worker. */
  static readonly isMainThread: boolean;
  /** Always `'node'`; workerpool's. */
  static readonly platform: 'node';

  /** See the export of this name. */
  static readonly isWorkerThread: boolean;
  /** In a worker: the option `workerData` of its pool. */
  static readonly workerData: any;
  /** See the export of this name. */
  static readonly workerId: number;
  /** The version of manycore. */
  static readonly version: string;
  /** The class itself, as are `Pool` and `Piscina`; what follows are the exports of these names. */
  static readonly default: typeof Pool;
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
  /** Calls `close()` without waiting for it. For `using`. */
  [Symbol.dispose](): void;
  /** Calls `close()` and waits for it. For `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
  /** Adds a listener. */
  on<Event extends keyof PoolEvents>(event: Event, listener: (...args: PoolEvents[Event]) => void): this;
  on(event: string | symbol, listener: (...args: any[]) => void): this;
  /** Adds a listener for the next event only. */
  once<Event extends keyof PoolEvents>(event: Event, listener: (...args: PoolEvents[Event]) => void): this;
  once(event: string | symbol, listener: (...args: any[]) => void): this;
}

export { Pool as Piscina };
export type { PoolTask as PiscinaTask };

/** A FIFO queue backed by an array. */
export declare class ArrayTaskQueue implements TaskQueue {
  readonly size: number;
  shift(): PoolTask | null;
  push(task: PoolTask): void;
  unshift(task: PoolTask): void;
  remove(task: PoolTask): void;
  /** Rejects all tasks that wait in it. */
  cancel(): void;
}

/** A FIFO queue whose operations take constant time. */
export declare class FixedQueue implements TaskQueue {
  readonly size: number;
  /** Whether no task waits in it. */
  isEmpty(): boolean;
  shift(): PoolTask | null;
  push(task: PoolTask): void;
  unshift(task: PoolTask): void;
  remove(task: PoolTask): void;
  /** Rejects all tasks that wait in it. */
  cancel(): void;
}

/** A task or result, parts of which are transferred instead of cloned. */
export declare class Transfer<T = any> {
  /** @param transfer what is to be transferred */
  constructor(message: T, transfer: readonly Transferable[]);
  /** The task or result. */
  readonly message: T;
  /** What is transferred. */
  readonly transfer: readonly Transferable[];
}

/** The property of a value with what is to be transferred. */
export declare const transferableSymbol: unique symbol;
/** The property of a value with what is to be sent instead. */
export declare const valueSymbol: unique symbol;
/** The property of a task with options for a custom queue. */
export declare const queueOptionsSymbol: unique symbol;

/** Marks a task or result to be transferred instead of cloned. */
export declare function move<T extends ArrayBuffer | ArrayBufferView | MessagePort | object>(value: T): T;

/** Whether this code runs in a worker of a pool. */
export declare const isWorkerThread: boolean;
/** The number of the worker that this code runs in, from 1; 0 outside of workers. */
export declare const workerId: number;

/**
 * In a worker: the signal of the task that the calling code belongs to. Its `aborted` is up to date even in code that
 * never returns to the event loop.
 * @throws ERR_MANYCORE_NOT_IN_TASK
 */
export declare function taskSignal(): AbortSignal;

/**
 * In a worker: sends a payload to the caller of the current task, see `onProgress`.
 * @throws ERR_MANYCORE_NOT_IN_TASK
 */
export declare function workerEmit(payload: any): void | Promise<void>;

/** `this` of functions registered by `worker()` or sent by `exec()`. */
export interface PoolReceiver {
  /** What the function can tell its caller, and be told. */
  readonly worker: {
    /** Like `workerEmit()`. */
    emit(payload: any): void | Promise<void>;
    /** Called when the current task is aborted. If it ends within `abortGraceMs`, its worker is kept. */
    addAbortListener(listener: () => any): void;
  };
}

/** In a worker: registers functions for `exec()` and `proxy()`; their `this` is a `PoolReceiver`. */
export declare function worker(
  methods?: Record<string, (...args: any[]) => any>,
  options?: { onTerminate?: (code?: number) => any },
): void;
