'use strict';

/**
 * Shapes (hidden classes): sequences of property names, numbered per direction of a link, so that names are sent
 * only once.
 *
 * A shape is found by walking a trie, one step per property in enumeration order. Its definition is sent with the
 * first record that uses it; until a record has been published, its definitions stay pending and go with the next
 * one, so that an abandoned record (a getter threw) leaves no gap.
 */

/**
 * Shape numbers have 16 bits. Objects started beyond `FULL_AT` are sent with their names; objects started before it
 * and still open, at most as many as values can be nested, use the remaining numbers.
 */
const MAX_SHAPES = 0x10000;
const FULL_AT = MAX_SHAPES - 1024;
const MAX_NODES = 20_000;
const MAX_DEPTH = 64;

class ShapeNode {
  /**
   * @param {string} key
   * @param {ShapeNode | null} parent
   * @param {number} depth
   */
  constructor(key, parent, depth) {
    this.key = key;
    this.parent = parent;
    this.depth = depth;
    /** Whether the first property is '0', or there is none: as in other kinds of objects than plain ones. */
    this.mayBeOther = depth < 2 ? depth === 0 || key === '0' : /** @type {ShapeNode} */ (parent).mayBeOther;
    /** Number of the shape that ends here; -1 for none. */
    this.id = -1;
    /** Last child taken, and its key, as a cache: most nodes have only one child. */
    this.lastKey = '';
    /** @type {ShapeNode | null} */
    this.lastChild = null;
    /** All children, if there are several. @type {Map<string, ShapeNode> | null} */
    this.children = null;
  }
}

class ShapeTable {
  constructor() {
    this.root = new ShapeNode('', null, 0);
    this.nodes = 0;
    /** Last node of each shape, by number. @type {ShapeNode[]} */
    this.ends = [];
    /** Shapes that no published record has defined yet. @type {ShapeNode[]} */
    this.pending = [];
  }

  /**
   * Returns the node for the next property, or null if the table is full.
   * @param {ShapeNode} node
   * @param {string} key
   * @returns {ShapeNode | null}
   */
  child(node, key) {
    const known = node.children !== null ? node.children.get(key) : undefined;
    if (known !== undefined) return take(node, key, known);
    if (node.lastChild !== null && node.lastKey === key) return node.lastChild;
    if (node.depth >= MAX_DEPTH || this.nodes >= MAX_NODES) return null;
    const child = new ShapeNode(key, node, node.depth + 1);
    this.nodes++;
    if (node.lastChild !== null) {
      node.children ??= new Map([[node.lastKey, node.lastChild]]);
      node.children.set(key, child);
    }
    return take(node, key, child);
  }

  /** Whether objects should be sent with their names. */
  get isFull() {
    return this.ends.length >= FULL_AT;
  }

  /**
   * Assigns a number to the shape that ends at `node`.
   * @param {ShapeNode} node
   */
  define(node) {
    node.id = this.ends.length;
    this.ends.push(node);
    this.pending.push(node);
    return node.id;
  }
}

/**
 * @param {ShapeNode} node
 * @param {string} key
 * @param {ShapeNode} child child with this key
 */
function take(node, key, child) {
  node.lastKey = key;
  node.lastChild = child;
  return child;
}

/**
 * Returns the names of a shape, in order.
 * @param {ShapeNode} node
 */
function keysOf(node) {
  const keys = new Array(node.depth);
  for (let at = node; at.parent !== null; at = at.parent) keys[at.depth - 1] = at.key;
  return keys;
}

module.exports.ShapeNode = ShapeNode;
module.exports.ShapeTable = ShapeTable;
module.exports.keysOf = keysOf;
module.exports.MAX_SHAPES = MAX_SHAPES;
module.exports.MAX_KEYS = MAX_DEPTH;
