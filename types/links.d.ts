/** How much CPU time the receiver of a link spends for lower latency. */
export type LinkLatency =
  /** Polls for up to 500 us after each message before it sleeps. */
  | 'low'
  /** Polls for up to 50 us, only while messages are about that close together. */
  | 'balanced'
  /** Never polls: each message that finds the receiver asleep has to wake it up. */
  | 'frugal';

/** Defaults for all links of this process. */
export interface LinksOptions {
  /** Default: the environment variable `MANYCORE_LATENCY`, else `'balanced'`. */
  latency?: LinkLatency;
}

/** Settings of one end of a link: how it receives, and when it should pause sending. */
export interface LinkOptions {
  /** Default: the setting of the process, see `configureLinks()`. */
  latency?: LinkLatency;
  /**
   * Whether the listeners of a message get large ArrayBuffers as views of shared memory, which saves a copy: between
   * threads those of 16 KiB to 1 GiB, between processes (with `serialization: 'advanced'`) those of 128 KiB and more
   * that fit into the shared memory of the link. The buffers are detached when the listeners have returned; copy what
   * you want to keep. They cannot be transferred, and must not be moved with `ArrayBuffer.prototype.transfer()`.
   * Default: false.
   */
  views?: boolean;
  /**
   * `linkStatus()` reports `needsDrain` once this many bytes have been posted by this end and not been received yet.
   * The mark has no other effect: messages beyond it are accepted. A whole number above 0, or Infinity. Default: 1 MiB.
   */
  highWaterMarkBytes?: number;
}

/** The state of one end of a link. */
export interface LinkStatus {
  /** Bytes posted by this end that the other end has not received yet. */
  readonly bufferedAmount: number;
  /**
   * Whether the program should pause sending: as many bytes wait as the high-water mark allows, or so many messages
   * have not been taken at all that the other end does not seem to have started yet.
   */
  readonly needsDrain: boolean;
}

/**
 * Sets the defaults for all links of this process.
 * @throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE
 */
export function configureLinks(options: LinksOptions): void;

/**
 * Configures one end of a link: a `Worker` in its parent, or `parentPort` in the worker; a cluster worker in the primary, or
 * `process` in the worker process. Returns false, and does nothing, if there is no link: without the addon, or after the
 * worker has ended.
 * @throws ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_OUT_OF_RANGE
 */
export function configureLink(endpoint: object, options: LinkOptions): boolean;

/**
 * A buffer of `byteLength` bytes, to be filled and then posted by this end of a link (`postMessage()`, or `send()` with
 * `serialization: 'advanced'`), alone or as part of a message, or as a view. If possible it lies in memory of the link:
 * posting it then passes that memory to the receiver, which saves a copy, and detaches the buffer. A receiver with the
 * setting `views` gets that memory itself, so that nothing is copied at all. With `send()`, posting a view at an offset that
 * is not a multiple of 8 copies its bytes and does not detach the buffer.
 *
 * It is an ordinary buffer, which is copied when it is posted and not detached, if it is shorter than 16 KiB, if there is no
 * link or its messages do not go through shared memory yet, and if there is no room: at most 64 buffers of together 64 MiB,
 * or 1,280 MiB to another process, are in use at a time, until they have been received, or collected as garbage without
 * having been posted.
 *
 * The contents are arbitrary until they are written. The buffer cannot be transferred, and must not be moved to another one
 * with `ArrayBuffer.prototype.transfer()`. In a message that only Node's own
 * channel can carry, and with any other `postMessage()`, it is copied like every other buffer.
 * @param endpoint see `configureLink()`
 * @param byteLength a whole number of at least 0
 * @throws ERR_INVALID_ARG_TYPE, ERR_OUT_OF_RANGE; a RangeError without code, as of `new ArrayBuffer()`, if there can be no
 * buffer of that length
 */
export function linkBuffer(endpoint: object, byteLength: number): ArrayBuffer;

/** The state of one end of a link; undefined if there is no link. */
export function linkStatus(endpoint: object): LinkStatus | undefined;

/**
 * If this end of a link needs to drain, waits until at most half of the high-water mark is left; otherwise does not wait.
 * Keeps the event loop alive meanwhile.
 * @returns resolves to true when sending may continue, and to false if the other end has ended or closed, or if there is no
 * link
 */
export function linkDrained(endpoint: object): Promise<boolean>;
