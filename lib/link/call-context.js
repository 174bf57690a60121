'use strict';

/** What a handler of requests is told about a request besides its value. */
class RequestContext {
  /** What of the reply is transferred instead of cloned. @type {any[] | undefined} */
  transferList = undefined;
  /** @type {AbortController | undefined} */
  #controller = undefined;
  #isCancelled = false;

  /** Aborted when the other side waits no longer. */
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
