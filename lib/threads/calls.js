'use strict';

/**
 * Public methods `request`, `call` and `onRequest` of workers and ports. How a request reaches the other side is up
 * to the endpoint.
 */

const { makeError } = require('../core/errors');
const { OptionNames } = require('../core/option-names');
const { connect, nodes, port, portMethods } = require('./preload');

const { MessagePort } = nodes;
const REQUEST_OPTIONS = new OptionNames('A request', ['timeoutMs', 'signal', 'transferList']);

/** @typedef {import('../link/call-link').CallLink} CallLink */
/** @typedef {import('../link/call-link').Handler} Handler */
/** @typedef {import('../link/call-link').RequestOptions} RequestOptions */

/**
 * @typedef {object} Endpoint
 * @property {() => CallLink} link link for requests. Throws if there is no other side
 * @property {(handler: Handler | null) => void} setHandler
 */

/** @type {WeakMap<object, Endpoint>} */
const endpoints = new WeakMap();

/** Creates the endpoint of a port that has none yet. @type {((port: any) => Endpoint) | undefined} */
let portEndpoint;

/**
 * @param {any} target
 * @returns {Endpoint}
 */
function endpointOf(target) {
  // The endpoint of the port to the parent is created together with its lanes.
  if (target === port && !endpoints.has(target)) connect();
  const known = endpoints.get(target);
  if (known !== undefined) return known;
  if (!(target instanceof MessagePort) || portEndpoint === undefined) {
    throw makeError('ERR_INVALID_THIS', ['a MessagePort or Worker with lanes'], endpointOf);
  }
  const endpoint = portEndpoint(target);
  endpoints.set(target, endpoint);
  return endpoint;
}

/**
 * @param {any} options
 * @param {Function} origin
 * @returns {RequestOptions}
 */
function validated(options, origin) {
  if (options === undefined) return NO_OPTIONS;
  if (typeof options !== 'object' || options === null) {
    throw makeError('ERR_INVALID_ARG_TYPE', ['options', 'an object', options], origin);
  }
  const { timeoutMs, signal, transferList } = options;
  if (timeoutMs === undefined) REQUEST_OPTIONS.check(options);
  if (timeoutMs !== undefined) {
    if (typeof timeoutMs !== 'number') {
      throw makeError('ERR_INVALID_ARG_TYPE', ['options.timeoutMs', 'a number', timeoutMs], origin);
    }
    if (!(timeoutMs >= 0) || (timeoutMs > LONGEST_TIMEOUT_MS && timeoutMs !== Infinity)) {
      const range = `Infinity, or from 0 to ${LONGEST_TIMEOUT_MS}`;
      throw makeError('ERR_OUT_OF_RANGE', ['options.timeoutMs', range, timeoutMs], origin);
    }
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw makeError('ERR_INVALID_ARG_TYPE', ['options.signal', 'an AbortSignal', signal], origin);
  }
  if (transferList !== undefined && typeof transferList?.[Symbol.iterator] !== 'function') {
    throw makeError('ERR_INVALID_ARG_TYPE', ['options.transferList', 'iterable', transferList], origin);
  }
  return { timeoutMs, signal, transferList };
}

const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;
/** @type {RequestOptions} */
const NO_OPTIONS = Object.freeze({});

/** Methods inherited by objects that have an endpoint. */
const methods = {
  /**
   * @param {any} value
   * @param {any} [options]
   */
  request(value, options) {
    // Not an async function: a promise returned from one takes extra ticks to settle.
    try {
      return endpointOf(this).link().request(value, validated(options, methods.request));
    } catch (error) {
      return Promise.reject(error);
    }
  },

  /**
   * @param {any} value
   * @param {any} [options]
   */
  call(value, options) {
    const checked = validated(options, methods.call);
    if (checked.signal !== undefined) {
      const reason = 'has no meaning for a call, which blocks the thread that could abort it';
      throw makeError('ERR_INVALID_ARG_VALUE', ['options.signal', checked.signal, reason], methods.call);
    }
    return endpointOf(this).link().call(value, checked);
  },

  /** @param {any} handler */
  onRequest(handler) {
    if (handler !== null && typeof handler !== 'function') {
      throw makeError('ERR_INVALID_ARG_TYPE', ['handler', 'a function or null', handler], methods.onRequest);
    }
    endpointOf(this).setHandler(handler);
    return this;
  },
};

/**
 * Defines the methods on an object with an endpoint, or on a prototype.
 * @param {object} target
 */
function giveMethods(target) {
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(target, name, { configurable: true, writable: true, enumerable: false, value });
  }
}

/**
 * @param {object} target
 * @param {Endpoint} endpoint
 */
function setEndpoint(target, endpoint) {
  endpoints.set(target, endpoint);
}

/**
 * Adds the methods to ports. They are put on an object behind `MessagePort.prototype`, whose own property names
 * stay as they are.
 * @param {(port: any) => Endpoint} make
 */
function givePortsMethods(make) {
  if (portEndpoint !== undefined) return;
  portEndpoint = make;
  if (portMethods !== null) return giveMethods(portMethods);
  const { prototype } = MessagePort;
  const between = Object.create(Object.getPrototypeOf(prototype));
  giveMethods(between);
  Object.setPrototypeOf(prototype, between);
}

module.exports.methods = methods;
module.exports.setEndpoint = setEndpoint;
module.exports.giveMethods = giveMethods;
module.exports.givePortsMethods = givePortsMethods;
