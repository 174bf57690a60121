/** Until when a wait goes on. */
export interface LockWaitOptions {
  /** Milliseconds to wait at most; then ERR_MANYCORE_LOCK_TIMEOUT. Default: no limit. */
  timeoutMs?: number;
  /**
   * Ends the wait with the signal's reason. Blocking calls only look at it once, before they block, since no event
   * of their own thread can reach them.
   */
  signal?: AbortSignal;
}

/** How the memory of a lock is made. */
export interface LockOptions {
  /**
   * How many requests the lock has room for, held and waiting together, of all threads and processes. One more
   * fails with ERR_MANYCORE_FULL. 64 bytes each. Default: 128.
   */
  maxRequests?: number;
}

/** How a lock is opened by its name. */
export interface LockOpenOptions extends LockOptions {
  /**
   * `true` makes the lock unless it is there, `false` fails with ERR_MANYCORE_SEGMENT_NOT_FOUND, `'exclusive'` fails with
   * ERR_MANYCORE_SEGMENT_EXISTS when it is there. Default: true. A lock that is there stays as it was made.
   */
  create?: boolean | 'exclusive';
  /** Who finds it: all processes of this user, or the threads of this process. Default: 'host'. */
  scope?: 'host' | 'process';
}

/** What was locked. It stays locked until it is unlocked or its thread ends, whatever happens to the token. */
export declare class UnlockToken {
  private constructor();
  /** Whether it has not been unlocked yet. */
  readonly locked: boolean;
  /** Grows with each grant of the lock, also after crashes. A store that keeps the highest can turn away the late. */
  readonly fencingToken: number;
  /** The holder before died with the lock: what it protects may be half changed. Told to one holder, or twice. */
  readonly ownerDied: boolean;
  /** Lets go. Throws ERR_MANYCORE_NOT_LOCKED the second time. */
  unlock(): void;
  /** Unlocks unless that is done. For `using`. */
  [Symbol.dispose](): void;
}

/** What the classes of locks have in common. */
interface LockObject {
  /**
   * Where another thread or process opens the same lock with `from()`. What becomes of the lock itself in a message
   * or workerData has it, too. That of a lock without a name is good for as long as this thread has the object.
   */
  readonly handle: string;
}

/** A lock that one thread holds at a time, of whatever process. First come, first served. */
export declare class Mutex implements LockObject {
  /** A lock without a name. */
  constructor(options?: LockOptions);
  /** The lock of a name: letters, digits and `. _ - : @`. */
  static open(name: string, options?: LockOpenOptions): Mutex;
  /** The lock of a handle. Throws ERR_MANYCORE_SEGMENT_NOT_FOUND when nobody has it any more. */
  static from(handle: string | { readonly handle: string }): Mutex;
  readonly handle: string;
  /**
   * Locks, and blocks the thread until then. Throws ERR_MANYCORE_DEADLOCK when this thread holds the lock or waits
   * for it already. A thread that blocks can be terminated.
   */
  lock(options?: LockWaitOptions): UnlockToken;
  /** Locks as soon as it can. The event loop goes on, and stays alive. */
  lockAsync(options?: LockWaitOptions): Promise<UnlockToken>;
  /** Locks now, or gives null. */
  lockIfAvailable(): UnlockToken | null;
}

/** A lock that one writer holds, or many readers. Readers that come after a waiting writer wait for it. */
export declare class RwLock extends Mutex {
  static open(name: string, options?: LockOpenOptions): RwLock;
  static from(handle: string | { readonly handle: string }): RwLock;
  /** `lock()` as a reader. */
  lockShared(options?: LockWaitOptions): UnlockToken;
  /** `lockAsync()` as a reader. */
  lockSharedAsync(options?: LockWaitOptions): Promise<UnlockToken>;
  /** `lockIfAvailable()` as a reader. */
  lockSharedIfAvailable(): UnlockToken | null;
}

/** Permits that are taken and given back. Those of the dead come back, and the next to get some is told. */
export declare class Semaphore implements LockObject {
  /** @param permits how many there are */
  constructor(permits: number, options?: LockOptions);
  /** The semaphore of a name; one that is there keeps its number of permits. */
  static open(name: string, permits: number, options?: LockOpenOptions): Semaphore;
  static from(handle: string | { readonly handle: string }): Semaphore;
  readonly handle: string;
  /** How many permits there are in all. */
  readonly permits: number;
  /** Takes permits, 1 by default, and blocks the thread until there are enough. */
  acquire(permits?: number, options?: LockWaitOptions): UnlockToken;
  /** Takes permits as soon as there are enough. Large requests are not overtaken by small ones. */
  acquireAsync(permits?: number, options?: LockWaitOptions): Promise<UnlockToken>;
  /** Takes permits now, or gives null. */
  acquireIfAvailable(permits?: number): UnlockToken | null;
}

/** What waits for something that others bring about while they hold a lock. */
export declare class Condition implements LockObject {
  constructor(options?: LockOptions);
  static open(name: string, options?: LockOpenOptions): Condition;
  static from(handle: string | { readonly handle: string }): Condition;
  readonly handle: string;
  /**
   * Unlocks the token, blocks until notified, and locks it again. False when the time was up. Without its lock until
   * then, it is locked as it was: as a writer, a reader, with as many permits.
   */
  wait(token: UnlockToken, options?: LockWaitOptions): boolean;
  /** `wait()` on the event loop. The token is locked again also when it rejects. */
  waitAsync(token: UnlockToken, options?: LockWaitOptions): Promise<boolean>;
  /**
   * Waits until notified, or with a predicate, until that returns true. False when the time was up before.
   */
  waitFor(token: UnlockToken, timeoutMs: number, predicate?: () => unknown): boolean;
  /** `waitFor()` on the event loop. */
  waitForAsync(
    token: UnlockToken,
    timeoutMs: number,
    predicate?: () => unknown,
    options?: { signal?: AbortSignal },
  ): Promise<boolean>;
  /** Wakes those that have waited longest, all by default. Returns how many there were. */
  notify(count?: number): number;
}

/** Where a number of parties wait for each other, again and again. */
export declare class Barrier implements LockObject {
  constructor(parties: number, options?: LockOptions);
  /** The barrier of a name; one that is there keeps its number of parties. */
  static open(name: string, parties: number, options?: LockOpenOptions): Barrier;
  static from(handle: string | { readonly handle: string }): Barrier;
  readonly handle: string;
  readonly parties: number;
  /**
   * Blocks until all parties wait. True for the one that came last. A party that dies or gives up while it waits
   * does not count: another has to come in its place.
   */
  wait(options?: LockWaitOptions): boolean;
  waitAsync(options?: LockWaitOptions): Promise<boolean>;
  /** Passes if all others wait already. */
  waitIfAvailable(): boolean;
}

/** What whoever runs it is told. */
export interface OnceRun {
  /** A run before this one died in the middle. */
  readonly ownerDied: boolean;
  readonly fencingToken: number;
}

/** Something to be done by one of all. Whoever comes meanwhile waits until it is done. */
export declare class Once implements LockObject {
  constructor(options?: LockOptions);
  static open(name: string, options?: LockOpenOptions): Once;
  static from(handle: string | { readonly handle: string }): Once;
  readonly handle: string;
  readonly isDone: boolean;
  /**
   * Runs a synchronous function, or blocks until another has run it. True when it was this one. When it throws or
   * dies, the next one runs.
   */
  run(fn: (run: OnceRun) => void, options?: LockWaitOptions): boolean;
  /** `run()` on the event loop; the function may be asynchronous. */
  runAsync(fn: (run: OnceRun) => unknown, options?: LockWaitOptions): Promise<boolean>;
  /** Runs a synchronous function unless it is done or another runs it. */
  runIfAvailable(fn: (run: OnceRun) => void): boolean;
}

export type LockMode = 'exclusive' | 'shared';

/** A named lock that is held while the callback of its request runs. */
export declare class Lock {
  private constructor();
  readonly name: string;
  readonly mode: LockMode;
  /** See `UnlockToken`. */
  readonly fencingToken: number;
  /** See `UnlockToken`. */
  readonly ownerDied: boolean;
}

export interface LockRequestOptions {
  /** Default: 'exclusive'. */
  mode?: LockMode;
  /** Calls back with null instead of waiting. */
  ifAvailable?: boolean;
  /** Takes the lock away from whoever holds it, whose request rejects with an AbortError. */
  steal?: boolean;
  /** Ends the wait. */
  signal?: AbortSignal;
  /** Ends the wait with ERR_MANYCORE_LOCK_TIMEOUT. An addition to the Web Locks API. */
  timeoutMs?: number;
}

/** One request of a named lock. */
export interface LockInfo {
  readonly name: string;
  readonly mode: LockMode;
  readonly clientId: string;
  readonly pid: number;
  /** `worker_threads.threadId` of the thread. */
  readonly threadId: number;
  /** Of a lock that is held. */
  readonly fencingToken?: number;
}

/** Requests that wait for each other in a circle. */
export interface Deadlock {
  /** False when a thread of the circle waits on its event loop, where another task may still unlock. */
  readonly certain: boolean;
  /** Named locks with all of `LockInfo`, lock objects with their class in `type`. */
  readonly requests: readonly (Partial<LockInfo> & {
    readonly name: string;
    readonly pid: number;
    readonly held: boolean;
    readonly type?: string;
    readonly blocking?: boolean;
  })[];
}

export interface LockManagerSnapshot {
  readonly held: readonly LockInfo[];
  readonly pending: readonly LockInfo[];
  /** Among the named locks of the manager, and among the lock objects that this thread has open. */
  readonly deadlocks: readonly Deadlock[];
}

/** The Web Locks API across threads and processes. */
export declare class LockManager {
  /**
   * `scope`: all processes of this user, or the threads of this process; default 'host'. `namespace`: names in one
   * have nothing to do with those in another.
   */
  constructor(options?: { scope?: 'host' | 'process'; namespace?: string });
  /**
   * Calls back when the lock is granted, and holds it until the callback's promise is settled. Resolves to what the
   * callback returns. Names have at most 252 bytes and do not begin with '-'.
   */
  request<T>(name: string, callback: (lock: Lock) => T): Promise<Awaited<T>>;
  request<T>(
    name: string,
    options: LockRequestOptions & { ifAvailable: true },
    callback: (lock: Lock | null) => T,
  ): Promise<Awaited<T>>;
  request<T>(name: string, options: LockRequestOptions, callback: (lock: Lock) => T): Promise<Awaited<T>>;
  query(): Promise<LockManagerSnapshot>;
}

/** The named locks of all processes of this user. */
export declare const locks: LockManager;

/** What a leader is told. */
export interface Leadership {
  readonly name: string;
  readonly fencingToken: number;
  /** The leader before died. */
  readonly ownerDied: boolean;
  /** Aborted when the leadership is over, or with the signal that was given: time to return. */
  readonly signal: AbortSignal;
}

/**
 * Calls `fn` when this thread is the one leader of that name among all processes of this user, which it stays until
 * what `fn` returns is settled, or it dies; then the next one is. Resolves to what `fn` returns.
 */
export declare function leader<T>(
  name: string,
  fn: (leadership: Leadership) => T,
  options?: LockWaitOptions,
): Promise<Awaited<T>>;

/**
 * Runs `fn` unless a process of this user has run it under that name and key. Who comes meanwhile waits until it is
 * done; when it fails or its process dies, the next one runs it. The last 4096 runs of the machine are remembered.
 */
export declare function runOnce<T>(
  name: string,
  key: string | number,
  fn: (run: OnceRun & { readonly name: string; readonly key: string | number }) => T,
  options?: LockWaitOptions,
): Promise<{ ran: true; value: Awaited<T>; fencingToken: number } | { ran: false }>;
