'use strict';

const { makeError } = require('../core/errors');
const { openLink } = require('./call-transport');

/** How long a blocked caller waits at first, and at most, until it looks whether there is still another side. */
const PROBE_MS = 100;
const PROBE_AT_MOST_MS = 2000;

/** @typedef {import('../link/call-link').CallLink} CallLink */

/**
 * Requests between a worker and its parent, who know the number of their link. Nothing is made before one of
 * them asks or answers.
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
   * @param {() => boolean} [isPeerThere] where the other side may end before it has taken its place
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

  /** For a blocked caller, whom no event tells that the other side has ended. Once heard of, that ends the link. */
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
   * Whether a handler keeps the event loop alive from here on.
   * @param {boolean} on
   */
  setHold(on) {
    this.#holdsLoop = on;
    this.#link?.setHandler(this.#handler, on);
  }

  /** The other side has gone, or this one closes. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#link?.close();
    this.#point.close();
  }
}

module.exports.PointEndpoint = PointEndpoint;
