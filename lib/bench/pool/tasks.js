'use strict';

/* Tasks for the comparison of pools, the same for all contenders. */

module.exports.add = (/** @type {{ a: number, b: number }} */ { a, b }) => a + b;

module.exports.echo = (/** @type {any} */ value) => value;

/** Keeps a processor busy, with the same work each time. @param {number} rounds */
function spin(rounds) {
  let state = 1;
  for (let i = 0; i < rounds; i++) state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
  return state;
}

module.exports.spin = spin;
