'use strict';

/**
 * `request`, `call` and `onRequest` between a cluster's primary and a worker: an endpoint with its own lanes, which
 * the worker inherits beside those for messages. It lives as long as Node's channel is connected. A blocked side,
 * whose event loop does not run, checks every few milliseconds whether the other process still exists.
 */

const { AdvancedEncoder } = require('../link/advanced-encoder');
const { CallLink } = require('../link/call-link');
const { LaneReceiver } = require('../link/lane-receiver');
const { LaneSender } = require('../link/lane-sender');
const { Spill } = require('../link/spill');
const { makeError } = require('../core/errors');
const { giveMethods, setEndpoint } = require('../threads/calls');
const { runTicks, tick } = require('../threads/ticks');
const { clone } = require('./ipc-formats');

/**
 * @typedef {object} Options
 * @property {typeof import('../native/index')} addon
 * @property {import('../native/index').ProcessLink} link
 * @property {any} target `process`, or the worker's ChildProcess in the primary
 * @property {(error: Error) => void} onCorrupt called when the other side has corrupted the link
 * @property {() => void} assist work to do while a caller blocks the event loop
 */

class ProcessEndpoint {
  #options;
  #watch;
  /** Created on the first request or handler of this side. @type {CallLink | undefined} */
  #link;
  #isClosed = false;

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    this.#watch = new options.addon.PeerWatch(options.target === process ? undefined : options.target.pid);
  }

  link() {
    if (this.#isClosed) throw makeError('ERR_MANYCORE_PEER_GONE', [], this.link);
    this.#link ??= this.#open();
    return this.#link;
  }

  /** @param {import('../link/call-server').Handler | null} handler */
  setHandler(handler) {
    // Node's channel keeps the event loop alive.
    if (!this.#isClosed) this.link().setHandler(handler, false);
  }

  /** Called when the channel is disconnected. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#link?.close();
    this.#options.link.close();
    // Not left to the garbage collector: a primary outlives any number of workers.
    this.#watch.close();
  }

  #open() {
    const { addon, link: native, target, onCorrupt, assist } = this.#options;
    const bell = native.takeReceiver();
    const sender = new LaneSender(native.takeSender(), new AdvancedEncoder(), new Spill());
    native.close();
    let isWaiting = false;
    const onRoom = () => {
      if (!link.flush()) return;
      isWaiting = false;
      bell.watchRoom(false);
    };
    bell.onRoom(onRoom);
    const link = new CallLink({
      sender,
      receiver: new LaneReceiver(bell),
      serialize: clone.serialize,
      deserialize: clone.deserialize,
      tick: () => runTicks !== undefined && tick(addon.reportUncaught),
      isPeerGone: () => this.#watch.isGone(target.channel?.fd ?? -1),
      assist,
      awaitRoom() {
        if (isWaiting) return;
        isWaiting = true;
        bell.watchRoom(true);
      },
      onCorrupt,
      close() {},
    });
    return link;
  }
}

/**
 * Gives a worker object the request methods and their endpoint.
 * @param {object} worker
 * @param {Options | null} options null if there are no lanes; the methods then throw
 */
function giveCalls(worker, options) {
  giveMethods(worker);
  if (options === null) return null;
  const endpoint = new ProcessEndpoint(options);
  setEndpoint(worker, endpoint);
  return endpoint;
}

module.exports.giveCalls = giveCalls;
