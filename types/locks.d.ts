/** Limits of a wait. */
export interface LockWaitOptions {
  /** How long to wait, in milliseconds, before failing with ERR_MANYCORE_LOCK_TIMEOUT. Default: no limit. */
  timeoutMs?: number;
  /**
   * Aborting it ends the wait with the signal's reason. Blocking calls check it only once, before they block, because
   * events of their own thread cannot reach them.
   */
  signal?: AbortSignal;
}

/** How a lock is created. */
export interface LockOptions {
  /**
   * How many requests, granted and waiting, of all threads and processes the lock has room for, at 64 bytes each. Further
   * ones fail with ERR_MANYCORE_FULL. 1 to 65,536. Default: 128.
   */
  maxRequests?: number;
}

/** How a lock is opened by its name. */
export interface LockOpenOptions extends LockOptions {
  /**
   * `true` creates the lock if it does not exist, and `false` fails with ERR_MANYCORE_SEGMENT_NOT_FOUND instead;
   * `'exclusive'` fails with ERR_MANYCORE_SEGMENT_EXISTS if it exists. Default: true. An existing lock keeps its options.
   */
  create?: boolean | 'exclusive';
  /** Who can open the lock by its name: all processes of this user, or the threads of this process. Default: 'host'. */
  scope?: 'host' | 'process';
}

/** A granted lock. It is held until `unlock()` is called or its thread ends, even if the token is garbage-collected. */
export declare class UnlockToken {
  private constructor();
  /** Whether the lock is still held. */
  readonly locked: boolean;
  /** Grows with each grant of the lock, also after crashes. Storage that remembers the highest can reject late writers. */
  readonly fencingToken: number;
  /** The previous holder died: what the lock protects may be half-changed. Reported to at least one holder, at most two. */
  readonly ownerDied: boolean;
  /** Unlocks. Throws ERR_MANYCORE_NOT_LOCKED if called a second time. */
  unlock(): void;
  /** Unlocks unless already unlocked. For `using`. */
  [Symbol.dispose](): void;
}

/** Members of all lock classes. */
interface LockObject {
  /**
   * A string with which `from()` opens the same lock in another thread or process. The handle of a lock without a name is
   * valid as long as this thread keeps the object. Locks can also be posted in messages and `workerData`.
   */
  readonly handle: string;
}

/** A lock that one thread, of any process, holds at a time. First come, first served. */
export declare class Mutex implements LockObject {
  /** Creates a lock without a name. */
  constructor(options?: LockOptions);
  /**
   * Opens or creates the lock of that name: up to 200 letters, digits and `. _ - : @`, of which a dot must not be the first.
   */
  static open(name: string, options?: LockOpenOptions): Mutex;
  /** Opens the lock that a handle refers to. Throws ERR_MANYCORE_SEGMENT_NOT_FOUND if it no longer exists. */
  static from(handle: string | { readonly handle: string }): Mutex;
  readonly handle: string;
  /**
   * Blocks the thread until the lock is granted. Throws ERR_MANYCORE_DEADLOCK if this thread already holds the lock or
   * waits for it. A blocked thread can be terminated.
   */
  lock(options?: LockWaitOptions): UnlockToken;
  /** Waits for the lock without blocking the event loop, and keeps it alive meanwhile. */
  lockAsync(options?: LockWaitOptions): Promise<UnlockToken>;
  /** Returns the lock if it is free, otherwise null. */
  lockIfAvailable(): UnlockToken | null;
}

/** A lock held by one writer or by many readers. Readers that arrive after a waiting writer wait behind it. */
export declare class RwLock extends Mutex {
  /** Opens or creates the lock of that name. */
  static open(name: string, options?: LockOpenOptions): RwLock;
  /** Opens the lock that a handle refers to. */
  static from(handle: string | { readonly handle: string }): RwLock;
  /** `lock()` as a reader. */
  lockShared(options?: LockWaitOptions): UnlockToken;
  /** `lockAsync()` as a reader. */
  lockSharedAsync(options?: LockWaitOptions): Promise<UnlockToken>;
  /** `lockIfAvailable()` as a reader. */
  lockSharedIfAvailable(): UnlockToken | null;
}

/** A number of permits. Those of threads that die are returned, which is reported to the next to acquire some. */
export declare class Semaphore implements LockObject {
  /**
   * Creates a semaphore without a name.
   * @param permits the number of permits, 1 to 2^31 - 1
   */
  constructor(permits: number, options?: LockOptions);
  /** Opens or creates the semaphore of that name; an existing one keeps its number of permits. */
  static open(name: string, permits: number, options?: LockOpenOptions): Semaphore;
  /** Opens the semaphore that a handle refers to. */
  static from(handle: string | { readonly handle: string }): Semaphore;
  readonly handle: string;
  /** The total number of permits. */
  readonly permits: number;
  /** Acquires permits (default 1) and blocks the thread until there are enough. */
  acquire(permits?: number, options?: LockWaitOptions): UnlockToken;
  /** Waits for permits without blocking the event loop. Small requests do not overtake large ones. */
  acquireAsync(permits?: number, options?: LockWaitOptions): Promise<UnlockToken>;
  /** Acquires permits if there are enough, otherwise returns null. */
  acquireIfAvailable(permits?: number): UnlockToken | null;
}

/** A condition variable: waits for a change that others make while they hold a lock. */
export declare class Condition implements LockObject {
  /** Creates a condition variable without a name. */
  constructor(options?: LockOptions);
  /** Opens or creates the condition variable of that name. */
  static open(name: string, options?: LockOpenOptions): Condition;
  /** Opens the condition variable that a handle refers to. */
  static from(handle: string | { readonly handle: string }): Condition;
  readonly handle: string;
  /**
   * Unlocks the token, blocks until notified, and locks it again in the same way: as a writer, a reader, or with as many
   * permits. Returns false if it timed out.
   */
  wait(token: UnlockToken, options?: LockWaitOptions): boolean;
  /** `wait()` without blocking the event loop. The token is locked again even if the promise is rejected. */
  waitAsync(token: UnlockToken, options?: LockWaitOptions): Promise<boolean>;
  /**
   * Waits until notified or, with a predicate, until that returns true. Returns false if it timed out. With a `timeoutMs` of
   * 0 it only tests the predicate.
   * @throws ERR_INVALID_ARG_VALUE if the predicate returns a promise
   */
  waitFor(token: UnlockToken, timeoutMs: number, predicate?: () => unknown): boolean;
  /** `waitFor()` without blocking the event loop; the predicate may be asynchronous. */
  waitForAsync(
    token: UnlockToken,
    timeoutMs: number,
    predicate?: () => unknown,
    options?: { signal?: AbortSignal },
  ): Promise<boolean>;
  /** Wakes those that have waited longest (default: all). Returns how many were woken. */
  notify(count?: number): number;
}

/** A point at which a fixed number of parties wait for one another, any number of times. */
export declare class Barrier implements LockObject {
  /**
   * Creates a barrier without a name.
   * @param parties how many have to wait until all pass, 1 to 32,768
   */
  constructor(parties: number, options?: LockOptions);
  /** Opens or creates the barrier of that name; an existing one keeps its number of parties. */
  static open(name: string, parties: number, options?: LockOpenOptions): Barrier;
  /** Opens the barrier that a handle refers to. */
  static from(handle: string | { readonly handle: string }): Barrier;
  readonly handle: string;
  /** How many have to wait until all pass. */
  readonly parties: number;
  /**
   * Blocks until all parties wait. Returns true for the one that arrived last. A party that dies or gives up while waiting
   * does not count: another one has to arrive instead.
   */
  wait(options?: LockWaitOptions): boolean;
  /** `wait()` without blocking the event loop. */
  waitAsync(options?: LockWaitOptions): Promise<boolean>;
  /** Passes, and returns true, if all others already wait. */
  waitIfAvailable(): boolean;
}

/** Passed to the function that is run. */
export interface OnceRun {
  /** A previous run died before it had finished. */
  readonly ownerDied: boolean;
  /** See `UnlockToken`. */
  readonly fencingToken: number;
}

/** Something that only one of all threads and processes does. Others wait until it is done. */
export declare class Once implements LockObject {
  /** Creates an object without a name. */
  constructor(options?: LockOptions);
  /** Opens or creates the object of that name. */
  static open(name: string, options?: LockOpenOptions): Once;
  /** Opens the object that a handle refers to. */
  static from(handle: string | { readonly handle: string }): Once;
  readonly handle: string;
  /** Whether the function has been run to its end. */
  readonly isDone: boolean;
  /**
   * Runs a synchronous function, or blocks until another caller has run it. Returns whether this caller ran it. If the
   * function throws or its thread dies, the next caller runs it.
   */
  run(fn: (run: OnceRun) => void, options?: LockWaitOptions): boolean;
  /** `run()` without blocking the event loop; the function may be asynchronous. */
  runAsync(fn: (run: OnceRun) => unknown, options?: LockWaitOptions): Promise<boolean>;
  /** Runs a synchronous function unless that is done or in progress. Returns whether it did. */
  runIfAvailable(fn: (run: OnceRun) => void): boolean;
}

/** Held by one, or shared by any number. */
export type LockMode = 'exclusive' | 'shared';

/** A named lock that is held while the callback of its request runs. */
export declare class Lock {
  private constructor();
  /** The name that was requested. */
  readonly name: string;
  /** The mode that was requested. */
  readonly mode: LockMode;
  /** See `UnlockToken`. */
  readonly fencingToken: number;
  /** See `UnlockToken`. */
  readonly ownerDied: boolean;
}

/** Options of a request for a named lock. */
export interface LockRequestOptions {
  /** Default: 'exclusive'. */
  mode?: LockMode;
  /** Calls the callback with null instead of waiting. */
  ifAvailable?: boolean;
  /** Takes the lock away from its holder, whose request rejects with an AbortError. */
  steal?: boolean;
  /** Aborting it ends the wait. */
  signal?: AbortSignal;
  /** How long to wait, in milliseconds, before failing with ERR_MANYCORE_LOCK_TIMEOUT. An addition to the Web Locks API. */
  timeoutMs?: number;
}

/** A request for a named lock. */
export interface LockInfo {
  /** The name of the lock. */
  readonly name: string;
  /** The mode that was requested. */
  readonly mode: LockMode;
  /** Identifies the thread that made the request. */
  readonly clientId: string;
  /** The process that made the request. */
  readonly pid: number;
  /** `worker_threads.threadId` of the thread. */
  readonly threadId: number;
  /** Only for locks that are held. */
  readonly fencingToken?: number;
}

/** A cycle of requests that wait for one another. */
export interface Deadlock {
  /** False if a thread in the cycle waits asynchronously, so that it may still unlock something. */
  readonly certain: boolean;
  /** Named locks have all properties of `LockInfo`; lock objects have their class in `type`. */
  readonly requests: readonly (Partial<LockInfo> & {
    readonly name: string;
    readonly pid: number;
    readonly held: boolean;
    readonly type?: string;
    readonly blocking?: boolean;
  })[];
}

/** What a manager's locks are doing at one moment. */
export interface LockManagerSnapshot {
  /** Requests that have been granted. */
  readonly held: readonly LockInfo[];
  /** Requests that wait. */
  readonly pending: readonly LockInfo[];
  /** Among the named locks of this manager, and the lock objects that this thread has open. */
  readonly deadlocks: readonly Deadlock[];
}

/** The Web Locks API across threads and processes. */
export declare class LockManager {
  /**
   * `scope`: all processes of this user ('host', the default) or the threads of this process. `namespace`: names in
   * different namespaces are independent.
   */
  constructor(options?: { scope?: 'host' | 'process'; namespace?: string });
  /**
   * Calls the callback when the lock is granted, and holds the lock until the callback's promise is settled. Resolves to
   * the result of the callback. Names have at most 252 bytes and do not begin with '-'.
   * Rejects with an AbortError if the lock is stolen, and with a NotSupportedError for such a name, and for options that
   * exclude each other: `steal` with `ifAvailable` or a shared mode, `signal` with either.
   */
  request<T>(name: string, callback: (lock: Lock) => T): Promise<Awaited<T>>;
  request<T>(
    name: string,
    options: LockRequestOptions & { ifAvailable: true },
    callback: (lock: Lock | null) => T,
  ): Promise<Awaited<T>>;
  request<T>(name: string, options: LockRequestOptions, callback: (lock: Lock) => T): Promise<Awaited<T>>;
  /** Reports who holds the locks of this manager, who waits for them, and deadlocks. */
  query(): Promise<LockManagerSnapshot>;
}

/** The named locks of all processes of this user. */
export declare const locks: LockManager;

/** Passed to the function of a leader. */
export interface Leadership {
  /** The name under which this thread leads. */
  readonly name: string;
  /** See `UnlockToken`. */
  readonly fencingToken: number;
  /** The previous leader died. */
  readonly ownerDied: boolean;
  /** Aborted when the leadership has ended or the given signal is aborted: the function should return. */
  readonly signal: AbortSignal;
}

/**
 * Calls `fn` when this thread becomes the only leader of that name among all processes of this user. It remains the leader
 * until the promise returned by `fn` is settled or the thread dies; then another becomes the leader. Resolves to the result
 * of `fn`.
 */
export declare function leader<T>(
  name: string,
  fn: (leadership: Leadership) => T,
  options?: LockWaitOptions,
): Promise<Awaited<T>>;

/**
 * Runs `fn` unless a process of this user has already run it under that name and key. Other callers wait until it is done;
 * if it fails or its process dies, the next caller runs it. Runs of one name, with whatever key, do not overlap. The machine
 * remembers the last 4096 runs.
 */
export declare function runOnce<T>(
  name: string,
  key: string | number,
  fn: (run: OnceRun & { readonly name: string; readonly key: string | number }) => T,
  options?: LockWaitOptions,
): Promise<{ ran: true; value: Awaited<T>; fencingToken: number } | { ran: false }>;
