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
const { Kind } = require('../link/layout');
const { reviveAll } = require('../link/travellers');
const { runTicks, tick } = require('../threads/node-internals');
const { makeError } = require('../core/errors');
const { Channel, deliver, deliverLater, deliverNow } = require('./ipc-channel');
const { inFreshContext } = require('./ipc-context');
const { Marks } = require('./ipc-marks');
const { COMMAND, isInternalAtHand } = require('./ipc-messages');
const { Outbox } = require('./ipc-outbox');

/** Messages delivered before the event loop has its turn. */
const MESSAGES_PER_DRAIN = runTicks === undefined ? 1 : 1000;
/** More records than a ring holds: so many are read at most to catch up with what was sent before. */
const MAX_CATCH_UP = 1 << 20;

/**
 * @typedef {object} Options
 * @property {typeof import('../native/index')} addon
 * @property {import('../native/index').ProcessLink} link
 * @property {any} target `process`, or the worker's ChildProcess in the primary
 * @property {import('./ipc-formats').Format} format
 * @property {boolean} isWorker
 * @property {(error: Error) => void} report told when the other side broke the link
 * @property {() => void} onClose told when the link ends, before the channel is disconnected
 */

class Ipc {
  #options;
  #target;
  #channel;
  #outbox;
  #receiver;
  /** Handles a record where nothing is left of what a listener entered before. @type {() => boolean} */
  #handleInContext;
  #format;
  #marks = new Marks();
  /** Messages are sent by the lane. */
  #isSending = false;
  /** The other side sends by its lane. */
  #isReceiving = false;
  #isClosed = false;
  /** A disconnect waits for what has no room yet. */
  #isPostponed = false;
  /** The other side has closed the channel, or has ended. */
  #isAlone = false;
  /** Large buffers are lent to the listeners of a message, not given. */
  #lendsLarge = false;
  /** A message of the lane is at its listeners. */
  #isDelivering = false;
  /** The value of the next record is what `format.serialize` made. */
  #isSerialized = false;

  /** @param {Options} options */
  constructor(options) {
    const { link, target, format } = options;
    this.#options = options;
    this.#target = target;
    this.#format = format;
    this.#channel = new Channel(target);
    const bell = link.takeReceiver();
    this.#outbox = new Outbox({
      end: link.takeSender(),
      bell,
      format,
      control: target.channel,
      onFlushed: () => {
        if (this.#isPostponed) this.#disconnectNow();
      },
      onCorrupt: () => this.fail(),
    });
    this.#receiver = new LaneReceiver(bell);
    link.close();
    this.#handleInContext = inFreshContext(() => this.#handle(deliver));
    this.#receiver.listen(() => this.#drain());
    this.#hook();
    if (options.isWorker) this.#announce();
  }

  #hook() {
    this.#channel.hook({
      isSending: () => this.#isSending,
      post: (message, callback) => this.#post(message, callback),
      postWithHandle: (message, handle, options, callback) =>
        this.#postWithHandle(message, handle, options, callback),
      isPostponed: () => this.#isPostponed,
      disconnect: () => this.#disconnectNow(),
      mayDisconnect: () => this.#mayDisconnect(),
      onInternal: (message, handle) => {
        if (message?.cmd === COMMAND) this.#onCommand(message, handle);
        // What was sent before a message of the cluster's comes before it; by the lane, it comes in its turn.
        else if (message?.cmd === 'NODE_CLUSTER' && !this.#isDelivering) this.#catchUp(deliverNow);
      },
    });
    this.#channel.onEnd(
      () => {
        this.#isAlone = true;
      },
      // Node closes the channel without a word while a handle waits to be acknowledged.
      () => void this.#mayDisconnect(),
    );
    // The process has ended, and all it has sent is here.
    if (!this.#options.isWorker) this.#target.prependOnceListener('exit', () => this.#catchUp(deliverNow));
  }

  /** Says that this side sends by its lane from here on. */
  #announce() {
    if (!this.#target.connected) return;
    this.#channel.command({ open: true });
    this.#isSending = true;
  }

  /**
   * @param {any} message
   * @param {any} callback
   */
  #post(message, callback) {
    if (isInternalAtHand(message)) return this.#postOnChannel(message, callback);
    return this.#outbox.post(message, callback);
  }

  /**
   * A message of Node's own, and a mark behind it.
   * @param {any} message
   * @param {any} callback
   */
  #postOnChannel(message, callback) {
    const result = this.#channel.send(message, null, {}, callback);
    this.#channel.command({ mark: this.#marks.next() });
    this.#outbox.sendMarker(Kind.MARKER);
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
      const result = this.#channel.send(message, handle, options, callback);
      this.#channel.command({ mark: this.#marks.next() });
      this.#outbox.sendMarker(Kind.MARKER);
      return result;
    }
    // Throws for what cannot be serialized, before anything has been sent.
    const serialized = this.#format.serialize(message);
    const mark = this.#marks.next();
    let result;
    try {
      const done = (/** @type {Error | null} */ error) => this.#onHandleSent(mark, error, options, callback);
      result = this.#channel.send({ cmd: COMMAND, mark }, handle, { ...options, swallowErrors: false }, done);
    } catch (error) {
      // Not a handle, or not one that can be sent.
      this.#marks.takeBack();
      throw error;
    }
    this.#outbox.sendMarker(Kind.MARKER_WITH_PORTS);
    this.#outbox.sendSerialized(serialized);
    return this.#outbox.isSpilling ? this.#outbox.awaitRoom(undefined) && result : result;
  }

  /**
   * @param {number} mark
   * @param {Error | null} error
   * @param {any} options
   * @param {any} callback
   */
  #onHandleSent(mark, error, options, callback) {
    if (error !== null && this.#target.channel) this.#channel.command({ lost: mark });
    if (typeof callback === 'function') callback(error);
    else if (error !== null && !options?.swallowErrors) this.#target.emit('error', error);
  }

  /**
   * @param {any} command from the other side's Ipc
   * @param {any} handle
   */
  #onCommand(command, handle) {
    if (this.#isClosed) return;
    if (command.absent === true) {
      this.#options.onClose();
    } else if (command.open === true && !this.#isReceiving) {
      this.#isReceiving = true;
      this.#channel.endEarly();
      if (!this.#options.isWorker) this.#announce();
      this.#receiver.resume();
    } else if (this.#marks.arrive(command, handle)) {
      this.#receiver.resume();
    }
  }

  #drain() {
    let budget = MESSAGES_PER_DRAIN;
    let isEmpty = true;
    const receiver = this.#receiver;
    try {
      for (;;) {
        // What comes serialized is made into other objects, which keep parts of it.
        receiver.lendsLarge = this.#lendsLarge && !this.#isSerialized;
        const isThere = this.#next();
        receiver.lendsLarge = false;
        if (isThere) {
          isEmpty = false;
          const isMessage = this.#handleInContext();
          receiver.endViews();
          if (isMessage && (--budget === 0 || !this.#tick())) break;
        } else if (isEmpty || this.#marks.isAwaiting || !receiver.glance()) {
          break;
        }
      }
      if (isEmpty) this.#verify();
    } finally {
      receiver.endViews();
      receiver.release();
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

  /** Does for a caller who blocks this thread what the event loop does not come to. */
  assist() {
    this.#outbox.assist();
  }

  /**
   * How this side receives. False when the link has ended.
   * @param {import('../link/settings').LinkSettings} settings
   */
  configure({ latency, views, highWaterMarkBytes }) {
    if (this.#isClosed) return false;
    if (highWaterMarkBytes !== undefined) this.#outbox.setHighWaterMark(highWaterMarkBytes);
    if (latency !== undefined) this.#receiver.setLatency(latency);
    if (views !== undefined) this.#lendsLarge = views;
    return true;
  }

  /** Bytes that have been sent and not been received yet, by the lane. */
  get bufferedAmount() {
    return this.#isClosed ? 0 : this.#outbox.bufferedAmount;
  }

  /** Whether `send()` returns false. */
  get needsDrain() {
    return !this.#isClosed && this.#outbox.needsDrain;
  }

  /** Fulfilled when it does not any more; with false when the link has ended. */
  async drained() {
    return !this.#isClosed && this.#outbox.drained();
  }

  /** Reads a record. False when there is none, or the one at the front waits for its mark. */
  #next() {
    if (this.#marks.isAwaiting) return false;
    try {
      return this.#receiver.next();
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  /** Called without there being a record: unless a mark is awaited, that must not go on. */
  #verify() {
    if (this.#marks.isAwaiting || this.#isClosed) return;
    try {
      this.#receiver.verify();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Runs ticks and microtasks between two messages, see `lib/threads/channel`. */
  #tick() {
    return runTicks === undefined || tick(this.#options.addon.reportUncaught);
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
            value = reviveAll(this.#format.deserialize(value));
          } catch {
            this.fail();
            return false;
          }
        }
        const { handle, isLost } = this.#marks.takeHandle();
        if (isLost) return true;
        const isWithin = this.#isDelivering;
        this.#isDelivering = true;
        try {
          deliverBy(this.#target, value, handle);
        } finally {
          this.#isDelivering = isWithin;
        }
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
        this.fail();
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
    if (this.#outbox.isSpilling && !this.#isPostponed && !this.#isAlone) {
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
    this.#outbox.close();
    this.#marks.close();
    this.#options.onClose();
  }

  /**
   * The other side has written what cannot be.
   * @param {any} [error]
   */
  fail(error = makeError('ERR_MANYCORE_LINK_CORRUPT', [])) {
    if (this.#isClosed) return;
    this.#close();
    if (this.#target.connected) this.#target.disconnect();
    this.#options.report(error);
  }
}

module.exports.Ipc = Ipc;
