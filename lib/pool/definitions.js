'use strict';

/**
 * Definitions that workers need to decode tasks: handlers and object shapes. Since any worker may take any task,
 * definitions are not sent with tasks but listed in the queue, and each task says how many of them it depends on. A
 * worker reads those it has not seen before it decodes the task.
 */

const { Encoder } = require('../link/encoder');
const { Kind } = require('../link/layout');
const { Writer } = require('../link/writer');

/** Number of remembered functions that are sent as source; programs that create functions on the fly have many. */
const MOST_HANDLERS = 10_000;

class Definitions {
  #queue;
  /** @type {Map<string, number>} */
  #handlers = new Map();
  #handlerCount = 0;
  /** Number of definitions. */
  count = 0;

  /** @param {{ define(definition: Uint8Array): number }} queue */
  constructor(queue) {
    this.#queue = queue;
  }

  /**
   * Returns the number of a handler.
   * @param {string | null} filename
   * @param {string} name
   * @param {boolean} isSpread whether the value is an array of arguments
   * @param {string | null} source source code of a function that is sent as such
   * @param {boolean} announces whether workers report the start of its tasks
   */
  handler(filename, name, isSpread, source, announces) {
    const definition = [filename, name, isSpread, source, announces];
    const key = JSON.stringify(definition);
    const known = this.#handlers.get(key);
    if (known !== undefined) return known;
    if (this.#handlers.size >= MOST_HANDLERS) this.#handlers.clear();
    const number = this.#handlerCount++;
    this.#handlers.set(key, number);
    const encoder = new Encoder();
    encoder.beginInScratch();
    encoder.encode(definition);
    this.add(encoder);
    return number;
  }

  /** @param {Writer} writer a writer with a completed record */
  add(writer) {
    this.count = this.#queue.define(writer.record());
  }
}

/**
 * Creates an encoder for tasks: shapes seen for the first time are listed as definitions instead of being sent in
 * the record.
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
