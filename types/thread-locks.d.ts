import type { LockMode } from './locks';

/** A lock that is held while the callback of its request runs. */
export interface ThreadLock {
  readonly name: string;
  readonly mode: LockMode;
}

export interface ThreadLockOptions {
  /** Default: 'exclusive'. */
  mode?: LockMode;
  /** Calls back with null instead of waiting. */
  ifAvailable?: boolean;
  /** Takes the lock away from whoever holds it, whose request rejects with an AbortError. */
  steal?: boolean;
  /** Ends the wait. */
  signal?: AbortSignal;
}

export interface ThreadLockInfo {
  readonly name: string;
  readonly mode: LockMode;
  readonly clientId: string;
}

/**
 * The Web Locks API among the threads of this process: Node's own, or what stands in for it in versions that have
 * none. `locks` of `manycore` reaches other processes.
 */
export declare const locks: {
  /** Calls back when the lock is granted, and holds it until the callback's promise is settled. */
  request<T>(name: string, callback: (lock: ThreadLock) => T): Promise<Awaited<T>>;
  request<T>(
    name: string,
    options: ThreadLockOptions & { ifAvailable: true },
    callback: (lock: ThreadLock | null) => T,
  ): Promise<Awaited<T>>;
  request<T>(
    name: string,
    options: ThreadLockOptions,
    callback: (lock: ThreadLock) => T,
  ): Promise<Awaited<T>>;
  query(): Promise<{ held: readonly ThreadLockInfo[]; pending: readonly ThreadLockInfo[] }>;
};
