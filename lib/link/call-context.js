'use strict';

/** Second argument of a request handler. */
class RequestContext {
  /** Objects in the reply to transfer instead of cloning. @type {any[] | undefined} */
  transferList = undefined;
  /** @type {AbortController | undefined} */
  #controller = undefined;
  #isCancelled = false;

  /** Aborted when the other side no longer waits for the reply. */
  get signal() {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#isCancelled) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  /** @param {RequestContext} context */
  static cancel(context) {
    context.#isCancelled = true;
    context.#controller?.abort();
  }
}

module.exports.RequestContext = RequestContext;
