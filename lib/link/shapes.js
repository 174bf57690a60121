'use strict';

/**
 * Shapes: sequences of property names, numbered per direction of a link, so that names travel once.
 *
 * A shape is found by walking a trie, one step per property, in the order of enumeration. Its definition
 * travels with the first record that uses it; until a record has been published, its definitions stay pending
 * and go with the next, so a record that is given up (a getter threw) leaves no gap.
 */

/**
 * Numbers are 16 bits wide. Objects begun beyond the limit travel with their names; those begun before and
 * still open, at most as many as values nest, find the numbers left.
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
    /** Number of the shape that ends here; -1: none yet. */
    this.id = -1;
    /** The first child is kept apart: most nodes have no other. */
    /** @type {string | undefined} */
    this.firstKey = undefined;
    /** @type {ShapeNode | null} */
    this.firstChild = null;
    /** @type {Map<string, ShapeNode> | null} */
    this.children = null;
  }
}

class ShapeTable {
  constructor() {
    this.root = new ShapeNode('', null, 0);
    this.nodes = 0;
    this.count = 0;
    /** Shapes that no published record has defined yet. @type {ShapeNode[]} */
    this.pending = [];
  }

  /**
   * The node one property further, or null when the table is full.
   * @param {ShapeNode} node
   * @param {string} key
   * @returns {ShapeNode | null}
   */
  child(node, key) {
    if (node.children !== null) {
      const known = node.children.get(key);
      if (known !== undefined) return known;
    }
    if (node.depth >= MAX_DEPTH || this.nodes >= MAX_NODES) return null;
    const child = new ShapeNode(key, node, node.depth + 1);
    this.nodes++;
    if (node.firstChild === null) {
      node.firstKey = key;
      node.firstChild = child;
    } else {
      node.children ??= new Map();
      node.children.set(key, child);
    }
    return child;
  }

  /** Whether objects should travel with their names. */
  get isFull() {
    return this.count >= FULL_AT;
  }

  /**
   * Numbers the shape that ends at `node`.
   * @param {ShapeNode} node
   */
  define(node) {
    node.id = this.count++;
    this.pending.push(node);
    return node.id;
  }
}

/**
 * The names of a shape, in order.
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
