'use strict';

/**
 * What waits for one port of a channel whose ports are both in this thread, beside the queue that Node keeps.
 *
 * Either Node's queue has messages, and then everything posted goes there; or it has at most one message of ours, a
 * bell, and everything posted waits here, already cloned. Whoever meets the bell takes what is here. So the order is
 * always that of Node's queue, and `settle()` can put everything back into it at any time: take out the bell, which
 * is alone there, and post what is here. That is done before anything that only Node can carry is posted, and before
 * a port is transferred or closed.
 */

const { AsyncLocalStorage } = require('node:async_hooks');
const timers = require('node:timers');
const { Cloner } = require('../link/cloner');
const { UNSUPPORTED } = require('../link/unsupported');
const { dispatch, keepsContextInFrames, runTicks, tick } = require('./node-internals');
const { PortQueue } = require('./port-queue');
const { nodes } = require('./preload');

const { setImmediate } = timers;
const { prototype } = nodes.MessagePort;
const { receiveMessageOnPort: receiveOnPort } = nodes;
const { postMessage } = prototype;

const { call } = Function.prototype;
/** A method as a function of the object first. @param {any} method @returns {(...args: any[]) => any} */
const uncurried = (method) => Reflect.apply(call.bind, call, [method]);
/** @type {(port: any, value: any) => boolean | undefined} */
const post = uncurried(postMessage);
/** @type {(port: any, type: string) => number} */
const listenerCount = uncurried(prototype.listenerCount);
/** @type {(port: any, data: any, type: string, event: undefined) => void} */
const deliver = uncurried(dispatch);

/** As many messages as Node delivers before the event loop has its turn. */
const MESSAGES_PER_DRAIN = runTicks === undefined ? 1 : 1000;
/** So many posts at most are left to Node after messages had to be put back. */
const LONGEST_WAIT = 1024;

const BELL = 'manycore:bell:2f0f4b0e-6a0c-4f0e-9f0d-7c3b5d1f9a52';

/** For values whose getters post, too: one for each level. */
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
  /** Messages in Node's queue, the bell not counted. */
  #inNode = 0;
  #hasBell = false;
  #isDraining = false;
  /** What is here is for the next turn of the event loop. */
  #isDeferred = false;
  /** As many posts are still left to Node, and were to be the last time: putting back costs, so it must be rare. */
  #wait = 0;
  #lastWait = 0;

  /**
   * @param {any} port that receives
   * @param {any} source the other one
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
   * Posts a message without a transfer list. Returns what Node would.
   * @param {any} value
   */
  post(value) {
    if (!this.#pair.isActive) return this.#postAway(value);
    if (!this.#mayKeep() || this.#isWaiting()) return this.postToNode([value]);
    let copy = value;
    if (typeof value === 'object') {
      if (value !== null) {
        copy = clone(value);
        if (copy === UNSUPPORTED) return this.postToNode([cloners[level].substituteFor(value)]);
        // Getters may have done anything.
        if (!this.#mayKeep()) return this.postToNode([copy]);
      }
    } else if (typeof value === 'function' || typeof value === 'symbol') {
      return this.postToNode([value]);
    }
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

  /** Posts to a port that is elsewhere by now, or will be: nothing waits here. @param {any} value */
  #postAway(value) {
    // A transfer that fails brings the port back.
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
   * Posts a message with what `postMessage` was called with, behind all that waits.
   * @param {any[]} args
   */
  postToNode(args) {
    this.settle();
    // Counted before: getters of the message may post, too.
    this.#inNode++;
    let result;
    try {
      result = Reflect.apply(postMessage, this.#source, args);
    } finally {
      if (result !== true) this.#inNode--;
    }
    return result;
  }

  /** Puts everything that waits here into Node's queue. */
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
   * Takes note of what Node delivers. True when that was the bell, which is not for the program.
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
   * The next message, whether or not anybody listens; undefined when there is none.
   * @returns {{ message: any } | undefined}
   */
  receiveNow() {
    if (this.#queue.length > 0) return { message: this.#queue.shift() };
    // The bell is alone, and may stay for what comes.
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
    // There is no other side any more.
    this.#pair.isActive = false;
    while (this.#queue.length > 0) this.#queue.shift();
    return result;
  }

  /** Delivers what is here, in place of the bell. */
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
        // What a listener of another kind does to the port is found out by Node, which gets the bell again.
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

  /** Runs ticks and microtasks between two messages. False when one threw: that has been reported. */
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
