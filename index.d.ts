import type { Address, ClusterSettings, Worker as NodeClusterWorker } from 'node:cluster';
import type { EventEmitter } from 'node:events';
import type { Server, Socket } from 'node:net';

export * from 'node:worker_threads';

/** How busy a cluster worker is, as the worker itself last reported it. */
export interface WorkerLoad {
  /** Open connections of its listening servers. */
  readonly connections: number;
  /** HTTP requests under way. */
  readonly requests: number;
  /** How late its event loop runs, in milliseconds. */
  readonly loopLagMs: number;
  /** Connections handed to it that it has not taken yet. */
  readonly unclaimed: number;
  /** Resident memory in bytes. */
  readonly rssBytes: number;
  /** Processor use: 1 is one core. */
  readonly cpu: number;
}

/** A worker process of the cluster. */
export interface ClusterWorker extends NodeClusterWorker {
  readonly load: WorkerLoad;
}

/** A connection that waits for its worker to be chosen. */
export interface IncomingConnection {
  readonly remoteAddress?: string;
  readonly remotePort?: number;
}

/** Chooses the worker for a connection. Runs in the primary. */
export type ScheduleCallback = (
  connection: IncomingConnection,
  workers: readonly ClusterWorker[],
) => ClusterWorker;

/** A constant of Node's (`SCHED_RR`, `SCHED_NONE`), the name of a policy, or a function of one's own. */
export type SchedulingPolicy =
  number | 'rr' | 'none' | 'least-connections' | 'p2c' | 'ip-hash' | ScheduleCallback;

export interface ClusterEvents {
  disconnect: [worker: ClusterWorker];
  exit: [worker: ClusterWorker, code: number, signal: string];
  fork: [worker: ClusterWorker];
  listening: [worker: ClusterWorker, address: Address];
  message: [worker: ClusterWorker, message: any, handle: Socket | Server];
  online: [worker: ClusterWorker];
  setup: [settings: ClusterSettings];
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
  /** May be set until the first `fork()`. */
  schedulingPolicy: SchedulingPolicy;

  fork(env?: any): ClusterWorker;
  disconnect(callback?: () => void): void;
  setupPrimary(settings?: ClusterSettings): void;
  /** @deprecated use `setupPrimary()` */
  setupMaster(settings?: ClusterSettings): void;

  on: On<this>;
  once: On<this>;
  addListener: On<this>;
  prependListener: On<this>;
  prependOnceListener: On<this>;
}

export declare const cluster: Cluster;
