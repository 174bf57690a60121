'use strict';

/**
 * One side of the channel between a worker and its parent: two lanes, with Node's own port beside them.
 *
 * A side announces on the port that it starts to use its lane. Messages posted on the port before that precede
 * those of the lane; for each message posted on the port after it, a marker record in the lane holds its place in
 * the order. The worker starts, after enough messages (`preload.js`); only then are lanes created. The parent does
 * not use its lane until the worker has a listener; until then, and in a worker that never starts, the port is used
 * alone and can still be transferred.
 */

const { Encoder } = require('../link/encoder');
const { Kind } = require('../link/layout');
const { LaneReceiver, MOST_BULK } = require('../link/lane-receiver');
const { LaneSender } = require('../link/lane-sender');
const { STORE_BYTES } = require('../link/layout');
const { BESIDE_LENGTH, LARGE_LENGTH } = require('../link/tags');
const { revive } = require('../link/travellers');
const { Backlog } = require('./backlog');
const relay = require('./broadcast-relay');
const { portsIn } = require('./call-transport');
const { inContextOfNow, keepsContextInFrames, runTicks, tick } = require('./ticks');
const { ALONE, nodes } = require('./preload');
const { receiveFromNode } = require('./receive');

const { MessagePort } = nodes;

/** As many messages as Node delivers from a port before it returns to the event loop. */
const MESSAGES_PER_DRAIN = runTicks === undefined ? 1 : 1000;

/** First element of a message that belongs to a request or response: `[token, kind, id, value]`. */
const BESIDE = 'manycore:beside:0b6f6c1e-9d5c-4b57-8a52-7a2f1f3f9f0a';

/** A message posted only to learn from the result whether the other side still exists. */
const PROBE = ['manycore:probe'];

/**
 * Room for bursts, including strings of the largest size that goes into the ring; memory is committed as it is
 * used.
 */
const LANE_BYTES = 4 * 1024 * 1024;

/**
 * @typedef {object} PortMessage a message received on Node's port
 * @property {any} data
 * @property {'message' | 'messageerror'} type
 * @property {any} ports
 */

/**
 * @typedef {object} Side the part that differs between worker and parent
 * @property {any} port
 * @property {(args: ArrayLike<any>) => void} postOnPort
 * @property {(value: any) => void} deliver
 * @property {(message: PortMessage) => void} deliverFromPort
 * @property {boolean} needsPorts whether a message with ports must be delivered by Node, so that its event has them
 */

class Channel {
  #reportUncaught;
  #handleInContext;
  #side;
  #point;
  #token;
  /** This and the next two are unset until there are lanes. @type {import('../native/index').CallEnd | undefined} */
  #end;
  /** @type {LaneSender} */
  #sender = /** @type {any} */ (undefined);
  /** @type {LaneReceiver} */
  #receiver = /** @type {any} */ (undefined);
  #backlog;
  /** Latency set before there was a receiver. @type {number | undefined} */
  #latency;
  #isInvited = false;
  #sendsByLane = false;
  /** The peer has started to use its lane. */
  #isOpen = false;
  #isStarted;
  /** The marker at the front of the lane waits for its message on the port. */
  #isAwaiting = false;
  /** Nothing more will come through the lane. */
  #isOver = false;
  /** Large buffers are lent to message listeners instead of copied. */
  #lendsLarge = false;
  /** Messages received on the port whose markers have not been read yet. @type {PortMessage[]} */
  #held = [];
  /** Messages taken off the port before their turn. @type {PortMessage[]} */
  #early = [];
  #isFlushing = false;
  /** Values that belong to requests and responses, by kind and id. @type {Map<string, any>} */
  #beside = new Map();

  /**
   * @param {typeof import('../native/index')} addon
   * @param {import('../native/index').CallPoint} point where the lanes' ends meet
   * @param {string} token posted on the port by a side that starts to use its lane
   * @param {Side} side
   * @param {boolean} isStarted whether messages are delivered
   * @param {number} fewMessages number of messages that may go through the port before the other side should have
   * started to use its lane
   */
  constructor(addon, point, token, side, isStarted, fewMessages) {
    this.#reportUncaught = addon.reportUncaught;
    const handle = () => this.#handle();
    this.#handleInContext = keepsContextInFrames ? inContextOfNow(handle) : handle;
    this.#side = side;
    this.#point = point;
    this.#token = token;
    this.#isStarted = isStarted;
    this.#backlog = new Backlog(fewMessages);
  }

  /** Creates the lanes, or opens this side's ends if the other side has created them. */
  #takeEnds() {
    if (this.#end !== undefined) return;
    const end = this.#point.open(LANE_BYTES, STORE_BYTES);
    this.#sender = new LaneSender(end.sender(), new Encoder(LARGE_LENGTH, BESIDE_LENGTH));
    this.#receiver = new LaneReceiver(end.receiver());
    this.#receiver.listen(() => this.#drain());
    if (this.#latency !== undefined) this.#receiver.setLatency(this.#latency);
    this.#end = end;
  }

  /**
   * Posts a message without a transfer list. Returns false if this side does not use its lane yet: use
   * `postWithArguments`.
   * @param {any} value
   */
  post(value) {
    if (!this.#sendsByLane) return false;
    if (!this.#sender.send(value)) {
      // Throws if the value cannot be cloned; no marker is written then.
      this.#side.postOnPort([this.#sender.substituteFor(value)]);
      this.#sender.sendBare(Kind.MARKER);
    }
    return true;
  }

  /**
   * Posts a message with the arguments of `postMessage`.
   * @param {ArrayLike<any>} args
   */
  postWithArguments(args) {
    if (args.length === 2 && isEmptyTransfer(args[1]) && this.post(args[0])) return;
    this.#side.postOnPort(args);
    if (this.#sendsByLane) this.#sender.sendBare(Kind.MARKER_WITH_PORTS);
    else this.#backlog.notePosted();
  }

  /** Bytes posted to the lane that have not been received yet. */
  get bufferedAmount() {
    return this.#backlog.bufferedAmount;
  }

  /** Whether the backlog is so large that the program should pause. */
  get needsDrain() {
    return this.#backlog.needsDrain;
  }

  /** Resolves when the program may resume; to false if nothing is received any more. */
  drained() {
    return this.#backlog.drained();
  }

  /**
   * Applies link settings. Returns false if the link has ended.
   * @param {import('../link/settings').LinkSettings} settings
   */
  configure({ latency, views, highWaterMarkBytes }) {
    if (this.#isOver) return false;
    if (latency !== undefined) {
      this.#latency = latency;
      if (this.#end !== undefined) this.#receiver.setLatency(latency);
    }
    if (views !== undefined) this.#lendsLarge = views;
    if (highWaterMarkBytes !== undefined) this.#backlog.setHighWaterMark(highWaterMarkBytes);
    return true;
  }

  /**
   * Allocates a buffer that `post` passes on without copying it; undefined if that is not possible.
   * @param {number} length
   */
  allocate(length) {
    return this.#sendsByLane ? this.#sender.allocate(length) : undefined;
  }

  /** Starts to use the lane, if it can be created. */
  sendByLane() {
    if (this.#sendsByLane || this.#isOver) return;
    try {
      this.#takeEnds();
    } catch {
      // No file descriptors or memory left for lanes: continue on Node's port alone.
      this.#backlog.close();
      this.#side.postOnPort([[ALONE]]);
      return;
    }
    this.#side.postOnPort([this.#token]);
    this.#sendsByLane = true;
    this.#backlog.useLane(this.#sender, this.#receiver);
  }

  /** Lets the peer use its lane. Has no effect on a side that does not use its own. */
  invite() {
    if (this.#isInvited || !this.#sendsByLane) return;
    this.#isInvited = true;
    this.#sender.sendBare(Kind.READY);
  }

  /** Starts or stops delivery. */
  setStarted(/** @type {boolean} */ on) {
    if (this.#isStarted === on) return;
    this.#isStarted = on;
    this.#update();
    this.#flushSoon();
  }

  /**
   * Handles a message that Node delivers on the port.
   * @param {PortMessage} message
   */
  receiveFromPort(message) {
    message.data = revive(message.data);
    if (this.takeAside(message.data)) return;
    if (this.#early.length === 0) return this.#receiveInTurn(message);
    this.#early.push(message);
    this.#flushSoon();
  }

  /** @param {PortMessage} message */
  #receiveInTurn(message) {
    if (!this.#isOpen && message.data === this.#token) return this.#open();
    if (!this.#isOpen || this.#isOver) return this.#side.deliverFromPort(message);
    this.#held.push(message);
    if (!this.#isAwaiting) return;
    this.#isAwaiting = false;
    this.#side.deliverFromPort(/** @type {PortMessage} */ (this.#held.shift()));
    this.#update();
  }

  /**
   * Returns the next message, whether or not there is a listener; undefined if there is none.
   * @returns {{ message: any } | undefined}
   */
  receiveNow() {
    while (!this.#isOpen) {
      const message = this.#receiveOnPort();
      if (message === undefined || message.message !== this.#token) return message;
      this.#open();
    }
    try {
      while (this.#receiver.next()) {
        const message = this.#takeNow();
        if (message !== undefined) return message;
      }
    } finally {
      this.#receiver.release();
    }
    return this.#isOver ? this.#takeFromPort() : undefined;
  }

  /** The peer has ended: delivers everything that has arrived, then leaves the port to Node. */
  finish() {
    if (this.#isOver) return;
    this.#sendsByLane = false;
    for (;;) {
      const message = this.#isOpen ? undefined : this.#receiveOnPort();
      if (message === undefined) break;
      if (message.message === this.#token) this.#open();
      else this.#side.deliver(message.message);
    }
    if (this.#isOpen) {
      this.#isAwaiting = false;
      while (this.#receiver.next()) this.#handle();
    }
    relay.forget(this);
    this.close();
    for (const message of this.#held.splice(0)) this.#side.deliverFromPort(message);
  }

  /** Closes both lanes. The peer can still read what this side posted; what the peer posted is dropped. */
  close() {
    if (this.#isOver) return;
    this.#isOver = true;
    const sent = this.#sendsByLane;
    this.#sendsByLane = false;
    // By a getter of a message, which is still sent, as by Node.
    if (sent && this.#sender.isEncoding) process.nextTick(() => this.#sendEnd(true));
    else this.#sendEnd(sent);
  }

  /** @param {boolean} sent whether this side has used its lane */
  #sendEnd(sent) {
    if (sent) this.#sender.sendBare(Kind.END);
    this.#letGo();
  }

  #letGo() {
    this.#backlog.close();
    this.#point.close();
    if (this.#end === undefined) return;
    this.#receiver.close();
    this.#sender.close();
    this.#end.close();
  }

  #open() {
    if (this.#isOver) return;
    this.#takeEnds();
    this.#isOpen = true;
    this.#update();
  }

  /** Tells native code whether to call `#drain`. */
  #update() {
    if (this.#end === undefined) return;
    if (this.#isOpen && this.#isStarted && !this.#isAwaiting) this.#receiver.resume();
    else this.#receiver.pause();
  }

  #drain() {
    let budget = MESSAGES_PER_DRAIN;
    const receiver = this.#receiver;
    receiver.bulk = 0;
    try {
      // State is read again for each record: a listener may change it.
      while (this.#isStarted && !this.#isAwaiting) {
        receiver.lendsLarge = this.#lendsLarge;
        if (!receiver.next()) {
          if (receiver.glance()) continue;
          break;
        }
        this.#handleInContext();
        if (receiver.lendsLarge) receiver.endViews();
        if (--budget === 0 || !this.#tick() || receiver.bulk > MOST_BULK) break;
      }
    } finally {
      receiver.endViews();
      receiver.lendsLarge = false;
      receiver.release();
    }
  }

  /** Runs ticks and microtasks between two messages. Returns false if one threw; the error has been reported. */
  #tick() {
    return runTicks === undefined || tick(this.#reportUncaught);
  }

  /** Handles the record that was just read. */
  #handle() {
    const receiver = this.#receiver;
    switch (receiver.kind) {
      case Kind.VALUE: {
        const { value } = receiver;
        receiver.value = undefined;
        return this.#side.deliver(value);
      }
      case Kind.MARKER:
      case Kind.MARKER_WITH_PORTS:
        return this.#deliverMarked(receiver.kind === Kind.MARKER_WITH_PORTS && this.#side.needsPorts);
      default:
        this.#control(receiver.kind);
    }
  }

  /** @param {boolean} byNode */
  #deliverMarked(byNode) {
    const held = this.#held.shift();
    if (held !== undefined) return this.#side.deliverFromPort(held);
    if (byNode) {
      // The message is still on its way; its arrival on the port resumes the lane.
      this.#isAwaiting = true;
      this.#update();
      return;
    }
    let message;
    try {
      message = this.#receiveOnPort();
    } catch (error) {
      return this.#side.deliverFromPort({ data: error, type: 'messageerror', ports: undefined });
    }
    if (message !== undefined) this.#side.deliver(message.message);
  }

  /** Returns the message of the record that was just read, if it is one. */
  #takeNow() {
    const { kind, value } = this.#receiver;
    if (kind === Kind.VALUE) {
      this.#receiver.value = undefined;
      return { message: value };
    }
    if (kind === Kind.MARKER || kind === Kind.MARKER_WITH_PORTS) return this.#takeFromPort();
    this.#control(kind);
    return undefined;
  }

  #takeFromPort() {
    const held = this.#held.shift();
    return held === undefined ? this.#receiveOnPort() : { message: held.data };
  }

  /** Returns the next message on the port that is for the program. */
  #receiveOnPort() {
    const early = this.#early.shift();
    if (early !== undefined) return { message: early.data };
    for (;;) {
      const message = receiveFromNode(this.#side.port);
      if (message === undefined || !this.takeAside(message.message)) return message;
    }
  }

  /**
   * Posts a value of a request or response that only the port can carry.
   * @param {[kind: number, id: number, value: any]} entry
   * @param {any[]} transferList
   */
  postBeside(entry, transferList) {
    this.#side.postOnPort([[BESIDE, ...entry], transferList]);
  }

  /**
   * Returns the value posted by `postBeside`, which has arrived on the port by now. Messages before it keep their
   * place.
   * @param {number} kind
   * @param {number} id
   */
  takeBeside(kind, id) {
    const key = `${kind}:${id}`;
    while (!this.#beside.has(key)) {
      const message = receiveFromNode(this.#side.port);
      if (message === undefined) return undefined;
      const data = message.message;
      if (this.takeAside(data)) continue;
      /** @type {PortMessage} */
      const early = { data, type: 'message', ports: portsIn(data) };
      if (this.#early.length === 0 && (this.#isOpen || data === this.#token)) this.#receiveInTurn(early);
      else this.#early.push(early);
    }
    const value = this.#beside.get(key);
    this.#beside.delete(key);
    this.#flushSoon();
    return value;
  }

  /** Whether the other side's port is open; it closes when its thread ends. */
  isPeerThere() {
    // Node's result, which is not documented.
    return Boolean(Reflect.apply(MessagePort.prototype.postMessage, this.#side.port, [PROBE]));
  }

  /**
   * Handles messages on the port that are not for the program. Returns whether it was one.
   * @param {any} data
   */
  takeAside(data) {
    if (!Array.isArray(data)) return false;
    if (data[0] === relay.BROADCAST) {
      relay.receive(this, data.slice(1));
      return true;
    }
    if (data[0] === PROBE[0]) return true;
    if (data[0] === ALONE) {
      this.#backlog.close();
      return true;
    }
    if (data[0] !== BESIDE) return false;
    const [, kind, id, value] = data;
    this.#beside.set(`${kind}:${id}`, revive(value));
    return true;
  }

  /** Delivers messages that were taken off the port early, one per event loop turn as the port would have. */
  #flushSoon() {
    if (this.#early.length === 0 || !this.#isStarted || this.#isFlushing) return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      const message = this.#isStarted ? this.#early.shift() : undefined;
      this.#flushSoon();
      if (message !== undefined) this.#receiveInTurn(message);
    });
  }

  /** @param {number} kind kind of a record that is not a message */
  #control(kind) {
    if (kind === Kind.READY) {
      this.sendByLane();
    } else if (kind === Kind.END) {
      this.#isOver = true;
      this.#sendsByLane = false;
      this.#letGo();
      for (const message of this.#held.splice(0)) this.#side.deliverFromPort(message);
    }
  }
}

/** @param {any} transfer */
function isEmptyTransfer(transfer) {
  return transfer === undefined || transfer === null || (Array.isArray(transfer) && transfer.length === 0);
}

module.exports.Channel = Channel;
