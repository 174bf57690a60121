'use strict';

/**
 * One side of the messages between a cluster's primary and a worker: two lanes in shared memory, with Node's own
 * channel beside them.
 *
 * A worker with lanes announces on the channel that it uses its lane from then on, and the primary answers with the
 * same. Before that, and with a worker that never does so, only the channel is used. Afterwards, values are sent
 * through the lane, in call order. What only the channel can carry still goes there: handles, and the internal
 * messages of Node's cluster. A numbered mark is sent with or after each of those, and a marker in the lane holds
 * its place: the n-th marker stands for mark n.
 *
 * The channel continues to detect whether the other side is there, to keep this process alive, and to be
 * disconnected.
 */

const { LaneReceiver, MOST_BULK } = require('../link/lane-receiver');
const { Kind } = require('../link/layout');
const { reviveAll } = require('../link/travellers');
const { runTicks, tick } = require('../threads/ticks');
const { makeError } = require('../core/errors');
const { Channel, deliver, deliverLater, deliverNow } = require('./ipc-channel');
const { inFreshContext } = require('./ipc-context');
const { Marks } = require('./ipc-marks');
const { COMMAND, ignoringErrors, isInternalAtHand } = require('./ipc-messages');
const { Outbox } = require('./ipc-outbox');

/** Maximum number of records handled before returning to the event loop. */
const RECORDS_PER_DRAIN = runTicks === undefined ? 1 : 1000;
/** Maximum number of records read to catch up with what was sent earlier; more than a ring holds. */
const MAX_CATCH_UP = 1 << 20;

/**
 * @typedef {object} Options
 * @property {typeof import('../native/index')} addon
 * @property {import('../native/index').ProcessLink} link
 * @property {any} target `process`, or the worker's ChildProcess in the primary
 * @property {import('./ipc-formats').Format} format
 * @property {boolean} isWorker
 * @property {(error: Error) => void} report called when the other side has corrupted the link
 * @property {() => void} onClose called when the link ends, before the channel is disconnected
 */

class Ipc {
  #options;
  #target;
  #channel;
  #outbox;
  #receiver;
  /** Handles a record in a context without anything entered by earlier listeners. @type {() => boolean} */
  #handleInContext;
  #format;
  #marks = new Marks();
  /** Whether messages are sent through the lane. */
  #isSending = false;
  /** Whether the other side sends through its lane. */
  #isReceiving = false;
  #isClosed = false;
  /** Whether a disconnect waits for records that have no room yet. */
  #isPostponed = false;
  /** Whether the other side has closed the channel or has ended. */
  #isAlone = false;
  /** Large buffers are lent to message listeners instead of copied. */
  #lendsLarge = false;
  /** Whether a message from the lane is being delivered. */
  #isDelivering = false;
  /** Whether the value of the next record was produced by `format.serialize`. */
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
        if (this.#isPostponed && !this.#outbox.isEncoding) this.#disconnectNow();
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
        // Messages sent before a cluster message are delivered before it; from the lane, it is delivered in order
        // anyway.
        else if (message?.cmd === 'NODE_CLUSTER' && !this.#isDelivering) this.#catchUp(deliverNow);
      },
    });
    this.#channel.onEnd(
      () => {
        this.#isAlone = true;
      },
      // If the channel was disconnected before.
      () => void this.#mayDisconnect(),
    );
    // The process has ended, so everything it sent has arrived.
    if (!this.#options.isWorker) this.#target.prependOnceListener('exit', () => this.#catchUp(deliverNow));
  }

  /** Announces that this side sends through its lane from now on. */
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
   * Posts an internal message of Node, followed by a mark.
   * @param {any} message
   * @param {any} callback
   */
  #postOnChannel(message, callback) {
    const result = this.#channel.send(message, null, {}, ignoringErrors(message, callback));
    this.#channel.command({ mark: this.#marks.next() });
    this.#outbox.sendMarker(Kind.MARKER);
    return result;
  }

  /**
   * Posts a handle on the channel and its message through the lane.
   * @param {any} message
   * @param {any} handle
   * @param {any} options
   * @param {any} callback
   */
  #postWithHandle(message, handle, options, callback) {
    if (isInternalAtHand(message)) {
      const result = this.#channel.send(message, handle, options, ignoringErrors(message, callback));
      this.#channel.command({ mark: this.#marks.next() });
      this.#outbox.sendMarker(Kind.MARKER);
      return result;
    }
    // Throws if the message cannot be serialized, before anything is sent.
    const serialized = this.#format.serialize(message);
    const mark = this.#marks.next();
    let result;
    try {
      const done = (/** @type {Error | null} */ error) => this.#onHandleSent(mark, error, options, callback);
      result = this.#channel.send({ cmd: COMMAND, mark }, handle, { ...options, swallowErrors: false }, done);
    } catch (error) {
      // Not a handle, or one that cannot be sent.
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
    else if (error !== null && !options?.swallowErrors && !this.#isAlone) this.#target.emit('error', error);
  }

  /**
   * @param {any} command a command from the `Ipc` of the other side
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
    let budget = RECORDS_PER_DRAIN;
    let isEmpty = true;
    const receiver = this.#receiver;
    receiver.bulk = 0;
    try {
      for (;;) {
        // Serialized values are decoded into other objects, which may retain parts of the buffer.
        receiver.lendsLarge = this.#lendsLarge && !this.#isSerialized;
        const isThere = this.#next();
        receiver.lendsLarge = false;
        if (isThere) {
          isEmpty = false;
          const isMessage = this.#handleInContext();
          receiver.endViews();
          // Not only of messages: another process could send other records without end.
          if (--budget === 0 || (isMessage && !this.#tick()) || receiver.bulk > MOST_BULK) break;
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
   * Reads all available records, even if a listener throws.
   * @param {(target: any, message: any, handle: any) => void} deliverBy
   */
  #catchUp(deliverBy) {
    if (!this.#isReceiving || this.#isClosed) return;
    for (let budget = MAX_CATCH_UP; budget > 0 && this.#next(); budget--) this.#handle(deliverBy);
    this.#receiver.release();
  }

  /** Called while a caller blocks the event loop. */
  assist() {
    this.#outbox.assist();
  }

  /**
   * Applies link settings. Returns false if the link has ended.
   * @param {import('../link/settings').LinkSettings} settings
   */
  configure({ latency, views, highWaterMarkBytes }) {
    if (this.#isClosed) return false;
    if (highWaterMarkBytes !== undefined) this.#outbox.setHighWaterMark(highWaterMarkBytes);
    if (latency !== undefined) this.#receiver.setLatency(latency);
    if (views !== undefined) this.#lendsLarge = views;
    return true;
  }

  /**
   * Allocates a buffer that is sent without being copied; undefined if that is not possible.
   * @param {number} length
   */
  allocate(length) {
    return this.#isSending && this.#format.passesBuffers ? this.#outbox.allocate(length) : undefined;
  }

  /** Bytes sent through the lane that have not been received yet. */
  get bufferedAmount() {
    return this.#isClosed ? 0 : this.#outbox.bufferedAmount;
  }

  /** Whether `send()` returns false at present. */
  get needsDrain() {
    return !this.#isClosed && this.#outbox.needsDrain;
  }

  /** Resolves when it no longer does; to false if the link has ended. */
  async drained() {
    return !this.#isClosed && this.#outbox.drained();
  }

  /** Reads a record. Returns false if there is none, or if the lane is waiting for a mark. */
  #next() {
    if (this.#marks.isAwaiting) return false;
    try {
      return this.#receiver.next();
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  /**
   * Called if the receiver was woken without a record. Unless a mark is awaited, the other side must not be able to
   * keep doing that.
   */
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
   * Handles the record that was just read. Returns true if it was a message.
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

  /** Called before Node disconnects the channel. Returns false if it must wait until everything has been sent. */
  #mayDisconnect() {
    if (this.#isClosed) return true;
    // What has not arrived by now will not arrive.
    this.#marks.giveUp();
    this.#catchUp(deliverLater);
    if (this.#isClosed) return true;
    if (this.#outbox.isSpilling && !this.#isPostponed && !this.#isAlone) {
      this.#isPostponed = true;
      return false;
    }
    if (this.#outbox.isEncoding) {
      // By a getter of a message, which is still sent, as by Node: the channel is closed in the next tick.
      this.#outbox.onceSent(() => this.#close());
      return true;
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
   * The other side has written invalid data.
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
