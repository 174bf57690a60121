'use strict';

const { guarded } = require('./failures');
const { Queue, RECORDS, ROOM, limitsOf, timeoutOf } = require('./queue');
const source = require('./source');

const KIND = 'channel';
const OPTIONS = source.optionNames('Channel', 'capacity', 'capacityBytes');
const DEFAULT_CAPACITY = 1024;
const DEFAULT_CAPACITY_BYTES = 1024 * 1024;

/** A bounded queue with any number of senders and receivers, see types/shared.d.ts. */
class Channel {
  #native;
  #queue;

  /**
   * @param {any} [options]
   * @param {import('./source').Place} [place]
   */
  constructor(options, place = source.NOWHERE) {
    const origin = new.target;
    const given = source.checkOptions(options, origin, OPTIONS);
    const capacity = source.numberOption('options.capacity', given.capacity, {
      fallback: DEFAULT_CAPACITY,
      min: 1,
      max: 2 ** 40,
      origin,
    });
    const bytes = source.numberOption('options.capacityBytes', given.capacityBytes, {
      fallback: DEFAULT_CAPACITY_BYTES,
      min: 1024,
      max: 2 ** 38,
      origin,
    });
    const { SharedQueue } = source.addonFor('Channel');
    this.#native = guarded(place.subject, origin, () =>
      SharedQueue.open(place.source, false, bytes, capacity),
    );
    this.#queue = new Queue(this.#native, place.subject);
    source.defineHandle(this, KIND, (form) => this.#queue.guarded(() => this.#native[form]));
  }

  /**
   * @param {string} name
   * @param {any} [options]
   */
  static open(name, options) {
    return new Channel(options, source.named(name, options, Channel.open));
  }

  /** @param {unknown} handle */
  static from(handle) {
    return new Channel(undefined, source.handed(handle, KIND, Channel.from));
  }

  /** @param {any} value */
  trySend(value) {
    return this.#queue.trySend(value);
  }

  /**
   * @param {any} value
   * @param {any} [options]
   */
  async send(value, options) {
    const limits = limitsOf(options, Channel.prototype.send);
    const queue = this.#queue;
    /** @type {import('./exchange').Kept | undefined} */
    let kept;
    await queue.wait(
      ROOM,
      limits,
      () => (kept === undefined ? queue.trySend(value) : queue.trySendKept(kept)),
      () => {
        // The value is copied now, no matter when there is room for it.
        if (typeof value !== 'string' && typeof value !== 'number') kept = queue.keep(value);
      },
    );
  }

  /**
   * @param {any} value
   * @param {any} [options]
   */
  sendSync(value, options) {
    const origin = Channel.prototype.sendSync;
    this.#queue.waitSync(ROOM, timeoutOf(options, origin), () => this.#queue.trySend(value), origin);
  }

  tryReceive() {
    return this.#queue.tryReceive();
  }

  /** @param {any} [options] */
  async receive(options) {
    const limits = limitsOf(options, Channel.prototype.receive);
    return (await this.#queue.wait(RECORDS, limits, () => this.#queue.tryReceive())).value;
  }

  /** @param {any} [options] */
  receiveSync(options) {
    const origin = Channel.prototype.receiveSync;
    const received = this.#queue.waitSync(
      RECORDS,
      timeoutOf(options, origin),
      () => this.#queue.tryReceive(),
      origin,
    );
    return received.value;
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      try {
        yield await this.receive();
      } catch (error) {
        if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ERR_MANYCORE_CHANNEL_CLOSED') return;
        throw error;
      }
    }
  }

  get size() {
    return this.stats().size;
  }

  get closed() {
    return this.stats().closed;
  }

  stats() {
    const { records, bytes, capacityBytes, sequence, closed } = this.#queue.guarded(() =>
      this.#native.stats(),
    );
    return { size: records, usedBytes: bytes, capacityBytes, sent: sequence, closed };
  }

  close() {
    this.#queue.end();
  }

  release() {
    this.#queue.release();
  }

  [Symbol.dispose ?? Symbol.for('nodejs.dispose')]() {
    this.release();
  }
}

module.exports.Channel = Channel;
