'use strict';

const { loadAddon } = require('../core/addon');
const { throwUncaught } = require('../core/errors');
const { PointEndpoint } = require('./call-point');
const { makerOf } = require('./call-port');
const { giveMethods, givePortsMethods, setEndpoint } = require('./calls');
const { Channel } = require('./channel');
const launch = require('./launch');
const settings = require('../link/settings');
const { kDispatch, kOnExit, dispatch, supported, publicPortOf } = require('./node-internals');
const { FEW_MESSAGES, nodes } = require('./preload');
const spares = require('./spares');

const NodeWorker = /** @type {typeof import('node:worker_threads').Worker} */ (nodes.Worker);

/** Node's own class, used where there are no lanes: all starts are cold. */
class PlainWorker extends NodeWorker {
  /**
   * @param {number} count
   * @param {import('node:worker_threads').WorkerOptions} [options]
   */
  static warm(count, options) {
    return spares.warm(count, options);
  }
}
Object.defineProperty(PlainWorker, 'name', { value: 'Worker' });

/**
 * Creates the Worker class of this process: Node's own, with messages carried by lanes. If there are none, Node's
 * own class.
 */
function makeWorkerClass() {
  const loaded = supported ? loadAddon() : null;
  if (loaded === null) return PlainWorker;
  const addon = loaded;

  const onExit = /** @type {any} */ (NodeWorker.prototype)[kOnExit];

  class Worker extends NodeWorker {
    /** @type {Channel | null} */
    #channel = null;
    /** @type {PointEndpoint | null} */
    #calls = null;

    #name = '';

    static {
      if (!('threadName' in NodeWorker.prototype)) {
        Object.defineProperty(this.prototype, 'threadName', {
          configurable: true,
          /** @this {Worker} */
          get() {
            return this.threadId === -1 ? null : this.#name;
          },
        });
      }
      if (!(Symbol.asyncDispose in NodeWorker.prototype)) {
        Object.defineProperty(this.prototype, Symbol.asyncDispose, {
          configurable: true,
          writable: true,
          async value() {
            await this.terminate();
          },
        });
      }
    }

    /**
     * @param {string | URL} filename
     * @param {import('node:worker_threads').WorkerOptions} [options]
     */
    constructor(filename, options = undefined) {
      const taken = spares.take(filename, options);
      if (taken !== null) {
        if (new.target !== Worker) Object.setPrototypeOf(taken, new.target.prototype);
        return taken;
      }
      const prepared = launch.prepare(addon, options, spares.wakeUpOfBooting());
      try {
        super(filename, prepared === null ? options : prepared.options);
      } finally {
        if (prepared !== null) launch.takeBack();
      }
      if (prepared === null) return;
      this.#name = prepared.ticket.name;
      this.#connect(prepared);
    }

    /**
     * Keeps `count` spares for workers created with `{ warm: true }` and otherwise the same options.
     * @param {number} count
     * @param {import('node:worker_threads').WorkerOptions} [options]
     * @returns {Promise<void>}
     */
    static warm(count, options) {
      return spares.warm(count, options);
    }

    /** @param {NonNullable<ReturnType<typeof launch.prepare>>} prepared */
    #connect({ lanes, calls, ticket }) {
      const port = publicPortOf(this);
      if (port === undefined) return;
      const fewMessages = Math.max(ticket.lanesAfter, FEW_MESSAGES);
      const channel = new Channel(addon, lanes, ticket.token, parentSide(this, port), true, fewMessages);
      this.#channel = channel;
      settings.register(this, channel);
      this.#calls = new PointEndpoint(addon, calls, channel, false, () => channel.isPeerThere());
      setEndpoint(this, this.#calls);
      Object.defineProperty(port, kDispatch, {
        configurable: true,
        value(/** @type {any} */ data, /** @type {any} */ type, /** @type {any} */ event) {
          const isMessage = event === undefined && (type === 'message' || type === 'messageerror');
          if (!isMessage) return dispatch.call(port, data, type, event);
          channel.receiveFromPort({ data, type, ports: undefined });
        },
      });
      // As Node does with its port: removing the last listener stops delivery until the next one is added.
      this.on('newListener', (name) => {
        if (name === 'message' && this.listenerCount('message') === 0) channel.setStarted(true);
      });
      this.on('removeListener', (name) => {
        if (name === 'message' && this.listenerCount('message') === 0) channel.setStarted(false);
      });
    }

    /**
     * @override
     * @param {any} value
     * @param {any} [_transfer]
     */
    postMessage(value, _transfer) {
      const channel = #channel in this ? this.#channel : null;
      // The common case; rest parameters would allocate an array per message.
      if (arguments.length === 1 && channel !== null && channel.post(value)) return;
      if (channel !== null) channel.postWithArguments(arguments);
      else Reflect.apply(super.postMessage, this, arguments);
    }

    /** @param {any[]} args */
    [kOnExit](...args) {
      const channel = this.#channel;
      this.#channel = null;
      this.#calls?.close();
      channel?.finish();
      return Reflect.apply(onExit, this, args);
    }
  }
  spares.useClass(Worker);
  giveMethods(Worker.prototype);
  givePortsMethods(makerOf(addon));
  return Worker;
}

/**
 * @param {any} worker
 * @param {any} port
 * @returns {import('./channel').Side}
 */
function parentSide(worker, port) {
  // In watch mode, Node's own listener on the port does more than emit.
  const isWatched = process.env.WATCH_REPORT_DEPENDENCIES !== undefined;
  return {
    port,
    needsPorts: false,
    postOnPort(args) {
      Reflect.apply(port.postMessage, port, args);
    },
    deliver(value) {
      if (isWatched) return dispatch.call(port, value, 'message', undefined);
      try {
        worker.emit('message', value);
      } catch (error) {
        // As for listeners of a port: the next message is not delayed.
        throwUncaught(error);
      }
    },
    deliverFromPort({ data, type }) {
      dispatch.call(port, data, type, undefined);
    },
  };
}

module.exports.Worker = makeWorkerClass();
/** False if Node's own class is used. */
module.exports.hasLanes = module.exports.Worker !== PlainWorker;
