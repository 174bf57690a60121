'use strict';

/**
 * Where code of the program comes in that may say `import()`: Node must have loaded this file itself
 * (`lib/core/own-code.js`).
 */

/** @param {string} url */
function importModule(url) {
  return import(url);
}

/** @param {string} source of an expression */
function evaluate(source) {
  return new Function(`return (${source});`)();
}

module.exports.importModule = importModule;
module.exports.evaluate = evaluate;
