import type { Transferable } from 'node:worker_threads';

/** Passed to a request handler along with the value. */
export interface RequestContext {
  /** Aborted when the other side no longer waits: it timed out, its signal was aborted, or it has ended. */
  readonly signal: AbortSignal;
  /** Objects in the answer to transfer instead of cloning. Default: none. */
  transferList: readonly Transferable[] | undefined;
}

/** Answers requests. If it throws or rejects, the request rejects with that error. */
export type RequestHandler<Value = any> = (value: Value, context: RequestContext) => any;

/** Options of a blocking call. */
export interface CallOptions {
  /**
   * How long to wait for the answer, in milliseconds, before failing with ERR_MANYCORE_TIMEOUT: 0 to 2^31 - 1, or Infinity.
   * Default: Infinity.
   */
  timeoutMs?: number;
  /** Objects in the value to transfer instead of cloning; between processes, none can be. Default: none. */
  transferList?: Iterable<Transferable>;
}

/** Options of a request. */
export interface RequestOptions extends CallOptions {
  /** Stops waiting: the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * Something that can send requests and answer them: a `Worker`, the `parentPort` in it, a `MessagePort`, or, between
 * processes, a `cluster.Worker` in the primary and `cluster.worker` in a worker.
 */
export interface Requests {
  /**
   * Sends a request to the handler of the other side and resolves to its answer. Requests wait for a handler as
   * messages wait for a listener; their order relative to messages is not defined. A pending request keeps the event
   * loop alive.
   *
   * Rejects with what the handler threw, with ERR_MANYCORE_TIMEOUT, with the signal's reason, with
   * ERR_MANYCORE_PEER_GONE if the other side closes, disconnects or ends, or with a DataCloneError.
   */
  request<Answer = any>(value?: any, options?: RequestOptions): Promise<Answer>;

  /**
   * Like `request()`, but blocks the thread until the answer has arrived. No messages are delivered meanwhile, but
   * requests from the same other side are handled, so that two sides may call each other. If both are blocked in calls
   * to each other and neither can answer, throws ERR_MANYCORE_DEADLOCK: neither has a handler, or a handler calls back
   * the side that waits for it, whose handler returns a promise.
   */
  call<Answer = any>(value?: any, options?: CallOptions): Answer;

  /**
   * Sets the handler for the other side's requests, beginning with those that already wait. A handler keeps the event
   * loop of its thread alive. `null` removes it; requests then wait. A port that has a handler can no longer be
   * transferred.
   */
  onRequest<Value = any>(handler: RequestHandler<Value> | null): this;
}

declare module 'node:worker_threads' {
  // Merged with Node's.
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type
  interface Worker extends Requests {}
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type
  interface MessagePort extends Requests {}
}
