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
// By name, which takes precedence over what newer versions of node:worker_threads export under the same names.
export {
  Barrier,
  Condition,
  Lock,
  LockManager,
  Mutex,
  Once,
  RwLock,
  Semaphore,
  UnlockToken,
  leader,
  locks,
  runOnce,
} from './types/locks';
export type {
  Deadlock,
  Leadership,
  LockInfo,
  LockManagerSnapshot,
  LockMode,
  LockOpenOptions,
  LockOptions,
  LockRequestOptions,
  LockWaitOptions,
  OnceRun,
} from './types/locks';
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

/**
 * A worker process of the cluster; in the worker itself, its link to the primary. The methods of `Requests` need the addon.
 */
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
  /** The family of the client's address; undefined on a Unix socket. */
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

/** Events of `cluster` and their arguments: Node's, and `stall` and `recover`. */
export interface ClusterEvents {
  /** The channel to a worker has been closed. */
  disconnect: [worker: ClusterWorker];
  /** A worker has ended: with an exit code, or by a signal. */
  exit: [worker: ClusterWorker, code: number, signal: string];
  /** A worker has been forked. */
  fork: [worker: ClusterWorker];
  /** A worker has begun to listen on an address. */
  listening: [worker: ClusterWorker, address: Address];
  /** A worker has sent a message, with a handle or without. */
  message: [worker: ClusterWorker, message: any, handle: Socket | Server];
  /** A worker has started to run. */
  online: [worker: ClusterWorker];
  /** A worker that was reported as stalled accepts connections again. */
  recover: [worker: ClusterWorker];
  /** A worker left connections waiting for too long; `moved` of them have gone to other workers. */
  stall: [worker: ClusterWorker, info: { moved: number }];
  /** `setupPrimary()` has been called. */
  setup: [settings: ClusterSettings];
}

/** Settings of the cluster: Node's, and two more. */
export interface PrimarySettings extends ClusterSettings {
  /**
   * How long a worker may leave connections waiting before they go to other workers, in milliseconds: above 0, up to
   * 3,600,000. Set it before the first `fork()`. Default: 50.
   */
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
  /** Whether this process can fork workers. */
  readonly isPrimary: boolean;
  /** @deprecated use `isPrimary` */
  readonly isMaster: boolean;
  /** Whether this process is a worker of a cluster. */
  readonly isWorker: boolean;
  /** The settings of workers, once `setupPrimary()` or `fork()` has been called. */
  readonly settings: ClusterSettings;
  /** In a worker: this worker, as its link to the primary. */
  readonly worker?: ClusterWorker;
  /** In the primary: the workers by their `id`. */
  readonly workers?: NodeJS.Dict<ClusterWorker>;
  /** Node's class of workers. */
  readonly Worker: typeof NodeClusterWorker;
  /** A scheduling policy: the workers accept from one shared socket. */
  readonly SCHED_NONE: number;
  /** A scheduling policy: the workers get connections strictly in turn. */
  readonly SCHED_RR: number;
  /** Can be set until the first `fork()` or `setupPrimary()`. */
  schedulingPolicy: SchedulingPolicy;

  /**
   * Starts a worker process.
   * @param env variables added to its environment
   * @throws ERR_INVALID_ARG_VALUE for an invalid policy; ERR_MANYCORE_TOO_MANY_WORKERS beyond 256 workers; EMFILE and ENFILE
   *   without free file descriptors
   */
  fork(env?: any): ClusterWorker;
  /** Disconnects all workers and closes their servers; calls back when that is done. */
  disconnect(callback?: () => void): void;
  /**
   * Changes how workers are started. Settings that are left out keep their values.
   * @throws ERR_INVALID_ARG_TYPE and ERR_OUT_OF_RANGE for an invalid `stallLimitMs` or `proxyProtocol`
   */
  setupPrimary(settings?: PrimarySettings): void;
  /** @deprecated use `setupPrimary()` */
  setupMaster(settings?: PrimarySettings): void;

  /** Adds a listener. */
  on: On<this>;
  /** Adds a listener for the next event only. */
  once: On<this>;
  /** Adds a listener. */
  addListener: On<this>;
  /** Adds a listener before those that there are. */
  prependListener: On<this>;
  /** Adds a listener for the next event only, before those that there are. */
  prependOnceListener: On<this>;
}

/** Node's cluster module with native scheduling. See docs/cluster.md. */
export declare const cluster: Cluster;
