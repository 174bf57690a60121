'use strict';

const { NOWHERE, defineHandle, handed, named } = require('../shared/source');
const { maxRequests } = require('./options');
const { Table } = require('./table');

/** @typedef {import('../shared/source').Place} Place */

const kTable = Symbol('table');
/** The name of what it is, in handles. */
const kName = Symbol('name');
/** What its tables decide. */
const kKind = Symbol('kind');

/** What all locks have: a table, a handle, and ways to be opened. */
class LockObject {
  /** @type {string} */
  static [kName];
  /** @type {number} */
  static [kKind];
  /** @type {Table} */
  [kTable];

  /**
   * @param {any} options
   * @param {Place} [place]
   * @param {number} [limit] permits or parties
   */
  constructor(options, place = NOWHERE, limit = 0) {
    const { [kKind]: kind, [kName]: name } = /** @type {typeof LockObject} */ (new.target);
    this[kTable] = Table.open(kind, place, maxRequests(options), limit);
    defineHandle(this, name, (form) => this[kTable].guarded(() => this[kTable].native[form]));
  }

  /**
   * @param {string} name
   * @param {any} [options]
   * @returns {any}
   */
  static open(name, options) {
    return new this(options, named(name, options, this.open));
  }

  /**
   * @param {unknown} handle
   * @returns {any}
   */
  static from(handle) {
    return Reflect.construct(this, this.opening(handed(handle, this[kName], this.from)));
  }

  /**
   * The arguments of a constructor for what is there.
   * @param {Place} place
   * @returns {any[]}
   */
  static opening(place) {
    return [undefined, place];
  }
}

module.exports.LockObject = LockObject;
module.exports.kTable = kTable;
module.exports.kKind = kKind;
module.exports.kName = kName;
