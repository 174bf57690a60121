'use strict';

/** `move()`, the protocol by which values declare what to transfer, and the way through a port. */

const { types } = require('node:util');

const transferableSymbol = Symbol.for('Piscina.transferable');
const valueSymbol = Symbol.for('Piscina.valueOf');
const queueOptionsSymbol = Symbol.for('Piscina.queueOptions');
const kMovable = Symbol('movable');
/**
 * What `move()` of piscina and of tinypool put on a value, for task files that still require those: the symbols of the
 * protocol, and the description of the private symbol that marks the value.
 */
const PISCINA = { transferable: transferableSymbol, value: valueSymbol, mark: 'Piscina.kMovable' };
const tinypoolTransferable = Symbol.for('Tinypool.transferable');
const TINYPOOL = {
  transferable: tinypoolTransferable,
  value: Symbol.for('Tinypool.valueOf'),
  mark: 'Tinypool.kMovable',
};

class Movable {
  #value;
  #transferable;

  /**
   * @param {any} value
   * @param {any} transferable
   */
  constructor(value, transferable) {
    this.#value = value;
    this.#transferable = transferable;
  }

  get [transferableSymbol]() {
    return this.#transferable;
  }

  get [valueSymbol]() {
    return this.#value;
  }
}

/** workerpool's equivalent. */
class Transfer {
  /**
   * @param {any} message
   * @param {readonly any[]} transfer
   */
  constructor(message, transfer) {
    this.message = message;
    this.transfer = transfer;
  }
}

/** @param {any} value */
function isTransferable(value) {
  return value !== null && typeof value === 'object' && transferableSymbol in value && valueSymbol in value;
}

/**
 * Marks a value to be transferred instead of cloned when it is used as a task or a result.
 * @param {any} value
 */
function move(value) {
  if (value === null || typeof value !== 'object') return value;
  if (!isTransferable(value)) {
    value = new Movable(value, types.isArrayBufferView(value) ? value.buffer : value);
  }
  Object.defineProperty(value, kMovable, {
    configurable: true,
    enumerable: false,
    writable: true,
    value: true,
  });
  return value;
}

/**
 * @param {any} value
 * @param {typeof PISCINA} protocol
 */
function unpackMoved(value, protocol) {
  if (!(protocol.transferable in value && protocol.value in value)) return null;
  const marked =
    value[kMovable] === true ||
    Object.getOwnPropertySymbols(value).some(
      (symbol) => symbol.description === protocol.mark && value[symbol] === true,
    );
  if (!marked) return null;
  return { value: value[protocol.value], transferList: [].concat(value[protocol.transferable]) };
}

/**
 * Returns the value to send and its transfer list; null for an ordinary value.
 * @param {any} value
 * @returns {{ value: any, transferList: any[] } | null}
 */
function unpack(value) {
  if (value === null || typeof value !== 'object') return null;
  if (value instanceof Transfer) return { value: value.message, transferList: [...value.transfer] };
  // Symbols by constant name: V8 then looks for them in the object's hidden class only.
  const moved = transferableSymbol in value ? unpackMoved(value, PISCINA) : null;
  // A value may follow both protocols, and be marked by one `move()` only.
  return moved === null && tinypoolTransferable in value ? unpackMoved(value, TINYPOOL) : moved;
}

/** Loaded with the first value through a port. @type {typeof import('../threads/receive') | undefined} */
let receiving;

/**
 * Receives what the other side has sent through a port; undefined if there is nothing.
 * @param {import('node:worker_threads').MessagePort} port
 * @returns {{ message: any } | undefined}
 */
function receiveFrom(port) {
  receiving ??= require('../threads/receive');
  return receiving.receiveFromNode(port);
}

module.exports.receiveFrom = receiveFrom;
module.exports.transferableSymbol = transferableSymbol;
module.exports.valueSymbol = valueSymbol;
module.exports.queueOptionsSymbol = queueOptionsSymbol;
module.exports.Transfer = Transfer;
module.exports.move = move;
module.exports.unpack = unpack;
