'use strict';

/** Exports of the pool API, each loaded on first access. */

require('../core/context');
const { Pool } = require('./pool');
const { PARTS } = require('./statics');

module.exports.Pool = Pool;
module.exports.Piscina = Pool;
for (const [names, load] of PARTS) {
  for (const name of names) {
    Object.defineProperty(module.exports, name, {
      configurable: true,
      enumerable: true,
      get: () => load()[name],
    });
  }
}
