'use strict';

/**
 * One side of the channel between a worker and its parent: two lanes, and Node's own port beside them.
 *
 * A side that starts to use its lane says so on the port: what was posted there before belongs before the lane,
 * what is posted there after has its place in the order marked by a record in the lane. The worker begins, when
 * there have been enough messages (`preload.js`); only then are lanes made. The parent waits with its lane until
 * somebody in the worker listens; until then, and in a worker that never begins, the port serves alone and can
 * be passed on as ever.
 */

const { Encoder } = require('../link/encoder');
const { Kind } = require('../link/layout');
const { LaneReceiver } = require('../link/lane-receiver');
const { LaneSender } = require('../link/lane-sender');
const { BESIDE_LENGTH, LARGE_LENGTH } = require('../link/tags');
const { revive } = require('../link/travellers');
const { Backlog } = require('./backlog');
const relay = require('./broadcast-relay');
const { portsIn } = require('./call-transport');
const { inContextOfNow, keepsContextInFrames, runTicks, tick } = require('./node-internals');
const { ALONE, nodes } = require('./preload');
const { receiveFromNode } = require('./receive');

const { MessagePort } = nodes;

/** As many messages as Node's ports deliver before the event loop has its turn. */
const MESSAGES_PER_DRAIN = runTicks === undefined ? 1 : 1000;

/** Begins a message that belongs to a request or an answer: `[token, kind, id, value]`. */
const BESIDE = 'manycore:beside:0b6f6c1e-9d5c-4b57-8a52-7a2f1f3f9f0a';

/** A message that is nothing but posted: Node tells whether there was anybody to take it. */
const PROBE = ['manycore:probe'];

/** Room for bursts, of texts as large as go into the ring, too; memory is taken as it is used. */
const LANE_BYTES = 4 * 1024 * 1024;

/**
 * @typedef {object} PortMessage what came on Node's port
 * @property {any} data
 * @property {'message' | 'messageerror'} type
 * @property {any} ports
 */

/**
 * @typedef {object} Side what differs between worker and parent
 * @property {any} port
 * @property {(args: ArrayLike<any>) => void} postOnPort
 * @property {(value: any) => void} deliver
 * @property {(message: PortMessage) => void} deliverFromPort
 * @property {boolean} needsPorts whether a message with ports must be delivered by Node, for its event's sake
 */

class Channel {
  #reportUncaught;
  #handleInContext;
  #side;
  #point;
  #token;
  /** None of these three before there are lanes. @type {import('../native/index').CallEnd | undefined} */
  #end;
  /** @type {LaneSender} */
  #sender = /** @type {any} */ (undefined);
  /** @type {LaneReceiver} */
  #receiver = /** @type {any} */ (undefined);
  #backlog;
  /** Chosen before there was a receiver. @type {number | undefined} */
  #latency;
  #isInvited = false;
  #sendsByLane = false;
  /** The peer has started to use its lane. */
  #isOpen = false;
  #isStarted;
  /** The marker at the front of the lane waits for its message. */
  #isAwaiting = false;
  /** Nothing more comes by the lane. */
  #isOver = false;
  /** Large buffers are lent to the listeners of a message, not given. */
  #lendsLarge = false;
  /** Messages of the port whose markers have not been read yet. @type {PortMessage[]} */
  #held = [];
  /** What has been taken off the port before its turn. @type {PortMessage[]} */
  #early = [];
  #isFlushing = false;
  /** What belongs to requests and answers, by kind and id. @type {Map<string, any>} */
  #beside = new Map();

  /**
   * @param {typeof import('../native/index')} addon
   * @param {import('../native/index').CallPoint} point where the lanes' ends meet
   * @param {string} token what a side posts on the port when it starts to use its lane
   * @param {Side} side
   * @param {boolean} isStarted whether messages are delivered
   * @param {number} fewMessages so many may go by the port before the other side is expected to have used its lane
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

  /** Makes the lanes, or takes this side's ends of those that the other side has made. */
  #takeEnds() {
    if (this.#end !== undefined) return;
    const end = this.#point.open(LANE_BYTES);
    this.#sender = new LaneSender(end.sender(), new Encoder(LARGE_LENGTH, BESIDE_LENGTH));
    this.#receiver = new LaneReceiver(end.receiver());
    this.#receiver.listen(() => this.#drain());
    if (this.#latency !== undefined) this.#receiver.setLatency(this.#latency);
    this.#end = end;
  }

  /**
   * Posts a message without a transfer list. False when nothing is sent by the lane: see `postWithArguments`.
   * @param {any} value
   */
  post(value) {
    if (!this.#sendsByLane) return false;
    if (!this.#sender.send(value)) {
      // Throws for what cannot be cloned; then no marker is written.
      this.#side.postOnPort([this.#sender.substituteFor(value)]);
      this.#sender.sendBare(Kind.MARKER);
    }
    return true;
  }

  /**
   * Posts a message with what `postMessage` was called with.
   * @param {ArrayLike<any>} args
   */
  postWithArguments(args) {
    if (args.length === 2 && isEmptyTransfer(args[1]) && this.post(args[0])) return;
    this.#side.postOnPort(args);
    if (this.#sendsByLane) this.#sender.sendBare(Kind.MARKER_WITH_PORTS);
    else this.#backlog.notePosted();
  }

  /** Bytes that have been posted and not been received yet, by the lane. */
  get bufferedAmount() {
    return this.#backlog.bufferedAmount;
  }

  /** Whether so much waits that the program had better hold back. */
  get needsDrain() {
    return this.#backlog.needsDrain;
  }

  /** Fulfilled when it may go on; with false when nothing is received any more. */
  drained() {
    return this.#backlog.drained();
  }

  /**
   * False when the link has ended.
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

  /** Sends by the lane from here on, if there can be one. */
  sendByLane() {
    if (this.#sendsByLane || this.#isOver) return;
    try {
      this.#takeEnds();
    } catch {
      // No file descriptors or memory left for lanes: Node's port does without.
      this.#backlog.close();
      this.#side.postOnPort([[ALONE]]);
      return;
    }
    this.#side.postOnPort([this.#token]);
    this.#sendsByLane = true;
    this.#backlog.useLane(this.#sender, this.#receiver);
  }

  /** Lets the peer send by its lane, from a side that does. */
  invite() {
    if (this.#isInvited || !this.#sendsByLane) return;
    this.#isInvited = true;
    this.#sender.sendBare(Kind.READY);
  }

  /** Starts or stops delivering. */
  setStarted(/** @type {boolean} */ on) {
    if (this.#isStarted === on) return;
    this.#isStarted = on;
    this.#update();
    this.#flushSoon();
  }

  /**
   * Takes a message that Node delivers on the port.
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
   * The next message, whether or not anybody listens; undefined when there is none.
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

  /** Delivers everything that is there, then leaves the port to itself: the peer has ended. */
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

  /** Ends both lanes. What has been posted stays readable for the peer; what it posted is dropped. */
  close() {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#sendsByLane) this.#sender.sendBare(Kind.END);
    this.#sendsByLane = false;
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
    try {
      // Looked up anew for each record: a listener may change any of it.
      while (this.#isStarted && !this.#isAwaiting) {
        receiver.lendsLarge = this.#lendsLarge;
        if (!receiver.next()) {
          if (receiver.glance()) continue;
          break;
        }
        this.#handleInContext();
        if (receiver.lendsLarge) receiver.endViews();
        if (--budget === 0 || !this.#tick()) break;
      }
    } finally {
      receiver.endViews();
      receiver.lendsLarge = false;
      receiver.release();
    }
  }

  /** Between two messages. False when something threw, which has been reported. */
  #tick() {
    return runTicks === undefined || tick(this.#reportUncaught);
  }

  /** Handles the record that was read last. */
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
      // It is on its way: the port calls for it.
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

  /** The message of the record that was read last, if it is one. */
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

  /** The next message of the port that is for the program. */
  #receiveOnPort() {
    const early = this.#early.shift();
    if (early !== undefined) return { message: early.data };
    for (;;) {
      const message = receiveFromNode(this.#side.port);
      if (message === undefined || !this.takeAside(message.message)) return message;
    }
  }

  /**
   * Posts what belongs to a request or an answer and only the port can carry.
   * @param {[kind: number, id: number, value: any]} entry
   * @param {any[]} transferList
   */
  postBeside(entry, transferList) {
    this.#side.postOnPort([[BESIDE, ...entry], transferList]);
  }

  /**
   * The value that was posted so, which the port has by now. What lies before it there keeps its turn.
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

  /** False when the other side's port is closed, as it is when its thread has ended. */
  isPeerThere() {
    // Node's own result, which it documents not.
    return Boolean(Reflect.apply(MessagePort.prototype.postMessage, this.#side.port, [PROBE]));
  }

  /**
   * Takes what came on the port and is not for the program.
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

  /** Delivers what was taken too early, one by one as the port would have. */
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

  /** @param {number} kind of a record that is not a message */
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
