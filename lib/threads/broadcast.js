'use strict';

/** `BroadcastChannel`, which with `{ scope: 'host' }` reaches the threads of all processes of the cluster. */

const workerThreads = require('node:worker_threads');
const { makeError } = require('../core/errors');
const relay = require('./broadcast-relay');

const NodeChannel = workerThreads.BroadcastChannel;

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
    // What Node refuses it is to refuse in its own words.
    if (arguments.length === 0) return Reflect.apply(super.postMessage, this, []);
    if (!this.#isOpen) return super.postMessage(undefined);
    // Read once: what runs in it runs once.
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

/** Node's class, but for the choice. @type {typeof NodeChannel} */
const BroadcastChannel = new Proxy(NodeChannel, {
  construct(target, args, newTarget) {
    const scope = args[1]?.scope;
    if (args.length > 0 && scope !== undefined && scope !== 'process' && scope !== 'host') {
      throw makeError(
        'ERR_INVALID_ARG_VALUE',
        ['options.scope', scope, "must be 'process' or 'host'"],
        BroadcastChannel,
      );
    }
    const made = args.length > 0 && scope === 'host' ? HostChannel : target;
    if (newTarget === BroadcastChannel) return Reflect.construct(made, args);
    // A class of the program's that extends it.
    return Reflect.construct(made, args, newTarget);
  },
});

/** Replaces it on the built-in module and the global object. */
function replaceBuiltin() {
  /** @type {any} */ (workerThreads).BroadcastChannel = BroadcastChannel;
  const global = Object.getOwnPropertyDescriptor(globalThis, 'BroadcastChannel');
  if (global?.configurable !== true) return;
  Object.defineProperty(globalThis, 'BroadcastChannel', {
    configurable: true,
    enumerable: global.enumerable,
    writable: true,
    value: BroadcastChannel,
  });
}

module.exports.BroadcastChannel = BroadcastChannel;
module.exports.replaceBuiltin = replaceBuiltin;
