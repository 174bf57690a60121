import type { LockMode } from './locks';

/** A lock that is held while the callback of its request runs. */
export interface ThreadLock {
  readonly name: string;
  readonly mode: LockMode;
}

export interface ThreadLockOptions {
  /** Default: 'exclusive'. */
  mode?: LockMode;
  /** Calls the callback with null instead of waiting. */
  ifAvailable?: boolean;
  /** Takes the lock away from its holder, whose request rejects with an AbortError. */
  steal?: boolean;
  /** Stops waiting. */
  signal?: AbortSignal;
}

export interface ThreadLockInfo {
  readonly name: string;
  readonly mode: LockMode;
  readonly clientId: string;
}

/**
 * The Web Locks API among the threads of this process: Node's own, or an equivalent in versions that lack it. Other than
 * the `locks` exported by `manycore`, it does not reach other processes.
 */
export declare const locks: {
  /** Calls the callback when the lock is granted, and holds the lock until the callback's promise is settled. */
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
