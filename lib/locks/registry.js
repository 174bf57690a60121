'use strict';

/** The lock objects of this thread, which `query()` searches for deadlocks. */

/** @typedef {import('./table').Table} Table */
/** @typedef {{ object: WeakRef<object>, table: WeakRef<Table>, type: string }} Entry */

/** @type {Set<Entry>} */
const objects = new Set();
const gone = new FinalizationRegistry((/** @type {Entry} */ entry) => objects.delete(entry));

/**
 * @param {object} object
 * @param {Table} table
 * @param {string} type
 */
function register(object, table, type) {
  const entry = { object: new WeakRef(object), table: new WeakRef(table), type };
  objects.add(entry);
  gone.register(object, entry);
}

/** Returns the requests of all lock objects of this thread, with the name of their lock; each lock once. */
function registered() {
  const seen = new Map();
  for (const { object, table, type } of objects) {
    const known = table.deref();
    if (object.deref() === undefined || known === undefined) continue;
    // For an anonymous lock, the part that is the same wherever it is opened.
    const name = known.native.handle.split('/').at(-1);
    if (!seen.has(name)) seen.set(name, { type, name, requests: known.guarded(() => known.native.query()) });
  }
  return [...seen.values()];
}

module.exports.register = register;
module.exports.registered = registered;
