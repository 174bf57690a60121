'use strict';

/**
 * Routes messages of host-wide broadcast channels. Within a process, Node's channels of the same name carry them.
 * Between processes they go up: from a worker thread to the main thread through the worker's port, from there to
 * the primary through the cluster's IPC channel, and from the primary to every process that has a channel of that
 * name.
 *
 * Each thread and process tells its parent which names it has; when it ends, its names are dropped.
 */

const { Deserializer, Serializer } = require('node:v8');
const { nodes, port } = require('./preload');

const { MessagePort } = nodes;
const NodeChannel = /** @type {typeof import('node:worker_threads').BroadcastChannel} */ (
  nodes.BroadcastChannel
);

/**
 * Value of `cmd` in cluster messages for this module. Node does not emit messages whose `cmd` starts with `NODE_`
 * as `'message'`.
 */
const COMMAND = 'NODE_MANYCORE_BROADCAST';

/** First element of messages from a worker to its parent: `[BROADCAST, ...entry]`. */
const BROADCAST = 'manycore:broadcast:8d1c6f3b-6a5e-4a36-9f0c-1f6f2f0b7c55';

/** Serialises as structured clone does; `v8.serialize` treats buffers differently. */
class Cloner extends Serializer {
  /** Called for values that cannot be cloned. */
  _getDataCloneError = (/** @type {string} */ message) => new DOMException(message, 'DataCloneError');

  _getSharedArrayBufferId() {
    throw new DOMException('#<SharedArrayBuffer> could not be cloned.', 'DataCloneError');
  }
}

/** @param {any} message */
function serialize(message) {
  const cloner = new Cloner();
  cloner.writeHeader();
  cloner.writeValue(message);
  return cloner.releaseBuffer();
}

/** @param {Uint8Array} bytes */
function deserialize(bytes) {
  const reader = new Deserializer(bytes);
  reader.readHeader();
  return reader.readValue();
}

/**
 * Members by channel name: channels of this thread, and workers and child processes.
 * @type {Map<string, Set<object>>}
 */
const members = new Map();
/**
 * Channels through which messages from other processes are posted in this one.
 * @type {Map<string, import('node:worker_threads').BroadcastChannel>}
 */
const outlets = new Map();

/**
 * Sends an entry to the parent thread or process.
 * @type {(op: 'join' | 'leave' | 'post', name: string, bytes?: Uint8Array) => void}
 */
const up = nodes.isMainThread ? toPrimary : toParent;
let isListening = false;

/**
 * @param {string} name
 * @param {object} member
 */
function join(name, member) {
  const known = members.get(name);
  if (known !== undefined) return void known.add(member);
  members.set(name, new Set([member]));
  up('join', name);
}

/**
 * @param {string} name
 * @param {object} member
 */
function leave(name, member) {
  const known = members.get(name);
  if (known === undefined || !known.delete(member) || known.size > 0) return;
  members.delete(name);
  outlets.get(name)?.close();
  outlets.delete(name);
  up('leave', name);
}

/**
 * Posts a message of a channel of this thread to other processes.
 * @param {string} name
 * @param {Uint8Array} bytes
 */
function post(name, bytes) {
  toOtherProcesses(name, bytes, undefined);
}

/**
 * Handles an entry from a worker or child process.
 * @param {object} from
 * @param {any} entry
 */
function receive(from, entry) {
  const [op, name, bytes] = entry;
  if (typeof name !== 'string') return;
  if (op === 'join') join(name, from);
  else if (op === 'leave') leave(name, from);
  else if (op === 'post' && bytes instanceof Uint8Array) toOtherProcesses(name, bytes, from);
}

/**
 * Removes a worker or child process that has ended.
 * @param {object} from
 */
function forget(from) {
  for (const name of [...members.keys()]) leave(name, from);
}

/**
 * @param {string} name
 * @param {Uint8Array} bytes
 * @param {object | undefined} from
 */
function toOtherProcesses(name, bytes, from) {
  up('post', name, bytes);
  for (const member of members.get(name) ?? []) {
    if (member !== from && isProcess(member)) send(member, ['post', name, bytes]);
  }
}

/** @param {any} member */
function isProcess(member) {
  return member?.process?.send !== undefined;
}

/**
 * @param {any} member a worker of the cluster, or an object with this process as `process`
 * @param {any[]} entry
 */
function send({ process: target }, [op, name, bytes]) {
  if (!target.connected) return;
  const message = { cmd: COMMAND, op, name, bytes: bytes && Buffer.from(bytes).toString('base64') };
  // With a callback, so that a failed send to an exiting process does not emit 'error'.
  target.send(message, undefined, undefined, () => {});
}

/**
 * In a worker thread. `port` is null if the parent is not ours and would not understand the message.
 * @param {any[]} entry
 */
function toParent(...entry) {
  if (port !== null) MessagePort.prototype.postMessage.call(port, [BROADCAST, ...entry]);
}

/**
 * In the main thread of a cluster worker.
 * @param {string} op
 * @param {string} name
 * @param {Uint8Array} [bytes]
 */
function toPrimary(op, name, bytes) {
  // Node's own module, not ours: it knows the role of this process, and both give the same answer.
  if (process.send === undefined || !(/** @type {any} */ (require('node:cluster')).isWorker)) return;
  if (!isListening) {
    isListening = true;
    process.on('internalMessage', (message) => {
      const entry = entryOf(message);
      if (entry?.[0] === 'post') deliver(entry[1], entry[2]);
    });
  }
  send({ process }, [op, name, bytes]);
}

/**
 * In the primary: handles a message from a worker. Returns false if the message is not for this module.
 * @param {any} worker
 * @param {any} message
 */
function takeFromWorker(worker, message) {
  if (message?.cmd !== COMMAND) return false;
  const entry = entryOf(message);
  if (entry === undefined) return true;
  receive(worker, entry);
  if (entry[0] === 'post') deliver(entry[1], entry[2]);
  return true;
}

/**
 * @param {any} message
 * @returns {any[] | undefined}
 */
function entryOf(message) {
  if (message?.cmd !== COMMAND) return undefined;
  const { op, name, bytes } = message;
  if (typeof name !== 'string') return undefined;
  return [op, name, typeof bytes === 'string' ? Buffer.from(bytes, 'base64') : undefined];
}

/**
 * Posts a message from another process to all channels of this one.
 * @param {string} name
 * @param {Uint8Array | undefined} bytes
 */
function deliver(name, bytes) {
  if (bytes === undefined || !members.has(name)) return;
  let message;
  try {
    message = deserialize(bytes);
  } catch {
    // Not written by a channel.
    return;
  }
  let outlet = outlets.get(name);
  if (outlet === undefined) {
    outlet = new NodeChannel(name);
    /** @type {any} */ (outlet).unref();
    outlets.set(name, outlet);
  }
  outlet.postMessage(message);
}

/**
 * Number of members with a name: channels of this thread, workers and child processes.
 * @param {string} name
 */
function listening(name) {
  return members.get(name)?.size ?? 0;
}

module.exports.BROADCAST = BROADCAST;
module.exports.serialize = serialize;
module.exports.deserialize = deserialize;
module.exports.listening = listening;
module.exports.join = join;
module.exports.leave = leave;
module.exports.post = post;
module.exports.receive = receive;
module.exports.forget = forget;
module.exports.takeFromWorker = takeFromWorker;
