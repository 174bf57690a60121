'use strict';

const { named } = require('../shared/source');
const { Kind } = require('./native');
const { LockObject, kKind, kName, kOpening, kTable } = require('./object');
const { wholeNumber } = require('./options');

const MOST_PARTIES = 32_768;
const USUAL_REQUESTS = 128;

/**
 * Sets the default of `maxRequests`, which has room for at least two rounds of all parties.
 * @param {number} parties
 * @param {any} options
 */
function roomFor(parties, options) {
  if (options !== undefined && (typeof options !== 'object' || options === null)) return options;
  return { maxRequests: Math.max(USUAL_REQUESTS, 2 * parties), ...options };
}

/** A barrier at which a number of parties wait for each other. */
class Barrier extends LockObject {
  /** @override */
  static [kKind] = Kind.BARRIER;
  /** @override */
  static [kName] = 'barrier';

  /**
   * @param {any} parties
   * @param {any} [options]
   * @param {import('../shared/source').Place} [place]
   */
  constructor(parties, options, place) {
    // An existing barrier keeps its number of parties.
    if (place?.source.handle === undefined) wholeNumber('parties', parties, 1, MOST_PARTIES);
    super(roomFor(parties, options), place, parties);
  }

  /**
   * @override
   * @param {string} name
   * @param {any} parties
   * @param {object} [options]
   * @returns {Barrier}
   */
  static open(name, parties, options) {
    return new Barrier(parties, options, named(name, options, Barrier.open));
  }

  /**
   * @override
   * @param {import('../shared/source').Place} place
   */
  static [kOpening](place) {
    return [0, undefined, place];
  }

  get parties() {
    return this[kTable].guarded(() => this[kTable].native.limit);
  }

  /** @param {object} [options] */
  wait(options) {
    return this.#pass(this[kTable].block(0, 1, options));
  }

  /** @param {object} [options] */
  async waitAsync(options) {
    return this.#pass(await this[kTable].wait(0, 1, options));
  }

  waitIfAvailable() {
    const grant = this[kTable].tryNow(0, 1);
    if (grant !== null) this.#pass(grant);
    return grant !== null;
  }

  /** @param {import('./table').Grant} grant */
  #pass({ index, serial, isLast }) {
    this[kTable].release(index, serial);
    return isLast;
  }
}

module.exports.Barrier = Barrier;
