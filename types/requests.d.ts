import type { Transferable } from 'node:worker_threads';

/** What a handler of requests is told besides the value. */
export interface RequestContext {
  /** Aborted when the other side waits no longer: its time limit is over, its signal aborted, or it has gone. */
  readonly signal: AbortSignal;
  /** What of the answer is transferred instead of cloned. Default: nothing. */
  transferList: readonly Transferable[] | undefined;
}

/** Answers requests. What it throws, and what a promise of it is rejected with, is thrown at the side that asked. */
export type RequestHandler = (value: any, context: RequestContext) => any;

export interface CallOptions {
  /**
   * How long to wait for the answer, in milliseconds; after that, ERR_MANYCORE_TIMEOUT. Default: Infinity.
   */
  timeoutMs?: number;
  /** What of the value is transferred instead of cloned; between processes, nothing can be. Default: nothing. */
  transferList?: Iterable<Transferable>;
}

export interface RequestOptions extends CallOptions {
  /** Ends the waiting: the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * A side of requests and answers: a `Worker`, the `parentPort` in it, a `MessagePort`, or, between processes, a
 * `cluster.Worker` in the primary and `cluster.worker` in a worker.
 */
export interface Requests {
  /**
   * Asks the other side's handler. Requests wait for a handler as messages wait for a listener; they are answered
   * apart from messages. A pending request keeps the event loop alive.
   *
   * Rejects with what the handler threw, ERR_MANYCORE_TIMEOUT, the signal's reason, ERR_MANYCORE_PEER_GONE when
   * the other side closes, disconnects or ends, or a DataCloneError.
   */
  request(value?: any, options?: RequestOptions): Promise<any>;

  /**
   * The same, but blocks the thread until the answer is there. Delivers no message meanwhile; requests of the same
   * other side are served, so that two sides may call each other. When each is blocked in a call of the other and
   * neither has a handler, ERR_MANYCORE_DEADLOCK.
   */
  call(value?: any, options?: CallOptions): any;

  /**
   * Answers the other side's requests, those that wait first. A handler keeps the event loop of a worker, or of a
   * port's thread, alive. Null: lets them wait. A port with a handler cannot be transferred any more.
   */
  onRequest(handler: RequestHandler | null): this;
}

declare module 'node:worker_threads' {
  // Merged with Node's.
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type
  interface Worker extends Requests {}
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type
  interface MessagePort extends Requests {}
}
