import type * as manycore from './index';

declare const cluster: manycore.Cluster;

declare namespace cluster {
  export type Cluster = manycore.Cluster;
  export type ClusterEvents = manycore.ClusterEvents;
  export type ClusterWorker = manycore.ClusterWorker;
  export type PrimarySettings = manycore.PrimarySettings;
  export type IncomingConnection = manycore.IncomingConnection;
  export type ScheduleCallback = manycore.ScheduleCallback;
  export type SchedulingPolicy = manycore.SchedulingPolicy;
  export type WorkerLoad = manycore.WorkerLoad;
}

export = cluster;
