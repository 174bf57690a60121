'use strict';

const { NOWHERE, defineHandle, handed, named } = require('../shared/source');
const { maxRequests } = require('./options');
const { Table } = require('./table');

/** @typedef {import('../shared/source').Place} Place */

const kTable = Symbol('table');
/** Name of the type of lock, used in handles. */
const kName = Symbol('name');
/** Kind of its tables. */
const kKind = Symbol('kind');

/** Base class of locks: a table, a handle, and ways to open one. */
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
   * @param {number} [limit] number of permits or parties
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
   * Returns the constructor arguments for opening an existing lock.
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
