'use strict';

/** `BroadcastChannel` with `{ scope: 'host' }`, which reaches the threads of all processes of the cluster. */

const { makeError } = require('../core/errors');
const { OptionNames } = require('../core/option-names');
const relay = require('./broadcast-relay');
const { BroadcastChannel, nodes } = require('./preload');

const NodeChannel = /** @type {typeof import('node:worker_threads').BroadcastChannel} */ (
  nodes.BroadcastChannel
);
const OPTIONS = new OptionNames('BroadcastChannel', ['scope']);

class HostChannel extends NodeChannel {
  #isOpen = true;

  /** @param {string} name */
  constructor(name) {
    super(name);
    relay.join(this.name, this);
  }

  /**
   * @override
   * @param {any} message
   */
  postMessage(message) {
    // Node throws its own errors for these.
    if (arguments.length === 0) return Reflect.apply(super.postMessage, this, []);
    if (!this.#isOpen) return super.postMessage(undefined);
    // Serialised once, so that getters run once.
    const bytes = relay.serialize(message);
    super.postMessage(relay.deserialize(bytes));
    relay.post(this.name, bytes);
  }

  /** @override */
  close() {
    if (this.#isOpen) relay.leave(this.name, this);
    this.#isOpen = false;
    super.close();
  }
}

/**
 * Returns the class that implements a channel.
 * @param {any[]} args constructor arguments
 */
function classFor(args) {
  const options = args[1];
  const scope = options?.scope;
  // Node ignores any second argument.
  if (scope === undefined && typeof options === 'object') OPTIONS.check(options);
  if (scope === undefined || scope === 'process') return NodeChannel;
  if (scope === 'host') return HostChannel;
  throw makeError(
    'ERR_INVALID_ARG_VALUE',
    ['options.scope', scope, "must be 'process' or 'host'"],
    BroadcastChannel,
  );
}

module.exports.classFor = classFor;
