'use strict';

const { makeError } = require('../core/errors');
const { OWNER_DIED, Result } = require('./native');

// Node 20 defines these itself, under Symbol.for.
const dispose = Symbol.dispose ?? Symbol.for('nodejs.dispose');

/** What was locked, until it is unlocked. */
class UnlockToken {
  /** @type {import('./table').Table} */
  #table;
  #index = 0;
  #serial = 0;
  #isLocked = true;
  #fencingToken = 0;
  #ownerDied = false;
  /** What was asked for, to ask again. */
  #flags = 0;
  #permits = 1;

  /** Of the grant that the table's last call left. @param {import('./table').Table} table */
  constructor(table) {
    this.#table = table;
    const { results } = table;
    this.#index = results[Result.INDEX];
    this.#serial = results[Result.SERIAL];
    this.#fencingToken = results[Result.FENCE];
    this.#ownerDied = (results[Result.FLAGS] & OWNER_DIED) !== 0;
  }

  /**
   * @param {import('./table').Table} table
   * @param {import('./table').Grant} grant
   * @param {number} [flags] with which it was asked for
   * @param {number} [permits]
   */
  static of(table, grant, flags = 0, permits = 1) {
    const token = new UnlockToken(table);
    token.#flags = flags;
    token.#permits = permits;
    token.#renew(grant);
    return token;
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
    if (!this.#table.release(this.#index, this.#serial)) {
      throw makeError('ERR_MANYCORE_NOT_LOCKED', [], this.unlock);
    }
  }

  [dispose]() {
    if (this.#isLocked) this.unlock();
  }

  /**
   * For conditions: what locks again into this token.
   * @param {unknown} token
   */
  static opened(token) {
    if (!(token instanceof UnlockToken)) {
      throw makeError(
        'ERR_INVALID_ARG_TYPE',
        ['token', 'an instance of UnlockToken', token],
        UnlockToken.opened,
      );
    }
    if (!token.#isLocked) throw makeError('ERR_MANYCORE_NOT_LOCKED', [], UnlockToken.opened);
    return {
      lockAgain: () => token.#renew(token.#table.block(token.#flags, token.#permits, undefined)),
      lockAgainAsync: async () =>
        token.#renew(await token.#table.wait(token.#flags, token.#permits, undefined)),
    };
  }
}

module.exports.UnlockToken = UnlockToken;
module.exports.dispose = dispose;
