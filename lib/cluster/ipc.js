'use strict';

/**
 * One side of the messages between a cluster's primary and a worker: two lanes in shared memory, and Node's own
 * channel beside them.
 *
 * A worker that has come up with us says on the channel that it sends by its lane from there on, and the primary
 * answers the same. Before that, and with a worker that never says so, the channel serves alone. Then values go by
 * the lane, in the order of the calls. What only the channel can carry goes there: handles, and the messages by which
 * Node's cluster works. A numbered mark goes with or behind it, and a marker in the lane keeps its place: the n-th
 * marker is for mark n.
 *
 * The channel stays what tells whether the other side is there, keeps this process alive, and is disconnected.
 */

const { LaneReceiver } = require('../link/lane-receiver');
const { LaneSender } = require('../link/lane-sender');
const { Kind } = require('../link/layout');
const { Spill } = require('../link/spill');
const { runTicks } = require('../threads/node-internals');
const { makeError } = require('../core/errors');
const { COMMAND, isInternal, isInternalAtHand, makeWriteError } = require('./ipc-messages');
const { inFreshContext } = require('./ipc-context');
const { Marks } = require('./ipc-marks');

/** As Node's: `send` returns false when more than this waits to be taken by the other side. */
const HIGH_WATER_BYTES = 128 * 1024;
/** Messages delivered before the event loop has its turn. */
const MESSAGES_PER_DRAIN = runTicks === undefined ? 1 : 1000;
/** More records than a ring holds: so many are read at most to catch up with what was sent before. */
const MAX_CATCH_UP = 1 << 20;

/** On the options of a call that is Node's business, now or when Node makes it again from its queue. */
const kForNode = Symbol('kForNode');

/**
 * @typedef {object} Options
 * @property {typeof import('../native/index')} addon
 * @property {import('../native/index').ProcessLink} link
 * @property {any} target `process`, or the worker's ChildProcess in the primary
 * @property {import('./ipc-formats').Format} format
 * @property {boolean} isWorker
 * @property {(error: Error) => void} report told when the other side broke the link
 */

class Ipc {
  #options;
  #target;
  #control;
  #native;
  #spill = new Spill();
  #sender;
  #receiver;
  #receiverEnd;
  /** Handles a record where nothing is left of what a listener entered before. @type {() => boolean} */
  #handleInContext;
  #format;
  #marks = new Marks();
  /** Messages are sent by the lane. */
  #isSending = false;
  /** The other side sends by its lane. */
  #isReceiving = false;
  #isClosed = false;
  /** Records wait for room: this process stays alive for them. */
  #isHolding = false;
  /** A disconnect waits for them. */
  #isPostponed = false;
  /** The other side has closed the channel, or has ended. */
  #isAlone = false;
  /** The value of the next record is what `format.serialize` made. */
  #isSerialized = false;
  /** Callbacks of messages that wait for room. @type {{ at: number, callback: (error: Error | null) => void }[]} */
  #waiting = [];

  /** @param {Options} options */
  constructor(options) {
    const { link, target, format } = options;
    this.#options = options;
    this.#target = target;
    this.#control = target.channel;
    this.#format = format;
    this.#native = {
      send: target.send,
      _send: target._send,
      disconnect: target.disconnect,
      _disconnect: target._disconnect,
    };
    this.#sender = new LaneSender(link.takeSender(), format.makeEncoder(), this.#spill);
    this.#receiverEnd = link.takeReceiver();
    this.#receiver = new LaneReceiver(this.#receiverEnd);
    link.close();
    this.#receiverEnd.onRoom(() => this.#onRoom());
    this.#handleInContext = inFreshContext(() => this.#handle(deliver));
    this.#receiver.listen(() => this.#drain());
    this.#hook();
    if (options.isWorker) this.#announce();
  }

  #hook() {
    const ipc = this;
    const target = this.#target;
    const native = this.#native;
    for (const queued of target._handleQueue ?? []) queued.options = forNode(queued.options);
    target.send = function send(
      /** @type {any} */ message,
      /** @type {any} */ handle,
      /** @type {any} */ options,
      /** @type {any} */ callback,
    ) {
      // The usual call, without what Node does about the others.
      if (handle === undefined && options === undefined && callback === undefined) {
        if (ipc.#isSending && this === target && target.connected && isValue(message)) {
          return ipc.#post(message, undefined);
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
      // Acknowledgements of handles, which are Node's own, have a boolean.
      if (typeof options === 'boolean' || options?.[kForNode]) {
        return native._send.call(this, message, handle, options, callback);
      }
      if (!ipc.#isSending || !isValue(message)) {
        return native._send.call(this, message, handle, forNode(options), callback);
      }
      if (handle) return ipc.#postWithHandle(message, handle, options, callback);
      return ipc.#post(message, callback);
    };
    target.disconnect = function disconnect() {
      // Once more, or because the other side has gone: nothing is waited for.
      if (ipc.#isPostponed) return ipc.#disconnectNow();
      return native.disconnect.call(this);
    };
    target._disconnect = function _disconnect() {
      if (ipc.#mayDisconnect()) native._disconnect.call(this);
    };
    target.prependListener('internalMessage', (/** @type {any} */ message, /** @type {any} */ handle) => {
      if (message?.cmd === COMMAND) this.#onCommand(message, handle);
      // What was sent before a message of the cluster's comes before it.
      else if (message?.cmd === 'NODE_CLUSTER') this.#catchUp(deliverNow);
    });
    onEnd(target, () => {
      this.#isAlone = true;
    });
    // The process has ended, and all it has sent is here.
    if (!this.#options.isWorker) target.prependOnceListener('exit', () => this.#catchUp(deliverNow));
  }

  /** Says that this side sends by its lane from here on. */
  #announce() {
    if (!this.#target.connected) return;
    this.#sendOnChannel({ cmd: COMMAND, open: true });
    this.#isSending = true;
  }

  /**
   * @param {any} message
   * @param {any} [handle]
   * @param {any} [options]
   * @param {(error: Error | null) => void} [callback]
   * @returns {boolean}
   */
  #sendOnChannel(message, handle = null, options = { swallowErrors: true }, callback = undefined) {
    return this.#native._send.call(this.#target, message, handle, forNode(options), callback);
  }

  /**
   * @param {any} message
   * @param {any} callback
   */
  #post(message, callback) {
    if (isInternalAtHand(message)) return this.#postOnChannel(message, callback);
    if (!this.#sender.send(message)) this.#postSerialized(this.#format.serialize(message));
    if (this.#isHolding || this.#sender.isSpilling) return this.#awaitRoom(callback);
    if (typeof callback === 'function') process.nextTick(callback, null);
    return true;
  }

  /** @param {any} serialized */
  #postSerialized(serialized) {
    this.#sender.sendBare(Kind.SERIALIZED);
    this.#sender.send(serialized);
  }

  /**
   * A message of Node's own, and a mark behind it.
   * @param {any} message
   * @param {any} callback
   */
  #postOnChannel(message, callback) {
    const result = this.#sendOnChannel(message, null, {}, callback);
    this.#sendOnChannel({ cmd: COMMAND, mark: this.#marks.next() });
    this.#sender.sendBare(Kind.MARKER);
    return result;
  }

  /**
   * The handle goes by the channel, the message by the lane.
   * @param {any} message
   * @param {any} handle
   * @param {any} options
   * @param {any} callback
   */
  #postWithHandle(message, handle, options, callback) {
    if (isInternalAtHand(message)) {
      const result = this.#sendOnChannel(message, handle, options, callback);
      this.#sendOnChannel({ cmd: COMMAND, mark: this.#marks.next() });
      this.#sender.sendBare(Kind.MARKER);
      return result;
    }
    // Throws for what cannot be serialized, before anything has been sent.
    const serialized = this.#format.serialize(message);
    const mark = this.#marks.next();
    let result;
    try {
      const done = (/** @type {Error | null} */ error) => this.#onHandleSent(mark, error, options, callback);
      result = this.#sendOnChannel(
        { cmd: COMMAND, mark },
        handle,
        { ...options, swallowErrors: false },
        done,
      );
    } catch (error) {
      // Not a handle, or not one that can be sent.
      this.#marks.takeBack();
      throw error;
    }
    this.#sender.sendBare(Kind.MARKER_WITH_PORTS);
    this.#postSerialized(serialized);
    return this.#sender.isSpilling ? this.#awaitRoom(undefined) && result : result;
  }

  /**
   * @param {number} mark
   * @param {Error | null} error
   * @param {any} options
   * @param {any} callback
   */
  #onHandleSent(mark, error, options, callback) {
    if (error !== null && this.#target.channel) this.#sendOnChannel({ cmd: COMMAND, lost: mark });
    if (typeof callback === 'function') callback(error);
    else if (error !== null && !options?.swallowErrors) this.#target.emit('error', error);
  }

  /** @param {any} callback */
  #awaitRoom(callback) {
    if (!this.#isHolding) {
      this.#isHolding = true;
      this.#control.refCounted();
      this.#receiverEnd.watchRoom(true);
    }
    if (typeof callback === 'function') this.#waiting.push({ at: this.#spill.pushed, callback });
    if (!this.#sender.isSpilling) this.#onRoom();
    else if (this.#sender.isCorrupt) process.nextTick(() => this.#fail());
    return this.#spill.bytes < HIGH_WATER_BYTES;
  }

  /** The other side has made room. */
  #onRoom() {
    if (this.#isClosed) return;
    const isDone = this.#sender.flush();
    const first = this.#waiting.findIndex(({ at }) => at > this.#spill.moved);
    const count = first < 0 ? this.#waiting.length : first;
    for (const { callback } of this.#waiting.splice(0, count)) process.nextTick(callback, null);
    if (!isDone) {
      if (this.#sender.isCorrupt) this.#fail();
      return;
    }
    this.#letGo();
    if (this.#isPostponed) this.#disconnectNow();
  }

  #letGo() {
    if (!this.#isHolding) return;
    this.#isHolding = false;
    this.#receiverEnd.watchRoom(false);
    this.#control.unrefCounted();
  }

  /**
   * @param {any} command from the other side's Ipc
   * @param {any} handle
   */
  #onCommand(command, handle) {
    if (this.#isClosed) return;
    if (command.open === true && !this.#isReceiving) {
      this.#isReceiving = true;
      if (!this.#options.isWorker) this.#announce();
      this.#receiver.resume();
    } else if (this.#marks.arrive(command, handle)) {
      this.#receiver.resume();
    }
  }

  #drain() {
    let budget = MESSAGES_PER_DRAIN;
    let isEmpty = true;
    try {
      while (this.#next()) {
        isEmpty = false;
        if (this.#handleInContext() && (--budget === 0 || !this.#tick())) break;
      }
      if (isEmpty) this.#verify();
    } finally {
      this.#receiver.release();
    }
  }

  /**
   * Reads everything that is there, and does not stop at a listener that throws.
   * @param {(target: any, message: any, handle: any) => void} deliverBy
   */
  #catchUp(deliverBy) {
    if (!this.#isReceiving || this.#isClosed) return;
    for (let budget = MAX_CATCH_UP; budget > 0 && this.#next(); budget--) this.#handle(deliverBy);
    this.#receiver.release();
  }

  /** Reads a record. False when there is none, or the one at the front waits for its mark. */
  #next() {
    if (this.#marks.isAwaiting) return false;
    try {
      return this.#receiver.next();
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  /** Called without there being a record: unless a mark is awaited, that must not go on. */
  #verify() {
    if (this.#marks.isAwaiting || this.#isClosed) return;
    try {
      this.#receiver.verify();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Runs ticks and microtasks between two messages, see `lib/threads/channel`. */
  #tick() {
    if (runTicks === undefined) return true;
    try {
      runTicks();
      return true;
    } catch (error) {
      this.#options.addon.reportUncaught(error);
      return false;
    }
  }

  /**
   * Handles the record that was read last. True if it was a message.
   * @param {(target: any, message: any, handle: any) => void} deliverBy
   */
  #handle(deliverBy) {
    const receiver = this.#receiver;
    switch (receiver.kind) {
      case Kind.VALUE: {
        let { value } = receiver;
        receiver.value = undefined;
        if (this.#isSerialized) {
          this.#isSerialized = false;
          try {
            value = this.#format.deserialize(value);
          } catch {
            this.#fail();
            return false;
          }
        }
        const { handle, isLost } = this.#marks.takeHandle();
        if (!isLost) deliverBy(this.#target, value, handle);
        return true;
      }
      case Kind.SERIALIZED:
        this.#isSerialized = true;
        return false;
      case Kind.MARKER:
      case Kind.MARKER_WITH_PORTS:
        this.#marks.meet(receiver.kind === Kind.MARKER_WITH_PORTS);
        if (this.#marks.isAwaiting) receiver.pause();
        return false;
      default:
        this.#fail();
        return false;
    }
  }

  /** Before Node disconnects the channel. False when what was sent must have its way first. */
  #mayDisconnect() {
    if (this.#isClosed) return true;
    // What has not come by now does not come any more.
    this.#marks.giveUp();
    this.#catchUp(deliverLater);
    if (this.#isClosed) return true;
    if (this.#sender.isSpilling && !this.#isPostponed && !this.#isAlone) {
      this.#isPostponed = true;
      return false;
    }
    this.#close();
    return true;
  }

  #disconnectNow() {
    this.#isPostponed = true;
    this.#target._disconnect();
    this.#isPostponed = false;
  }

  #close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#isSending = false;
    this.#isReceiving = false;
    this.#receiver.close();
    this.#sender.close();
    this.#marks.close();
    this.#letGo();
    for (const { callback } of this.#waiting.splice(0)) process.nextTick(callback, makeWriteError());
  }

  /**
   * The other side has written what cannot be.
   * @param {any} [error]
   */
  #fail(error = makeError('ERR_MANYCORE_LINK_CORRUPT', [])) {
    if (this.#isClosed) return;
    this.#close();
    if (this.#target.connected) this.#target.disconnect();
    this.#options.report(error);
  }
}

/**
 * Calls back before Node handles the end of a channel.
 * @param {any} target
 * @param {() => void} callback
 */
function onEnd(target, callback) {
  const key = Object.getOwnPropertySymbols(target).find(
    ({ description }) => description === 'kChannelHandle',
  );
  const channel = key === undefined ? undefined : target[key];
  const read = channel?.onread;
  // Elsewhere, a disconnect waits for nothing.
  if (typeof read !== 'function') return callback();
  channel.onread = function onread(/** @type {ArrayBuffer | undefined} */ arrayBuffer) {
    if (!arrayBuffer) callback();
    return read.call(this, arrayBuffer);
  };
}

/** @param {any} message */
function isValue(message) {
  const type = typeof message;
  return type === 'object' || type === 'string' || type === 'number' || type === 'boolean';
}

/** @param {any} options as `_send` is given them */
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
    process.nextTick(() => {
      throw error;
    });
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

module.exports.Ipc = Ipc;
