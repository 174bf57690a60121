'use strict';

/**
 * What workers must know to read tasks: the handlers, and the shapes of objects. Any worker may take any task, so
 * definitions do not travel with tasks: they are listed in the queue, and a task says how many of them it builds
 * on. A worker reads those that it has not seen before it reads the task.
 */

const { Encoder } = require('../link/encoder');
const { Kind } = require('../link/layout');
const { Writer } = require('../link/writer');

/** Functions sent by their source that are remembered; programs that make them on the fly use many. */
const MOST_HANDLERS = 10_000;

class Definitions {
  #queue;
  /** @type {Map<string, number>} */
  #handlers = new Map();
  #handlerCount = 0;
  /** How many there are. */
  count = 0;

  /** @param {{ define(definition: Uint8Array): number }} queue */
  constructor(queue) {
    this.#queue = queue;
  }

  /**
   * The number of a handler.
   * @param {string | null} filename
   * @param {string} name
   * @param {boolean} isSpread whether its argument is a list of arguments
   * @param {string | null} source of a function that is sent by itself
   */
  handler(filename, name, isSpread, source) {
    const key = JSON.stringify([filename, name, isSpread, source]);
    const known = this.#handlers.get(key);
    if (known !== undefined) return known;
    if (this.#handlers.size >= MOST_HANDLERS) this.#handlers.clear();
    const number = this.#handlerCount++;
    this.#handlers.set(key, number);
    const encoder = new Encoder();
    encoder.beginInScratch();
    encoder.encode([filename, name, isSpread, source]);
    this.add(encoder);
    return number;
  }

  /** @param {Writer} writer with a completed record */
  add(writer) {
    this.count = this.#queue.define(writer.record());
  }
}

/**
 * An encoder of tasks: shapes that a task is the first to have are listed instead of sent along.
 * @param {typeof Encoder} Base
 * @param {Definitions} definitions
 * @param {number} [largeLength] see `Writer`
 * @returns {Encoder}
 */
function makeTaskEncoder(Base, definitions, largeLength) {
  class TaskEncoder extends Base {
    /** @override */
    sibling() {
      const sibling = new TaskEncoder(this.largeLength);
      sibling.shapes = this.shapes;
      return /** @type {any} */ (sibling);
    }

    /**
     * @override
     * @param {number} kind
     */
    end(kind) {
      if (this.shapes.pending.length !== 0) {
        const writer = new Writer();
        writer.shapes = this.shapes;
        writer.beginInScratch();
        writer.end(Kind.SKIP);
        definitions.add(writer);
        writer.commit();
      }
      return super.end(kind);
    }
  }
  return new TaskEncoder(largeLength);
}

module.exports.Definitions = Definitions;
module.exports.makeTaskEncoder = makeTaskEncoder;
