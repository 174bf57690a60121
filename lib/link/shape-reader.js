'use strict';

/**
 * Reader's side of shapes: builds objects from a shape number and values. Once a shape is used often, a function is
 * compiled for it that creates the object as a literal, unless the process forbids code generation from strings.
 */

const { MAX_SHAPES, MAX_KEYS } = require('./shapes');

const COMPILE_AFTER_USES = 5;

/** @typedef {(read: () => any) => any} Build */
/** @typedef {(read: () => any, references: any[]) => any} BuildReferenced */

class Shape {
  /** @param {string[]} keys */
  constructor(keys) {
    this.keys = keys;
    this.uses = 0;
    /** @type {Build | null} */
    this.build = null;
    /** @type {BuildReferenced | null} */
    this.buildReferenced = null;
  }
}

class ShapeReader {
  /**
   * @param {import('./decoder').Decoder} decoder
   * @param {object} corrupt thrown for invalid data
   */
  constructor(decoder, corrupt) {
    this.decoder = decoder;
    this.corrupt = corrupt;
    /** @type {(Shape | undefined)[]} */
    this.shapes = [];
  }

  /** Reads the shape definitions of a record. */
  define() {
    const { decoder, corrupt } = this;
    const definitions = decoder.count(4);
    for (let i = 0; i < definitions; i++) {
      decoder.need(4);
      const id = decoder.view.getUint16(decoder.position, true);
      const count = decoder.view.getUint16(decoder.position + 2, true);
      decoder.position += 4;
      // Numbers are assigned without gaps, so the table cannot be larger than what was sent.
      if (id !== this.shapes.length || id >= MAX_SHAPES || count > MAX_KEYS) throw corrupt;
      const keys = [];
      for (let k = 0; k < count; k++) keys.push(decoder.longString());
      this.add(keys);
    }
  }

  /** @param {string[]} keys names of the shape with the next number */
  add(keys) {
    this.shapes.push(new Shape(keys));
  }

  /** Reads a shape number and an object of that shape. */
  read() {
    const { decoder } = this;
    const { bytes, position } = decoder;
    const shape = this.shapes[bytes[position] | (bytes[position + 1] << 8)];
    if (shape === undefined || position + 2 > decoder.end) throw this.corrupt;
    decoder.position = position + 2;
    if (shape.build === null) return this.#readSlowly(shape);
    if (!decoder.hasReferences) return shape.build(decoder.read);
    return /** @type {BuildReferenced} */ (shape.buildReferenced)(decoder.read, decoder.references);
  }

  /** @param {Shape} shape */
  #readSlowly(shape) {
    const { decoder } = this;
    if (++shape.uses === COMPILE_AFTER_USES) compile(shape);
    /** @type {Record<string, any>} */
    const object = {};
    if (decoder.hasReferences) decoder.references.push(object);
    const { keys } = shape;
    for (let i = 0; i < keys.length; i++) defineName(object, keys[i], decoder.value());
    return object;
  }
}

/**
 * Compiles the builders of a shape. The names are only used as string literals.
 * @param {Shape} shape
 */
function compile(shape) {
  const names = shape.keys.map((key) => JSON.stringify(key));
  if (shape.keys.includes('__proto__') || new Set(names).size !== names.length) return;
  const literal = names.map((name) => `${name}: read()`).join(', ');
  // With references, the object must be created before its values, which may refer to it.
  const empty = names.map((name) => `${name}: undefined`).join(', ');
  const filling = names.map((name) => `object[${name}] = read();`).join(' ');
  try {
    const build = /** @type {Build} */ (new Function('read', `'use strict'; return { ${literal} };`));
    shape.buildReferenced = /** @type {BuildReferenced} */ (
      new Function(
        'read',
        'references',
        `'use strict'; const object = { ${empty} }; references.push(object); ${filling} return object;`,
      )
    );
    shape.build = build;
  } catch {
    // --disallow-code-generation-from-strings: the generic path is used.
  }
}

/**
 * Sets an own property, even if a prototype has a property or setter of this name.
 * @param {any} object
 * @param {string} name
 * @param {any} value
 */
function defineName(object, name, value) {
  if (name in object) {
    Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
  } else {
    object[name] = value;
  }
}

module.exports.ShapeReader = ShapeReader;
module.exports.defineName = defineName;
