'use strict';

/** Node's own channel beside the lanes of `Ipc`: sending on it, intercepting it, and delivering messages. */

const { throwUncaught } = require('../core/errors');
const { COMMAND, ignoringErrors, isInternal, makeWriteError } = require('./ipc-messages');
const { reviveAll } = require('../link/travellers');

/** Marks the options of a send that Node handles, now or when it repeats the send from its queue. */
const kForNode = Symbol('kForNode');

/**
 * @typedef {object} Hooks
 * @property {() => boolean} isSending whether messages are sent through the lane
 * @property {(message: any, callback: any) => boolean} post
 * @property {(message: any, handle: any, options: any, callback: any) => boolean} postWithHandle
 * @property {() => void} disconnect performs a postponed disconnect at once
 * @property {() => boolean} isPostponed whether a disconnect is pending
 * @property {() => boolean} mayDisconnect false to postpone the disconnect
 * @property {(message: any, handle: any) => void} onInternal
 */

class Channel {
  #target;
  #native;
  #emit;
  #ownEmit;
  /** Whether Node is handling the end of the channel. */
  #isEnding = false;

  /** @param {any} target `process`, or a ChildProcess */
  constructor(target) {
    this.#target = target;
    this.#native = {
      send: target.send,
      _send: target._send,
      disconnect: target.disconnect,
      _disconnect: target._disconnect,
    };
    // Messages that arrive before the lanes are open are delivered by Node.
    const { emit } = target;
    this.#ownEmit = Object.hasOwn(target, 'emit') ? emit : undefined;
    this.#emit = function early(/** @type {any} */ name, /** @type {any[]} */ ...args) {
      if (name === 'message' && target.emit === early) args[0] = reviveAll(args[0]);
      return Reflect.apply(emit, this, [name, ...args]);
    };
    const enumerable = Object.prototype.propertyIsEnumerable.call(target, 'emit');
    Object.defineProperty(target, 'emit', {
      configurable: true,
      writable: true,
      enumerable,
      value: this.#emit,
    });
  }

  /** From now on Node delivers no messages. */
  endEarly() {
    // If the program has replaced `emit` meanwhile, its function still calls ours.
    if (this.#target.emit !== this.#emit) return;
    if (this.#ownEmit === undefined) delete this.#target.emit;
    else this.#target.emit = this.#ownEmit;
  }

  /**
   * Sends on the channel itself.
   * @param {any} message
   * @param {any} [handle]
   * @param {any} [options]
   * @param {(error: Error | null) => void} [callback]
   * @returns {boolean}
   */
  send(message, handle = null, options = { swallowErrors: true }, callback = undefined) {
    return this.#native._send.call(this.#target, message, handle, forNode(options), callback);
  }

  /**
   * Sends a command to the `Ipc` of the other side.
   * @param {{ open?: true, mark?: number, lost?: number }} command
   */
  command(command) {
    this.send({ cmd: COMMAND, ...command });
  }

  /**
   * Routes messages and disconnects to the hooks.
   * @param {Hooks} hooks
   */
  hook(hooks) {
    const target = this.#target;
    const native = this.#native;
    for (const queued of target._handleQueue ?? []) queued.options = forNode(queued.options);
    target.send = function send(
      /** @type {any} */ message,
      /** @type {any} */ handle,
      /** @type {any} */ options,
      /** @type {any} */ callback,
    ) {
      // Fast path for the usual call.
      if (handle === undefined && options === undefined && callback === undefined) {
        if (hooks.isSending() && this === target && target.connected && isValue(message)) {
          return hooks.post(message, undefined);
        }
      }
      return native.send.call(this, message, handle, options, callback);
    };
    target._send = function _send(
      /** @type {any} */ message,
      /** @type {any} */ handle,
      /** @type {any} */ options,
      /** @type {any} */ callback,
    ) {
      // Acknowledgements of handles, which are Node's own, pass a boolean.
      if (typeof options === 'boolean' || options?.[kForNode]) {
        return native._send.call(this, message, handle, options, callback);
      }
      if (!hooks.isSending() || !isValue(message)) {
        const done = ignoringErrors(message, callback);
        return native._send.call(this, message, handle, forNode(options), done);
      }
      if (handle) return hooks.postWithHandle(message, handle, options, callback);
      return hooks.post(message, callback);
    };
    const isEnding = () => this.#isEnding;
    target.disconnect = function disconnect() {
      // A second call, or the other side is gone: nothing is waited for.
      if (hooks.isPostponed()) return hooks.disconnect();
      if (!isEnding() || this.connected) return native.disconnect.call(this);
      // Already requested: Node would emit an error.
      if (this.channel) this._disconnect();
    };
    target._disconnect = function _disconnect() {
      if (hooks.mayDisconnect()) native._disconnect.call(this);
    };
    target.prependListener('internalMessage', hooks.onInternal);
  }

  /**
   * Calls `before` and `after` around Node's handling of the end of the channel.
   * @param {() => void} before
   * @param {() => void} after
   */
  onEnd(before, after) {
    const target = this.#target;
    const key = Object.getOwnPropertySymbols(target).find(
      ({ description }) => description === 'kChannelHandle',
    );
    const handle = key === undefined ? undefined : target[key];
    const read = handle?.onread;
    // Without this internal, a disconnect does not wait.
    if (typeof read !== 'function') return before();
    const end = (/** @type {() => any} */ endByNode) => {
      before();
      this.#dropQueue();
      this.#isEnding = true;
      const result = endByNode();
      this.#isEnding = false;
      after();
      return result;
    };
    handle.onread = function onread(/** @type {ArrayBuffer | undefined} */ arrayBuffer) {
      return arrayBuffer ? read.call(this, arrayBuffer) : end(() => read.call(this, arrayBuffer));
    };
  }

  /**
   * Gives up what waits for the other side to acknowledge a handle. Node would keep it, and then close the channel
   * without a 'disconnect'.
   */
  #dropQueue() {
    const target = this.#target;
    const queue = target._handleQueue;
    target._handleQueue = null;
    for (const { callback } of queue ?? []) {
      if (typeof callback === 'function') process.nextTick(callback, makeWriteError());
    }
  }
}

/** @param {any} message */
function isValue(message) {
  const type = typeof message;
  return type === 'object' || type === 'string' || type === 'number' || type === 'boolean';
}

/** @param {any} options options of `_send` */
function forNode(options) {
  return { swallowErrors: false, ...options, [kForNode]: true };
}

/**
 * @param {any} target
 * @param {any} message
 * @param {any} handle
 */
function deliver(target, message, handle) {
  target.emit(isInternal(message) ? 'internalMessage' : 'message', message, handle);
}

/**
 * @param {any} target
 * @param {any} message
 * @param {any} handle
 */
function deliverNow(target, message, handle) {
  try {
    deliver(target, message, handle);
  } catch (error) {
    throwUncaught(error);
  }
}

/**
 * @param {any} target
 * @param {any} message
 * @param {any} handle
 */
function deliverLater(target, message, handle) {
  process.nextTick(deliver, target, message, handle);
}

module.exports.Channel = Channel;
module.exports.deliver = deliver;
module.exports.deliverNow = deliverNow;
module.exports.deliverLater = deliverLater;
