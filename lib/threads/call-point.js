'use strict';

const { makeError } = require('../core/errors');
const { openLink } = require('./call-transport');

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
  /** @type {import('../link/call-link').Handler | null} */
  #handler = null;

  /**
   * @param {typeof import('../native/index')} addon
   * @param {import('../native/index').CallPoint} point
   * @param {import('./channel').Channel} channel
   * @param {boolean} holdsLoop whether a handler keeps the event loop alive
   */
  constructor(addon, point, channel, holdsLoop) {
    this.#addon = addon;
    this.#point = point;
    this.#channel = channel;
    this.#holdsLoop = holdsLoop;
  }

  link() {
    if (this.#isClosed) throw makeError('ERR_MANYCORE_PEER_GONE', [], this.link);
    const channel = this.#channel;
    this.#link ??= openLink(this.#addon, this.#point, {
      postBeside: (entry, transferList) => channel.postBeside(entry, transferList),
      takeBeside: (kind, id) => channel.takeBeside(kind, id),
    });
    return this.#link;
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
    this.#isClosed = true;
    this.#link?.close();
  }
}

module.exports.PointEndpoint = PointEndpoint;
