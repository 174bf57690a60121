'use strict';

const { Flag, Kind, Status } = require('./native');
const { LockObject, kKind, kName, kTable } = require('./object');
const { waitOptions } = require('./options');
const { register } = require('./registry');
const { UnlockToken, kOf, kOfLast, kOfShortcut } = require('./token');

/** An exclusive lock. */
class Mutex extends LockObject {
  /** @override */
  static [kKind] = Kind.LOCK;
  /** @override */
  static [kName] = 'mutex';
  #tryExclusive;
  #shortcut;

  /**
   * @param {any} [options]
   * @param {import('../shared/source').Place} [place]
   */
  constructor(options, place) {
    super(options, place);
    this.#tryExclusive = this[kTable].calls.tryExclusive;
    this.#shortcut = this[kTable].openShortcut();
    register(this, this[kTable], new.target.name);
  }

  /** @param {object} [options] */
  lock(options) {
    if (options !== undefined) waitOptions(options);
    return (
      this.#takeShortcut() ?? UnlockToken[kOf](this[kTable], this[kTable].block(Flag.EXCLUSIVE, 1, options))
    );
  }

  /** @param {object} [options] */
  async lockAsync(options) {
    if (options !== undefined) waitOptions(options);
    const token = this.#takeShortcut();
    return token ?? UnlockToken[kOf](this[kTable], await this[kTable].wait(Flag.EXCLUSIVE, 1, options));
  }

  lockIfAvailable() {
    const token = this.#takeShortcut();
    if (token !== null) return token;
    const status = this.#tryExclusive();
    if (status === Status.HELD) return UnlockToken[kOfLast](this[kTable]);
    if (status === Status.UNAVAILABLE) return null;
    throw this[kTable].refused(status);
  }

  /** Returns a token if the lock is free and uncontended; otherwise null. */
  #takeShortcut() {
    const fencingToken = this.#shortcut === null ? 0 : this.#shortcut.take();
    return fencingToken === 0 ? null : UnlockToken[kOfShortcut](this[kTable], fencingToken);
  }
}

/** A lock held by one writer or any number of readers. */
class RwLock extends Mutex {
  /** @override */
  static [kName] = 'rwlock';

  /** @param {object} [options] */
  lockShared(options) {
    return UnlockToken[kOf](this[kTable], this[kTable].block(Flag.SHARED, 1, options), Flag.SHARED);
  }

  /** @param {object} [options] */
  async lockSharedAsync(options) {
    return UnlockToken[kOf](this[kTable], await this[kTable].wait(Flag.SHARED, 1, options), Flag.SHARED);
  }

  lockSharedIfAvailable() {
    const grant = this[kTable].tryNow(Flag.SHARED, 1);
    return grant && UnlockToken[kOf](this[kTable], grant, Flag.SHARED);
  }
}

module.exports.Mutex = Mutex;
module.exports.RwLock = RwLock;
