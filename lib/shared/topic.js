'use strict';

const { guarded } = require('./failures');
const { makeError } = require('../core/errors');
const { OptionNames } = require('../core/option-names');
const { Queue, RECORDS, limitsOf, timeoutOf } = require('./queue');
const scratch = require('./scratch');
const source = require('./source');

const KIND = 'topic';
const OPTIONS = source.optionNames('Topic', 'capacityBytes');
const SUBSCRIBE_OPTIONS = new OptionNames('subscribe()', ['from']);
const DEFAULT_CAPACITY_BYTES = 1024 * 1024;

/** Broadcasts values to all subscribers, see types/shared.d.ts. */
class Topic {
  #native;
  #queue;

  /**
   * @param {any} [options]
   * @param {import('./source').Place} [place]
   */
  constructor(options, place = source.NOWHERE) {
    const origin = new.target;
    const bytes = source.numberOption(
      'options.capacityBytes',
      source.checkOptions(options, origin, OPTIONS).capacityBytes,
      { fallback: DEFAULT_CAPACITY_BYTES, min: 1024, max: 2 ** 38, origin },
    );
    const { SharedQueue } = source.addonFor('Topic');
    this.#native = guarded(place.subject, origin, () => SharedQueue.open(place.source, true, bytes, 0));
    this.#queue = new Queue(this.#native, place.subject);
    source.defineHandle(this, KIND, (form) => this.#queue.guarded(() => this.#native[form]));
  }

  /**
   * @param {string} name
   * @param {any} [options]
   */
  static open(name, options) {
    return new Topic(options, source.named(name, options, Topic.open));
  }

  /** @param {unknown} handle */
  static from(handle) {
    return new Topic(undefined, source.handed(handle, KIND, Topic.from));
  }

  /** @param {any} value */
  publish(value) {
    this.#queue.trySend(value);
  }

  /** @param {any} [options] */
  subscribe(options) {
    const origin = Topic.prototype.subscribe;
    const { from = 'latest' } = source.checkOptions(options, origin, SUBSCRIBE_OPTIONS);
    if (from !== 'latest' && from !== 'earliest') {
      throw makeError(
        'ERR_INVALID_ARG_VALUE',
        ['options.from', from, "must be 'latest' or 'earliest'"],
        origin,
      );
    }
    const native = this.#queue.guarded(() => this.#native.subscribe(from === 'earliest'));
    return new Subscription(native, this.#queue.subject);
  }

  stats() {
    const { records, bytes, capacityBytes, sequence, closed } = this.#queue.guarded(() =>
      this.#native.stats(),
    );
    return { size: records, usedBytes: bytes, capacityBytes, published: sequence, closed };
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

/** A subscriber's position in a topic. */
class Subscription {
  #native;
  #queue;
  #missed = 0;

  /**
   * @param {import('../native/index').SharedQueue} native
   * @param {string} subject
   */
  constructor(native, subject) {
    this.#native = native;
    this.#queue = new Queue(native, subject);
  }

  tryReceive() {
    const received = this.#queue.tryReceive();
    if (received !== undefined) this.#missed += this.#queue.numbers[scratch.EXTRA];
    return received;
  }

  /** @param {any} [options] */
  async receive(options) {
    const limits = limitsOf(options, Subscription.prototype.receive);
    return (await this.#queue.wait(RECORDS, limits, () => this.tryReceive())).value;
  }

  /** @param {any} [options] */
  receiveSync(options) {
    const origin = Subscription.prototype.receiveSync;
    return this.#queue.waitSync(RECORDS, timeoutOf(options, origin), () => this.tryReceive(), origin).value;
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) yield await this.receive();
    } catch (error) {
      const { code } = /** @type {NodeJS.ErrnoException} */ (error);
      if (code !== 'ERR_MANYCORE_CHANNEL_CLOSED') throw error;
    }
  }

  get lag() {
    return this.#queue.guarded(() => this.#native.lag());
  }

  get missed() {
    return this.#missed;
  }

  release() {
    this.#queue.release();
  }

  [Symbol.dispose ?? Symbol.for('nodejs.dispose')]() {
    this.release();
  }
}

module.exports.Topic = Topic;
