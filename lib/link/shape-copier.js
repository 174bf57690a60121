'use strict';

/**
 * Copies objects of one shape. Once a shape is used often, a function is compiled for it that reads and writes each
 * property by name. If the process forbids code generation from strings, names are iterated.
 */

const { hasOwn } = require('./intrinsics');
const { defineName } = require('./shape-reader');
const { keysOf } = require('./shapes');

const COMPILE_AFTER_USES = 5;

/** Result for a property that no longer exists. */
const GONE = Symbol('gone');

/**
 * @typedef {object} Parts clones the contents of objects
 * @property {(value: any) => any} value
 * @property {(original: object, copy: object) => void} keep registers a copy, before its properties are set
 */

/** @typedef {(original: any, parts: Parts) => any} Copy */

class ShapeCopier {
  #keys;
  #uses = 0;
  /** @type {Copy} */
  copy = (original, parts) => this.#copySlowly(original, parts);

  /** @param {import('./shapes').ShapeNode} end last node of the shape */
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
 * Copies the properties whose names were read, except those that a getter has deleted since.
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
 * Compiles a copy function. The names are only used as string literals.
 * @param {string[]} keys
 * @returns {Copy | undefined}
 */
function compile(keys) {
  const names = keys.map((key) => JSON.stringify(key));
  // In an object literal, it would set the prototype.
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
 * Returns the copy of a property's value.
 * @param {any} original
 * @param {string} name
 * @param {any} value
 * @param {Parts} parts
 */
function part(original, name, value, parts) {
  if (typeof value === 'object' && value !== null) return parts.value(value);
  // Absent, or inherited from a prototype: the property may have been deleted.
  if ((value === undefined || typeof value === 'function') && !hasOwn(original, name)) return GONE;
  return parts.value(value);
}

module.exports.ShapeCopier = ShapeCopier;
module.exports.copyNames = copyNames;
