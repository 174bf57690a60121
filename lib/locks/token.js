'use strict';

const { makeError } = require('../core/errors');
const { OWNER_DIED, Result } = require('./native');

// Node 20 defines these itself, under Symbol.for.
const dispose = Symbol.dispose ?? Symbol.for('nodejs.dispose');
const kConstruct = Symbol('construct');
/** Names of methods for lock classes. */
const kOf = Symbol('of');
const kOfLast = Symbol('ofLast');
const kOfShortcut = Symbol('ofShortcut');
const kOpened = Symbol('opened');
/** In place of a slot: the lock was taken by the fast path. */
const NO_SLOT = -1;

/** Represents a held lock until it is unlocked. */
class UnlockToken {
  /** @type {import('./table').Table} */
  #table;
  #index;
  #serial;
  #isLocked = true;
  #fencingToken;
  #ownerDied;
  /** Parameters of the request, for locking again. */
  #flags = 0;
  #permits = 1;

  /**
   * @param {symbol} construct
   * @param {import('./table').Table} table
   * @param {number} index
   * @param {number} serial
   * @param {number} fencingToken
   * @param {boolean} ownerDied
   */
  constructor(construct, table, index, serial, fencingToken, ownerDied) {
    if (construct !== kConstruct) throw makeError('ERR_ILLEGAL_CONSTRUCTOR', [], UnlockToken);
    this.#table = table;
    this.#index = index;
    this.#serial = serial;
    this.#fencingToken = fencingToken;
    this.#ownerDied = ownerDied;
  }

  /**
   * @param {import('./table').Table} table
   * @param {import('./table').Grant} grant
   * @param {number} [flags] flags of the request
   * @param {number} [permits]
   */
  static [kOf](table, { index, serial, fencingToken, ownerDied }, flags = 0, permits = 1) {
    const token = new UnlockToken(kConstruct, table, index, serial, fencingToken, ownerDied);
    token.#flags = flags;
    token.#permits = permits;
    return token;
  }

  /**
   * Creates a token for the exclusive grant resulting from the table's last call.
   * @param {import('./table').Table} table
   */
  static [kOfLast](table) {
    const { results } = table;
    return new UnlockToken(
      kConstruct,
      table,
      results[Result.INDEX],
      results[Result.SERIAL],
      results[Result.FENCE],
      (results[Result.FLAGS] & OWNER_DIED) !== 0,
    );
  }

  /**
   * Creates a token for a lock taken by the fast path.
   * @param {import('./table').Table} table
   * @param {number} fencingToken
   */
  static [kOfShortcut](table, fencingToken) {
    return new UnlockToken(kConstruct, table, NO_SLOT, 0, fencingToken, false);
  }

  /** @param {import('./table').Grant} grant */
  #renew(grant) {
    this.#index = grant.index;
    this.#serial = grant.serial;
    this.#fencingToken = grant.fencingToken;
    this.#ownerDied = grant.ownerDied;
    this.#isLocked = true;
  }

  get locked() {
    return this.#isLocked;
  }

  get fencingToken() {
    return this.#fencingToken;
  }

  get ownerDied() {
    return this.#ownerDied;
  }

  unlock() {
    if (!this.#isLocked) throw makeError('ERR_MANYCORE_NOT_LOCKED', [], this.unlock);
    this.#isLocked = false;
    const wasHeld =
      this.#index === NO_SLOT ? this.#table.leave() : this.#table.release(this.#index, this.#serial);
    if (!wasHeld) throw makeError('ERR_MANYCORE_NOT_LOCKED', [], this.unlock);
  }

  [dispose]() {
    if (this.#isLocked) this.unlock();
  }

  /**
   * For conditions: returns functions that lock again and update this token.
   * @param {unknown} token
   */
  static [kOpened](token) {
    if (!(token instanceof UnlockToken)) {
      throw makeError(
        'ERR_INVALID_ARG_TYPE',
        ['token', 'an instance of UnlockToken', token],
        UnlockToken[kOpened],
      );
    }
    if (!token.#isLocked) throw makeError('ERR_MANYCORE_NOT_LOCKED', [], UnlockToken[kOpened]);
    return {
      lockAgain: () => token.#renew(token.#table.block(token.#flags, token.#permits, undefined)),
      lockAgainAsync: async () =>
        token.#renew(await token.#table.wait(token.#flags, token.#permits, undefined)),
    };
  }
}

module.exports.UnlockToken = UnlockToken;
module.exports.kOf = kOf;
module.exports.kOfLast = kOfLast;
module.exports.kOfShortcut = kOfShortcut;
module.exports.kOpened = kOpened;
module.exports.dispose = dispose;
