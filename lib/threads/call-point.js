'use strict';

const { makeError } = require('../core/errors');
const { openLink } = require('./call-transport');

/** Initial and longest interval at which a blocked caller checks whether the other side is still there. */
const PROBE_MS = 100;
const PROBE_AT_MOST_MS = 2000;

/** @typedef {import('../link/call-link').CallLink} CallLink */

/**
 * Endpoint for requests between a worker and its parent, both of which know the number of their link. The link is
 * created on the first request or handler.
 */
class PointEndpoint {
  #addon;
  #point;
  #channel;
  /** @type {CallLink | undefined} */
  #link;
  #isClosed = false;
  #holdsLoop;
  #isPeerThere;
  /** @type {import('../link/call-link').Handler | null} */
  #handler = null;
  #probeMs = PROBE_MS;
  #probeAt = 0;

  /**
   * @param {typeof import('../native/index')} addon
   * @param {import('../native/index').CallPoint} point
   * @param {import('./channel').Channel} channel
   * @param {boolean} holdsLoop whether a handler keeps the event loop alive
   * @param {() => boolean} [isPeerThere] given if the other side may end before it has opened its end
   */
  constructor(addon, point, channel, holdsLoop, isPeerThere) {
    this.#addon = addon;
    this.#point = point;
    this.#channel = channel;
    this.#holdsLoop = holdsLoop;
    this.#isPeerThere = isPeerThere;
  }

  link() {
    if (this.#isClosed) throw makeError('ERR_MANYCORE_PEER_GONE', [], this.link);
    const channel = this.#channel;
    this.#link ??= openLink(this.#addon, this.#point, {
      postBeside: (entry, transferList) => channel.postBeside(entry, transferList),
      takeBeside: (kind, id) => channel.takeBeside(kind, id),
      assist: () => this.#probe(),
    });
    return this.#link;
  }

  /**
   * Called while a caller blocks, since no event tells it that the other side has ended. Not needed once the other
   * side has been heard of: from then on, its end closes the link.
   */
  #probe() {
    if (this.#isPeerThere === undefined || this.#link === undefined || this.#link.hasHeard) return;
    const now = performance.now();
    if (this.#probeAt === 0) this.#probeAt = now + this.#probeMs;
    if (now < this.#probeAt) return;
    this.#probeMs = Math.min(this.#probeMs * 2, PROBE_AT_MOST_MS);
    this.#probeAt = now + this.#probeMs;
    if (!this.#isPeerThere()) this.close();
  }

  /** @param {import('../link/call-link').Handler | null} handler */
  setHandler(handler) {
    if (this.#isClosed) return;
    this.#handler = handler;
    this.link().setHandler(handler, this.#holdsLoop);
  }

  /**
   * Sets whether a handler keeps the event loop alive.
   * @param {boolean} on
   */
  setHold(on) {
    this.#holdsLoop = on;
    this.#link?.setHandler(this.#handler, on);
  }

  /** Called when the other side has ended, or this one closes. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#link?.close();
    this.#point.close();
  }
}

module.exports.PointEndpoint = PointEndpoint;
