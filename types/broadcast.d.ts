import { BroadcastChannel as NodeBroadcastChannel } from 'node:worker_threads';

/** Options of a `BroadcastChannel`. */
export interface BroadcastChannelOptions {
  /**
   * Who receives the messages: the threads of this process (`'process'`), or the threads of all processes of the cluster
   * that have a channel of the same name with scope `'host'`. Default: `'process'`.
   */
  scope?: 'process' | 'host';
}

/** Node's `BroadcastChannel`, which with `{ scope: 'host' }` reaches the threads of all processes of the cluster. */
export declare class BroadcastChannel extends NodeBroadcastChannel {
  /**
   * Throws ERR_INVALID_ARG_VALUE for an unknown scope. With scope `'host'`, `postMessage()` throws a DataCloneError for
   * what only threads can exchange: a SharedArrayBuffer, ports, handles.
   */
  constructor(name: string, options?: BroadcastChannelOptions);
}
