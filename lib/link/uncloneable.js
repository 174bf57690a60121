'use strict';

/** Objects that a program has marked as not to be cloned; the mark that Node puts on them cannot be seen. */

/** @type {WeakSet<object>} */
const marked = new WeakSet();

const marks = {
  /** Whether there are any: programs rarely use it, and nothing is looked up until they do. */
  any: false,
  /** @param {object} object */
  has: (object) => marked.has(object),
};

/**
 * Node's `markAsUncloneable`, noticed.
 * @param {(object: any) => void} mark
 */
function noticing(mark) {
  return function markAsUncloneable(/** @type {any} */ object) {
    mark(object);
    if ((typeof object !== 'object' || object === null) && typeof object !== 'function') return;
    marks.any = true;
    marked.add(object);
  };
}

module.exports.marks = marks;
module.exports.noticing = noticing;
