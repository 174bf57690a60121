'use strict';

const { inspect } = require('node:util');

/**
 * Makes `console.log()` and `util.inspect()` show values where an object has accessors, as for Node's cluster.
 * @param {any} target
 * @param {any} source where properties come from that the target lacks
 */
function showValues(target, source) {
  // One object, so that a cycle is recognised.
  const shown = Object.create(Object.getPrototypeOf(source));
  Object.defineProperty(target, inspect.custom, {
    configurable: true,
    value() {
      for (const name of Reflect.ownKeys(shown)) delete shown[name];
      const added = Object.keys(target).filter((name) => !Object.hasOwn(source, name));
      for (const name of [...Reflect.ownKeys(source), ...added]) {
        if (name === inspect.custom) continue;
        const from = Object.hasOwn(target, name) ? target : source;
        const enumerable = Object.prototype.propertyIsEnumerable.call(from, name);
        Object.defineProperty(shown, name, { configurable: true, enumerable, value: from[name] });
      }
      return shown;
    },
  });
}

module.exports.showValues = showValues;
