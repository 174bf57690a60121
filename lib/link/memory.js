'use strict';

const { Buffer } = require('node:buffer');
const { CLOSED, RETURNED, STORE_BLOCKS } = require('./layout');

/**
 * Views of one piece of memory.
 * @typedef {object} Memory
 * @property {Uint8Array} bytes
 * @property {DataView} view
 * @property {Int32Array} words
 * @property {Buffer} buffer
 */

/**
 * @param {ArrayBuffer} arrayBuffer
 * @returns {Memory}
 */
function memoryOf(arrayBuffer) {
  return {
    bytes: new Uint8Array(arrayBuffer),
    view: new DataView(arrayBuffer),
    words: new Int32Array(arrayBuffer, 0, Math.floor(arrayBuffer.byteLength / 4)),
    buffer: Buffer.from(arrayBuffer),
  };
}

const NOTHING = memoryOf(new ArrayBuffer(0));

/** A lane's store in JavaScript's view, as far as it has been used. */
class StoreMemory {
  #end;
  #memory = NOTHING;

  /** @param {{ storeBuffer: (length: number) => ArrayBuffer }} end */
  constructor(end) {
    this.#end = end;
  }

  /**
   * Returns memory that starts with the store and has at least the bytes before `end`, which are in it.
   * @param {number} end
   * @throws if the store cannot be mapped
   */
  upTo(end) {
    if (this.#memory.bytes.length < end) this.#memory = memoryOf(this.#end.storeBuffer(end));
    return this.#memory;
  }

  /** Releases the memory. */
  close() {
    this.#memory = NOTHING;
  }
}

/**
 * Replaces a lane's memory once its end is closed, with the control words of a closed lane, so that references to
 * the end do not keep the mapping alive.
 */
const NOWHERE = memoryOf(new ArrayBuffer((RETURNED + STORE_BLOCKS) * 4));
NOWHERE.words[CLOSED] = 1;

/**
 * A sequentially consistent load where the processor needs an instruction of its own for it. On x64 a plain load is
 * reordered neither with later loads nor with earlier sequentially consistent stores, at a tenth of the cost.
 * @type {(words: Int32Array, index: number) => number}
 */
const load =
  process.arch === 'x64' ? (words, index) => words[index] : (words, index) => Atomics.load(words, index);

/** Loads a control word after a sequentially consistent store. */
const loadAfterStore = load;

/** Loads a control word before what is loaded after it. */
const loadInOrder = load;

module.exports.memoryOf = memoryOf;
module.exports.StoreMemory = StoreMemory;
module.exports.NOWHERE = NOWHERE;
module.exports.loadAfterStore = loadAfterStore;
module.exports.loadInOrder = loadInOrder;
