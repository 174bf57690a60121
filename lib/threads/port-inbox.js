'use strict';

/**
 * Inbox of a port whose channel has both ports in this thread, kept beside Node's queue.
 *
 * At any time, either Node's queue has messages, and everything posted goes there; or it has at most one message of
 * ours, a bell, and everything posted waits here, already cloned. Whoever receives the bell takes what is here. The
 * order is therefore always that of Node's queue, and `settle()` can move everything back into it at any time:
 * remove the bell, which is alone in that queue, and post what is here. This is done before posting anything that
 * only Node can carry, and before a port is transferred or closed.
 */

const { AsyncLocalStorage } = require('node:async_hooks');
const timers = require('node:timers');
const { Cloner } = require('../link/cloner');
const { UNSUPPORTED } = require('../link/unsupported');
const { dispatch } = require('./node-internals');
const { keepsContextInFrames, runTicks, tick } = require('./ticks');
const { PortQueue } = require('./port-queue');
const { nodes } = require('./preload');

const { setImmediate } = timers;
const { prototype } = nodes.MessagePort;
const { receiveMessageOnPort: receiveOnPort } = nodes;
const { postMessage } = prototype;

const { call } = Function.prototype;
/**
 * Turns a method into a function that takes `this` as its first argument.
 * @param {any} method @returns {(...args: any[]) => any}
 */
const uncurried = (method) => Reflect.apply(call.bind, call, [method]);
/** @type {(port: any, value: any) => boolean | undefined} */
const post = uncurried(postMessage);
/** @type {(port: any, type: string) => number} */
const listenerCount = uncurried(prototype.listenerCount);
/** @type {(port: any, data: any, type: string, event: undefined) => void} */
const deliver = uncurried(dispatch);

/** As many messages as Node delivers before it returns to the event loop. */
const MESSAGES_PER_DRAIN = runTicks === undefined ? 1 : 1000;
/** After messages had to be moved back, at most this many posts go directly to Node. */
const LONGEST_WAIT = 1024;

const BELL = 'manycore:bell:2f0f4b0e-6a0c-4f0e-9f0d-7c3b5d1f9a52';

/** One per nesting level, for values whose getters post as well. */
const cloners = [new Cloner()];
let level = 0;

/** @param {object} value */
function clone(value) {
  const cloner = (cloners[level] ??= new Cloner());
  level++;
  try {
    return cloner.clone(value);
  } finally {
    level--;
  }
}

class PortInbox {
  #port;
  #source;
  #pair;
  #reportUncaught;
  #queue = new PortQueue();
  /** Number of messages in Node's queue, without the bell. */
  #inNode = 0;
  #hasBell = false;
  #isDraining = false;
  /** Queued messages are delivered in the next turn of the event loop. */
  #isDeferred = false;
  /**
   * Number of posts that still go directly to Node, and its last initial value: moving messages back is expensive,
   * so it has to be rare.
   */
  #wait = 0;
  #lastWait = 0;
  /** Number of messages being cloned, whose getters may run. */
  #posting = 0;
  /** Closes the source once they have been posted. @type {(() => void) | null} */
  #closing = null;

  /**
   * @param {any} port receiving port
   * @param {any} source the other port of the channel
   * @param {{ isActive: boolean }} pair
   * @param {(error: any) => void} reportUncaught
   */
  constructor(port, source, pair, reportUncaught) {
    this.#port = port;
    this.#source = source;
    this.#pair = pair;
    this.#reportUncaught = reportUncaught;
  }

  /**
   * Posts a message without a transfer list. Returns the same as Node.
   * @param {any} value
   */
  post(value) {
    if (this.#closing !== null) return undefined;
    if (!this.#pair.isActive) return this.#postAway(value);
    if (!this.#mayKeep() || this.#isWaiting()) return this.postToNode([value]);
    if (typeof value === 'object' && value !== null) return this.#postObject(value);
    if (typeof value === 'function' || typeof value === 'symbol') return this.postToNode([value]);
    return this.#keep(value);
  }

  /** @param {object} value */
  #postObject(value) {
    this.#posting++;
    try {
      const copy = clone(value);
      if (copy === UNSUPPORTED) return this.postToNode([cloners[level].substituteFor(value)]);
      // Getters may have changed anything.
      return this.#mayKeep() ? this.#keep(copy) : this.postToNode([copy]);
    } finally {
      if (--this.#posting === 0 && this.#closing !== null) this.#closing();
    }
  }

  /**
   * Calls `close` once the message whose getter is running has been posted; later ones are dropped. Returns false if
   * there is none.
   * @param {() => void} close
   */
  closeOncePosted(close) {
    if (this.#posting === 0) return false;
    this.#closing ??= close;
    return true;
  }

  /** @param {any} copy */
  #keep(copy) {
    this.#queue.push(copy);
    return this.#hasBell || this.#isDraining || this.#isDeferred ? true : this.#ring();
  }

  #mayKeep() {
    return this.#inNode === 0 && this.#pair.isActive;
  }

  #isWaiting() {
    if (this.#wait === 0) return false;
    this.#wait--;
    return true;
  }

  /** Posts to a port that has been transferred, or is being transferred: nothing is queued here. @param {any} value */
  #postAway(value) {
    // Counted, since a failed transfer brings the port back.
    this.#inNode++;
    let result;
    try {
      result = post(this.#source, value);
    } finally {
      if (result !== true) this.#inNode--;
    }
    return result;
  }

  /**
   * Posts a message with the arguments of `postMessage`, behind everything that is queued.
   * @param {any[]} args
   */
  postToNode(args) {
    this.settle();
    // Counted before, since getters of the message may post as well.
    this.#inNode++;
    let result;
    try {
      result = Reflect.apply(postMessage, this.#source, args);
    } finally {
      if (result !== true) this.#inNode--;
    }
    return result;
  }

  /** Moves everything that is queued here into Node's queue. */
  settle() {
    if (this.#hasBell) {
      this.#hasBell = false;
      receiveOnPort(this.#port);
    }
    const queue = this.#queue;
    if (queue.length === 0) return;
    while (queue.length > 0) {
      if (post(this.#source, queue.shift()) === true) this.#inNode++;
    }
    this.#lastWait = Math.min(this.#lastWait * 2 + 1, LONGEST_WAIT);
    this.#wait = this.#lastWait;
  }

  /**
   * Accounts for a message that Node delivers. Returns true if it was the bell, which is not for the program.
   * @param {any} data
   */
  receive(data) {
    if (data !== BELL) {
      if (this.#inNode > 0) this.#inNode--;
      return false;
    }
    this.#hasBell = false;
    if (this.#queue.length > 0) this.#drain();
    return true;
  }

  /**
   * Returns the next message, whether or not there is a listener; undefined if there is none.
   * @returns {{ message: any } | undefined}
   */
  receiveNow() {
    if (this.#queue.length > 0) return { message: this.#queue.shift() };
    // The bell is alone, and may stay for later messages.
    if (this.#hasBell) return undefined;
    let message;
    try {
      message = receiveOnPort(this.#port);
    } catch (error) {
      this.#inNode--;
      throw error;
    }
    if (message !== undefined) this.#inNode--;
    return message;
  }

  #ring() {
    const result = post(this.#source, BELL);
    if (result === true) {
      this.#hasBell = true;
      return true;
    }
    // The other side is gone.
    this.#pair.isActive = false;
    while (this.#queue.length > 0) this.#queue.shift();
    return result;
  }

  /** Delivers the queued messages, in place of the bell. */
  #drain() {
    const queue = this.#queue;
    const port = this.#port;
    const inContext = keepsContextInFrames && queue.length > 1 ? AsyncLocalStorage.snapshot() : undefined;
    let budget = MESSAGES_PER_DRAIN;
    let isNextTurn = false;
    this.#isDraining = true;
    this.#lastWait >>= 1;
    try {
      for (;;) {
        if (inContext === undefined) deliver(port, queue.shift(), 'message', undefined);
        else inContext(deliver, port, queue.shift(), 'message', undefined);
        isNextTurn = --budget === 0 || !this.#tick();
        // If a listener closed or stopped the port, Node notices when it receives the next bell.
        if (isNextTurn || queue.length === 0 || listenerCount(port, 'message') === 0) break;
      }
    } finally {
      this.#isDraining = false;
      if (queue.length > 0) {
        if (isNextTurn && runTicks !== undefined) this.#defer();
        else this.#ring();
      }
    }
  }

  /** Runs ticks and microtasks between two messages. Returns false if one threw; the error has been reported. */
  #tick() {
    return runTicks === undefined || tick(this.#reportUncaught);
  }

  #defer() {
    this.#isDeferred = true;
    setImmediate(() => {
      this.#isDeferred = false;
      if (this.#queue.length > 0) this.#ring();
    });
  }
}

module.exports.PortInbox = PortInbox;
