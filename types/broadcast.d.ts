import { BroadcastChannel as NodeBroadcastChannel } from 'node:worker_threads';

export interface BroadcastChannelOptions {
  /**
   * Who hears what is posted: the threads of this process, or those of all processes of the cluster that have a
   * channel of that name with scope `'host'`. Default: `'process'`.
   */
  scope?: 'process' | 'host';
}

/** Node's, which with `{ scope: 'host' }` reaches the threads of all processes of the cluster. */
export declare class BroadcastChannel extends NodeBroadcastChannel {
  /**
   * Throws ERR_INVALID_ARG_VALUE for an unknown scope. With scope `'host'`, `postMessage` refuses what only threads
   * can be sent (shared memory, ports, handles) with a DataCloneError.
   */
  constructor(name: string, options?: BroadcastChannelOptions);
}
