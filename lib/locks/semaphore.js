'use strict';

const { named } = require('../shared/source');
const { Kind } = require('./native');
const { LockObject, kKind, kName, kOpening, kTable } = require('./object');
const { wholeNumber } = require('./options');
const { register } = require('./registry');
const { UnlockToken, kOf } = require('./token');

const MOST_PERMITS = 2 ** 31 - 1;

/** A counting semaphore. */
class Semaphore extends LockObject {
  /** @override */
  static [kKind] = Kind.SEMAPHORE;
  /** @override */
  static [kName] = 'semaphore';

  /**
   * @param {any} permits
   * @param {any} [options]
   * @param {import('../shared/source').Place} [place]
   */
  constructor(permits, options, place) {
    // An existing semaphore keeps its number of permits.
    if (place?.source.handle === undefined) wholeNumber('permits', permits, 1, MOST_PERMITS);
    super(options, place, permits);
    register(this, this[kTable], 'Semaphore');
  }

  /**
   * @override
   * @param {string} name
   * @param {any} permits
   * @param {object} [options]
   * @returns {Semaphore}
   */
  static open(name, permits, options) {
    return new Semaphore(permits, options, named(name, options, Semaphore.open));
  }

  /**
   * @override
   * @param {import('../shared/source').Place} place
   */
  static [kOpening](place) {
    return [0, undefined, place];
  }

  get permits() {
    return this[kTable].guarded(() => this[kTable].native.limit);
  }

  /**
   * @param {number} [permits]
   * @param {object} [options]
   */
  acquire(permits = 1, options) {
    this.#check(permits);
    return UnlockToken[kOf](this[kTable], this[kTable].block(0, permits, options), 0, permits);
  }

  /**
   * @param {number} [permits]
   * @param {object} [options]
   */
  async acquireAsync(permits = 1, options) {
    this.#check(permits);
    return UnlockToken[kOf](this[kTable], await this[kTable].wait(0, permits, options), 0, permits);
  }

  /** @param {number} [permits] */
  acquireIfAvailable(permits = 1) {
    this.#check(permits);
    const grant = this[kTable].tryNow(0, permits);
    return grant && UnlockToken[kOf](this[kTable], grant, 0, permits);
  }

  /** @param {unknown} permits */
  #check(permits) {
    wholeNumber('permits', permits, 1, this.permits);
  }
}

module.exports.Semaphore = Semaphore;
