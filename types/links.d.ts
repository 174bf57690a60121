/** What a link is ready to pay, in CPU time, for being fast. */
export type LinkLatency =
  /** Looks on for up to 500 us after each message before it sleeps. */
  | 'low'
  /** Looks on for up to 50 us while messages come about that densely. */
  | 'balanced'
  /** Sleeps at once: each message that finds the receiver asleep takes a wake-up. */
  | 'frugal';

/** Settings of all links of this process that have none of their own. */
export interface LinksOptions {
  /** Default: the environment variable `MANYCORE_LATENCY`, else `'balanced'`. */
  latency?: LinkLatency;
}

/** Settings of one end of a link: how it receives, and when it is to hold back. */
export interface LinkOptions {
  /** Default: that of the process. */
  latency?: LinkLatency;
  /**
   * Whether large ArrayBuffers are lent to the listeners of their message instead of being copied for them: those of
   * 128 KiB to 1 GiB, and between processes (under `serialization: 'advanced'`) those that there is room for in
   * shared memory. They are detached when the listeners have returned: what is to be kept must be copied until then.
   * Default: false.
   */
  views?: boolean;
  /**
   * From how many bytes on, posted by this end and not received yet, `linkStatus()` says that it needs to drain.
   * Nothing but that depends on it: messages are taken however many wait. A whole number above 0, or Infinity.
   * Default: 1 MiB.
   */
  highWaterMarkBytes?: number;
}

/** The state of one end of a link. */
export interface LinkStatus {
  /** Bytes posted by this end that the other end has not received yet. */
  readonly bufferedAmount: number;
  /**
   * Whether a program that can hold back should: so many bytes wait as the high-water mark says, or so many messages
   * that the other end has not taken at all yet that it seems not to have begun.
   */
  readonly needsDrain: boolean;
}

/**
 * Chooses for all links of the process.
 * @throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE
 */
export function configureLinks(options: LinksOptions): void;

/**
 * Chooses for one end of a link: a `Worker` in its parent, `parentPort` in a worker; a cluster's worker in its primary,
 * `process` in that worker. Returns false, and does nothing, for what has no link, as where Node's own modules serve, or
 * a worker that has ended.
 * @throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_OUT_OF_RANGE
 */
export function configureLink(endpoint: object, options: LinkOptions): boolean;

/** The state of one end of a link; undefined for what has none. */
export function linkStatus(endpoint: object): LinkStatus | undefined;

/**
 * Waits, if one end of a link needs to drain, until no more than half of the high-water mark is left. It keeps the event
 * loop alive.
 * @returns fulfilled with true when it may go on, with false when the other end has ended or closed, or there is no link
 * that could tell
 */
export function linkDrained(endpoint: object): Promise<boolean>;
