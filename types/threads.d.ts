import type { Worker as NodeWorker, WorkerOptions as NodeWorkerOptions } from 'node:worker_threads';

/** Node's options, plus `warm`. */
export interface WorkerOptions extends NodeWorkerOptions {
  /**
   * Takes over a spare that `Worker.warm()` keeps for these options. If there is none, or a spare cannot run this
   * worker, it starts as usual. Default: false.
   */
  warm?: boolean;
}

/** Node's `Worker`, with faster messages and warm starts. */
export declare class Worker extends NodeWorker {
  /** Starts a worker thread, or takes over a spare, see `warm`. Throws what Node's class throws. */
  constructor(filename: string | URL, options?: WorkerOptions);

  /**
   * Keeps `count` spares: workers that have booted and are idle. A worker created with `{ warm: true }` takes one over if
   * `execArgv`, `name`, `resourceLimits`, `stdin`, `stdout`, `stderr` and `trackUnmanagedFds` are the same, and `env` is
   * `SHARE_ENV` for both or neither. A spare that is taken over is replaced. Spares do not keep the process alive.
   * `warm(0)` ends all spares, `warm(0, options)` those with these options.
   * @param count 0 to 1024
   * @returns resolves when the spares have booted or ended; rejects if they cannot boot, and with ERR_INVALID_ARG_TYPE,
   * ERR_OUT_OF_RANGE or ERR_INVALID_ARG_VALUE for bad arguments
   */
  static warm(count: number, options?: WorkerOptions): Promise<void>;

  /** The name of the worker; null once it has ended. */
  readonly threadName: string | null;

  /** Terminates the worker. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The name of this thread, '' for the main thread. */
export declare const threadName: string | null;

/** Whether this thread is one of Node's own. */
export declare const isInternalThread: boolean;

/** Prevents an object from being cloned: `postMessage()`, `structuredClone()` and `workerData` throw a DataCloneError. */
export declare function markAsUncloneable(object: unknown): void;

/** Whether the object has been marked by `markAsUntransferable()`. */
export declare function isMarkedAsUntransferable(object: unknown): boolean;
