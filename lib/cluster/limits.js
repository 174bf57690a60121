'use strict';

/** Decides when a server accepts no more connections and another worker should take them. */

const [major] = process.versions.node.split('.').map(Number);

/**
 * Whether `maxConnections` is a limit. Since Node 21, 0 rejects every connection; before, it meant no limit.
 * @param {unknown} maxConnections
 */
function isLimit(maxConnections) {
  return major >= 21 ? maxConnections !== undefined && maxConnections !== null : Boolean(maxConnections);
}

/**
 * Whether a server is at its limit. With `dropMaxConnection` it is never considered full, since it drops excess
 * connections itself.
 * @param {any} server
 */
function isFull({ maxConnections, dropMaxConnection, _connections: connections }) {
  return isLimit(maxConnections) && connections >= maxConnections && !dropMaxConnection;
}

/** Holds the `maxConnections` of a server whose assignments are observed, and what to call then. */
const OBSERVED = Symbol('manycore.maxConnections');

/** The same functions for all servers, as V8 would make objects with different ones slow. */
const accessor = {
  /** @this {any} */
  get() {
    return this[OBSERVED].value;
  },
  /** @this {any} @param {unknown} value */
  set(value) {
    const observed = this[OBSERVED];
    observed.value = value;
    observed.onSet();
  },
};

/**
 * Calls a function whenever `maxConnections` of a server is assigned. Has no effect if that is an accessor already,
 * as in a class of the program.
 * @param {any} server
 * @param {() => void} onSet
 */
function observeLimit(server, onSet) {
  const own = Object.getOwnPropertyDescriptor(server, 'maxConnections');
  const isFree = own === undefined ? !('maxConnections' in server) : own.writable && own.configurable;
  if (!isFree) return;
  Object.defineProperty(server, OBSERVED, { value: { value: own?.value, onSet } });
  const enumerable = own?.enumerable ?? false;
  Object.defineProperty(server, 'maxConnections', { ...accessor, configurable: true, enumerable });
}

module.exports.observeLimit = observeLimit;
module.exports.isLimit = isLimit;
module.exports.isFull = isFull;
