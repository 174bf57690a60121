import type { Address, ClusterSettings, Worker as NodeClusterWorker } from 'node:cluster';
import type { EventEmitter } from 'node:events';
import type { Server, Socket } from 'node:net';
import type { Requests } from './types/requests';

export * from 'node:worker_threads';
export { BroadcastChannel, type BroadcastChannelOptions } from './types/broadcast';
export * from './types/links';
export * from './types/pool';
export * from './types/shared';
export {
  Worker,
  isInternalThread,
  isMarkedAsUntransferable,
  markAsUncloneable,
  threadName,
} from './types/threads';
export type { WorkerOptions } from './types/threads';
export * from './types/locks';
export { locks } from './types/locks';
export type { CallOptions, RequestContext, RequestHandler, RequestOptions, Requests } from './types/requests';

/** The current load of a cluster worker. */
export interface WorkerLoad {
  /** Open connections of its listening servers, without those that listen with `exclusive` or `reusePort`. */
  readonly connections: number;
  /** HTTP/1 requests in progress, counted from the first time that `load` is read. */
  readonly requests: number;
  /** How long its event loop has been blocked, in milliseconds. */
  readonly loopLagMs: number;
  /** Connections handed to it that it has not accepted yet. */
  readonly unclaimed: number;
  /** Resident memory in bytes. */
  readonly rssBytes: number;
  /** CPU time it has used so far, in microseconds. */
  readonly cpu: { readonly user: number; readonly system: number };
}

/** A worker process of the cluster; in the worker itself, its link to the primary. The methods of `Requests` need the addon. */
export interface ClusterWorker extends NodeClusterWorker, Requests {
  /** In the primary; undefined without the addon. */
  readonly load?: WorkerLoad;
}

/** A connection for which a worker has to be chosen. */
export interface IncomingConnection {
  /** The client's address; empty on a Unix socket. */
  readonly remoteAddress: string;
  /** The client's port; 0 on a Unix socket. */
  readonly remotePort: number;
  readonly remoteFamily: 'IPv4' | 'IPv6' | undefined;
}

/**
 * Chooses one of the workers that serve the listener. Called in the primary, for several connections in a row. If it returns
 * anything else, throws, or does not return within the stall limit, round-robin decides.
 */
export type ScheduleCallback = (
  connection: IncomingConnection,
  workers: readonly (ClusterWorker & { readonly load: WorkerLoad })[],
) => ClusterWorker | undefined;

/** One of Node's constants (`SCHED_RR`, `SCHED_NONE`), the name of a policy, or a function. */
export type SchedulingPolicy =
  number | 'rr' | 'none' | 'least-connections' | 'p2c' | 'ip-hash' | ScheduleCallback;

export interface ClusterEvents {
  disconnect: [worker: ClusterWorker];
  exit: [worker: ClusterWorker, code: number, signal: string];
  fork: [worker: ClusterWorker];
  listening: [worker: ClusterWorker, address: Address];
  message: [worker: ClusterWorker, message: any, handle: Socket | Server];
  online: [worker: ClusterWorker];
  /** A worker that was reported as stalled accepts connections again. */
  recover: [worker: ClusterWorker];
  /** A worker left connections waiting for too long; `moved` of them have gone to other workers. */
  stall: [worker: ClusterWorker, info: { moved: number }];
  setup: [settings: ClusterSettings];
}

export interface PrimarySettings extends ClusterSettings {
  /** How long a worker may leave connections waiting before they go to other workers, in milliseconds. Default: 50. */
  stallLimitMs?: number;
  /**
   * Whether connections begin with a PROXY protocol header (version 1 or 2), from which `'ip-hash'` and policy functions
   * then take the client's address. The header is left for the server to read. Default: false.
   */
  proxyProtocol?: boolean;
}

declare module 'node:net' {
  interface ListenOptions {
    /** In a cluster worker: the policy of this listener. The first worker that listens decides. */
    schedulingPolicy?: Exclude<SchedulingPolicy, ScheduleCallback>;
    /** In a cluster worker: `proxyProtocol` for this listener. */
    proxyProtocol?: boolean;
  }

  interface Server {
    /** In a cluster worker, set before `listen()`: the policy of its listeners that have none of their own. */
    schedulingPolicy?: Exclude<SchedulingPolicy, ScheduleCallback>;
  }
}

type On<Self> = {
  <Event extends keyof ClusterEvents>(event: Event, listener: (...args: ClusterEvents[Event]) => void): Self;
  (event: string | symbol, listener: (...args: any[]) => void): Self;
};

/** Node's cluster module with more scheduling policies and a view of each worker's load. */
export interface Cluster extends EventEmitter {
  readonly isPrimary: boolean;
  /** @deprecated use `isPrimary` */
  readonly isMaster: boolean;
  readonly isWorker: boolean;
  readonly settings: ClusterSettings;
  readonly worker?: ClusterWorker;
  readonly workers?: NodeJS.Dict<ClusterWorker>;
  readonly Worker: typeof NodeClusterWorker;
  readonly SCHED_NONE: number;
  readonly SCHED_RR: number;
  /** Can be set until the first `fork()` or `setupPrimary()`. */
  schedulingPolicy: SchedulingPolicy;

  fork(env?: any): ClusterWorker;
  disconnect(callback?: () => void): void;
  setupPrimary(settings?: PrimarySettings): void;
  /** @deprecated use `setupPrimary()` */
  setupMaster(settings?: PrimarySettings): void;

  on: On<this>;
  once: On<this>;
  addListener: On<this>;
  prependListener: On<this>;
  prependOnceListener: On<this>;
}

export declare const cluster: Cluster;
