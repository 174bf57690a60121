'use strict';

/** The exports of worker_threads that are ours, and not those of `node:worker_threads`, in this process. */

const marks = require('./marks');
const { state } = require('./launch');
const { BroadcastChannel, nodes, receiveMessageOnPort } = require('./preload');
const { Worker, hasLanes } = require('./worker');

/** What later versions of Node have and this one lacks. @type {Record<string, any>} */
const newer = {
  isInternalThread: false,
  // Node 20 knows names of workers, but does not tell them theirs.
  threadName: state.name,
  ...marks.exports,
};

/** Without lanes, what Node has is left to Node. @type {Record<string, any>} */
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
    // With names of its own: as in Node, no other manager has to do with them.
    get: () =>
      (locks ??= new (require('../locks').LockManager)({ scope: 'process', namespace: 'worker_threads' })),
  });
}

module.exports.ours = ours;
module.exports.hasLanes = hasLanes;
