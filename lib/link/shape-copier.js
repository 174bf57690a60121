'use strict';

/**
 * How objects of a shape are copied: by a function of its own, made once the shape is used often, that reads and
 * writes each property by its name. Where the process forbids making code from strings, names are gone through.
 */

const { hasOwn } = require('./intrinsics');
const { defineName } = require('./shape-reader');
const { keysOf } = require('./shapes');

const COMPILE_AFTER_USES = 5;

/** Says that a property has gone since the names were read. */
const GONE = Symbol('gone');

/**
 * @typedef {object} Parts clones what objects hold
 * @property {(value: any) => any} value
 * @property {(original: object, copy: object) => void} keep takes note of a copy, before its properties are there
 */

/** @typedef {(original: any, parts: Parts) => any} Copy */

class ShapeCopier {
  #keys;
  #uses = 0;
  /** @type {Copy} */
  copy = (original, parts) => this.#copySlowly(original, parts);

  /** @param {import('./shapes').ShapeNode} end where the shape ends */
  constructor(end) {
    this.#keys = keysOf(end);
  }

  /** @type {Copy} */
  #copySlowly(original, parts) {
    if (++this.#uses === COMPILE_AFTER_USES) this.copy = compile(this.#keys) ?? this.copy;
    const copy = {};
    parts.keep(original, copy);
    copyNames(original, copy, this.#keys, parts);
    return copy;
  }
}

/**
 * Copies properties that an object had when its names were read: a getter may have taken later ones away.
 * @param {any} original
 * @param {any} copy
 * @param {string[]} names
 * @param {Parts} parts
 */
function copyNames(original, copy, names, parts) {
  for (let i = 0; i < names.length; i++) {
    const name = names[i];
    if (hasOwn(original, name)) defineName(copy, name, parts.value(original[name]));
  }
}

/**
 * The names are only ever used as string literals.
 * @param {string[]} keys
 * @returns {Copy | undefined}
 */
function compile(keys) {
  const names = keys.map((key) => JSON.stringify(key));
  // A literal that has it would get another prototype.
  if (keys.includes('__proto__')) return undefined;
  const empty = names.map((name) => `${name}: undefined`).join(', ');
  const steps = names.map(
    (name) => `value = original[${name}];
      if (typeof value === 'string' || typeof value === 'number') copy[${name}] = value;
      else if ((value = part(original, ${name}, value, parts)) !== GONE) copy[${name}] = value;
      else delete copy[${name}];`,
  );
  const source = `'use strict';
    return (original, parts) => {
      const copy = { ${empty} };
      parts.keep(original, copy);
      let value;
      ${steps.join('\n')}
      return copy;
    };`;
  try {
    return new Function('part', 'GONE', source)(part, GONE);
  } catch {
    // --disallow-code-generation-from-strings.
    return undefined;
  }
}

/**
 * What to put in the place of a property's value.
 * @param {any} original
 * @param {string} name
 * @param {any} value
 * @param {Parts} parts
 */
function part(original, name, value, parts) {
  if (typeof value === 'object' && value !== null) return parts.value(value);
  // Nothing, or what a prototype has: the property may be gone.
  if ((value === undefined || typeof value === 'function') && !hasOwn(original, name)) return GONE;
  return parts.value(value);
}

module.exports.ShapeCopier = ShapeCopier;
module.exports.copyNames = copyNames;
