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

/** Settings of one end of a link: how it receives. */
export interface LinkOptions {
  /** Default: that of the process. */
  latency?: LinkLatency;
  /**
   * Whether ArrayBuffers of 128 KiB to 64 MiB are lent to the listeners of their message instead of being copied for
   * them. They are detached when the listeners have returned: what is to be kept must be copied until then.
   * Default: false.
   */
  views?: boolean;
}

/** The state of one end of a link. */
export interface LinkStatus {
  /** Bytes posted by this end that the other end has not received yet. */
  readonly bufferedAmount: number;
}

/**
 * Chooses for all links of the process.
 * @throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE
 */
export function configureLinks(options: LinksOptions): void;

/**
 * Chooses for one end of a link: a `Worker` in its parent, `parentPort` in a worker. Returns false, and does nothing,
 * for what has no link, as where Node's own modules serve, or a worker that has ended.
 * @throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE
 */
export function configureLink(endpoint: object, options: LinkOptions): boolean;

/** The state of one end of a link; undefined for what has none. */
export function linkStatus(endpoint: object): LinkStatus | undefined;
