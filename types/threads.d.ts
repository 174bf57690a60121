import type { Worker as NodeWorker, WorkerOptions as NodeWorkerOptions } from 'node:worker_threads';

/** Node's options, and whether the worker may take over a spare. */
export interface WorkerOptions extends NodeWorkerOptions {
  /**
   * Takes over a spare that `Worker.warm()` keeps for these options. Without one at hand, and for what a spare
   * cannot run, the worker starts as ever. Default: false.
   */
  warm?: boolean;
}

/** Node's `Worker`, with faster messages and spares. */
export declare class Worker extends NodeWorker {
  constructor(filename: string | URL, options?: WorkerOptions);

  /**
   * Keeps `count` workers booted and idle, for workers made with `{ warm: true }` and the same `execArgv`, `name`,
   * `resourceLimits`, `stdin`, `stdout`, `stderr` and `trackUnmanagedFds`, and `SHARE_ENV` or not. One that is taken
   * over is replaced. They do not keep the process alive. `warm(0)` lets all of them go, `warm(0, options)` those
   * for these options.
   * @param count 0 to 1024
   * @returns fulfilled when they have booted, or have gone; rejected if they cannot boot
   * @throws ERR_INVALID_ARG_TYPE, ERR_OUT_OF_RANGE, ERR_INVALID_ARG_VALUE, as rejections
   */
  static warm(count: number, options?: WorkerOptions): Promise<void>;

  /** Its name; null once it has ended. */
  readonly threadName: string | null;

  /** Terminates the worker. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The name of this thread, '' for the main thread. */
export declare const threadName: string | null;

/** Whether this thread is one of Node's own. */
export declare const isInternalThread: boolean;

/** Keeps an object from being cloned by `postMessage()`, `structuredClone()` and as `workerData`. */
export declare function markAsUncloneable(object: unknown): void;

/** Whether `markAsUntransferable()` has been called with the object. */
export declare function isMarkedAsUntransferable(object: unknown): boolean;
