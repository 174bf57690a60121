'use strict';

/**
 * Evaluates user code that may use `import()`: this file must have been loaded by Node itself
 * (`lib/core/own-code.js`).
 */

/** @param {string} url */
function importModule(url) {
  return import(url);
}

/** @param {string} source source code of an expression */
function evaluate(source) {
  return new Function(`return (${source});`)();
}

module.exports.importModule = importModule;
module.exports.evaluate = evaluate;
