'use strict';

const { makeError } = require('../core/errors');
const { NOWHERE, defineHandle, handed, named } = require('../shared/source');
const { maxRequests } = require('./options');
const { Table } = require('./table');

/** @typedef {import('../shared/source').Place} Place */

const kTable = Symbol('table');
/** Name of the type of lock, used in handles. */
const kName = Symbol('name');
/** Kind of its tables. */
const kKind = Symbol('kind');
/** Name of the method that returns the constructor arguments for opening an existing lock. */
const kOpening = Symbol('opening');
/** Types of lock that share a kind of table. Its limit, which they do not need, tells which one it is. */
const TYPES = ['', 'mutex', 'rwlock', 'once'];

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
  constructor(options, place = NOWHERE, limit) {
    const { [kKind]: kind, [kName]: name } = /** @type {typeof LockObject} */ (new.target);
    const type = Math.max(TYPES.indexOf(name), 0);
    this[kTable] = Table.open(kind, place, maxRequests(options), limit ?? type);
    if (type > 0) this.#checkType(type, new.target);
    defineHandle(this, name, (form) => this[kTable].guarded(() => this[kTable].native[form]));
  }

  /**
   * @param {number} type
   * @param {Function} origin
   */
  #checkType(type, origin) {
    const table = this[kTable];
    const found = table.guarded(() => table.native.limit);
    if (found === type) return;
    const details = [table.subject, `the segment holds a ${TYPES[found] || 'lock'}`];
    throw makeError('ERR_MANYCORE_SEGMENT_KIND', details, origin);
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
    return Reflect.construct(this, this[kOpening](handed(handle, this[kName], this.from)));
  }

  /**
   * Returns the constructor arguments for opening an existing lock.
   * @param {Place} place
   * @returns {any[]}
   */
  static [kOpening](place) {
    return [undefined, place];
  }
}

module.exports.LockObject = LockObject;
module.exports.kTable = kTable;
module.exports.kKind = kKind;
module.exports.kName = kName;
module.exports.kOpening = kOpening;
