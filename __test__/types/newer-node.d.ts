// What the types of Node 24 have in addition: names that manycore exports as well.

export {};

declare module 'worker_threads' {
  interface Lock {
    readonly mode: LockMode;
    readonly name: string;
  }
  interface LockInfo {
    clientId: string;
    mode: LockMode;
    name: string;
  }
  interface LockManager {
    query(): Promise<LockManagerSnapshot>;
  }
  interface LockManagerSnapshot {
    held: LockInfo[];
    pending: LockInfo[];
  }
  type LockMode = 'exclusive' | 'shared';
  interface LockOptions {
    ifAvailable?: boolean;
    mode?: LockMode;
  }
  const locks: LockManager;
}
