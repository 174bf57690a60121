'use strict';

/** Exports of worker_threads that differ from those of `node:worker_threads` in this process. */

const marks = require('./marks');
const { state } = require('./launch');
const { BroadcastChannel, nodes, receiveMessageOnPort } = require('./preload');
const { Worker, hasLanes } = require('./worker');

/** Exports of later versions of Node. @type {Record<string, any>} */
const newer = {
  isInternalThread: false,
  // Node 20 accepts a name for a worker, but does not expose it there.
  threadName: state.name,
  ...marks.exports,
};

/** Without lanes, only what Node lacks is replaced. @type {Record<string, any>} */
const ours = hasLanes ? { BroadcastChannel, Worker, receiveMessageOnPort } : { Worker };
for (const [name, value] of Object.entries(newer)) {
  if (!(name in nodes) || (hasLanes && name in marks.exports)) ours[name] = value;
}

if (hasLanes && nodes.locks === undefined) {
  /** @type {any} */
  let locks;
  Object.defineProperty(ours, 'locks', {
    configurable: true,
    enumerable: true,
    // In a namespace of its own: as in Node, it shares no lock names with other managers.
    get: () =>
      (locks ??= new (require('../locks').LockManager)({ scope: 'process', namespace: 'worker_threads' })),
  });
}

module.exports.ours = ours;
module.exports.hasLanes = hasLanes;
