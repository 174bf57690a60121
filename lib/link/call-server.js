'use strict';

/** Serves the requests of a peer: queues them until there is a handler, runs the handler, and replies. */

const { RequestContext } = require('./call-context');
const { Numbered } = require('./numbered');

/** @typedef {(value: any, context: RequestContext) => any} Handler */

/**
 * @typedef {object} Answers
 * @property {(id: number, value: any, transferList: any[] | undefined) => void} reply throws if the value cannot be
 * sent
 * @property {(id: number, error: any) => void} fail
 */

class CallServer {
  #answers;
  /** @type {Handler | null} */
  #handler = null;
  /** Requests queued until there is a handler, by id. @type {Map<number, any>} */
  #unserved = new Map();
  /** Contexts of requests whose handlers have not finished. @type {Numbered<RequestContext>} */
  #serving = new Numbered();
  /** Ids of the requests whose handlers are on the call stack, the outermost first. @type {number[]} */
  #running = [];
  #isClosed = false;

  /** @param {Answers} answers */
  constructor(answers) {
    this.#answers = answers;
  }

  get hasHandler() {
    return this.#handler !== null;
  }

  /** Whether requests are queued. */
  get isPending() {
    return this.#unserved.size > 0;
  }

  /** Number of handlers on the call stack. */
  get depth() {
    return this.#running.length;
  }

  /**
   * Whether a request has a handler that has not finished, and is not on the call stack.
   * @param {number} id
   */
  isServing(id) {
    return this.#serving.has(id);
  }

  /**
   * Whether the handler of a request is among the outermost ones on the call stack.
   * @param {unknown} id
   * @param {number} depth how many of them count
   */
  isRunning(id, depth) {
    const at = this.#running.indexOf(/** @type {number} */ (id));
    return at >= 0 && at < depth;
  }

  /** @param {Handler | null} handler null to queue requests */
  setHandler(handler) {
    this.#handler = handler;
  }

  /**
   * Serves a request, or queues it behind others.
   * @param {number} id
   * @param {any} value
   */
  receive(id, value) {
    if (this.#handler !== null && this.#unserved.size === 0) this.#serve(id, value);
    else this.#unserved.set(id, value);
  }

  /**
   * Serves queued requests.
   * @param {() => void} [between] called after each request
   */
  serveWaiting(between) {
    if (this.#unserved.size === 0) return;
    for (const [id, value] of this.#unserved) {
      if (this.#handler === null || this.#isClosed) return;
      this.#unserved.delete(id);
      this.#serve(id, value);
      between?.();
    }
  }

  /**
   * The peer no longer waits for the reply.
   * @param {number} id
   */
  cancel(id) {
    if (this.#unserved.size !== 0) this.#unserved.delete(id);
    const context = this.#serving.take(id);
    if (context !== undefined) RequestContext.cancel(context);
  }

  /** No one waits for replies any more. */
  close() {
    this.#isClosed = true;
    this.#unserved.clear();
    for (const context of this.#serving.takeAll()) RequestContext.cancel(context);
  }

  /**
   * @param {number} id
   * @param {any} value
   */
  #serve(id, value) {
    const context = new RequestContext();
    let result;
    let isPromised;
    try {
      const handler = /** @type {Handler} */ (this.#handler);
      this.#running.push(id);
      result = handler(value, context);
      isPromised = isThenable(result);
    } catch (error) {
      this.#running.pop();
      return this.#fail(id, error);
    }
    this.#running.pop();
    if (!isPromised) return this.#reply(id, result, context);
    this.#serving.set(id, context);
    Promise.resolve(result).then(
      (settled) => {
        if (this.#finish(id, context)) this.#reply(id, settled, context);
      },
      (error) => {
        if (this.#finish(id, context)) this.#fail(id, error);
      },
    );
  }

  /**
   * A handler has finished. Returns false if the reply is no longer wanted.
   * @param {number} id
   * @param {RequestContext} context
   */
  #finish(id, context) {
    return this.#serving.get(id) === context && this.#serving.take(id) !== undefined;
  }

  /**
   * @param {number} id
   * @param {any} value
   * @param {RequestContext} context
   */
  #reply(id, value, context) {
    if (this.#isClosed) return;
    try {
      this.#answers.reply(id, value, context.transferList);
    } catch (error) {
      this.#fail(id, error);
    }
  }

  /**
   * @param {number} id
   * @param {any} error
   */
  #fail(id, error) {
    if (!this.#isClosed) this.#answers.fail(id, error);
  }
}

/**
 * @param {any} value
 * @throws errors of a getter, which reject the promise of an async function as well
 */
function isThenable(value) {
  return typeof value === 'object' && value !== null && typeof value.then === 'function';
}

module.exports.CallServer = CallServer;
