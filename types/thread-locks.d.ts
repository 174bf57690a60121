import type { LockMode } from './locks';

/** A lock that is held while the callback of its request runs. */
export interface ThreadLock {
  /** The name that was requested. */
  readonly name: string;
  /** The mode that was requested. */
  readonly mode: LockMode;
}

/** Options of a request for a lock. */
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

/** A request for a lock. */
export interface ThreadLockInfo {
  /** The name of the lock. */
  readonly name: string;
  /** The mode that was requested. */
  readonly mode: LockMode;
  /** Identifies the thread that made the request. */
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
  /** Reports who holds locks and who waits for them. */
  query(): Promise<{ held: readonly ThreadLockInfo[]; pending: readonly ThreadLockInfo[] }>;
};
