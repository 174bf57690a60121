'use strict';

/**
 * The way of messages for channels of the whole host. Within a process Node's channels of the same name carry
 * them. From thread to thread they go up to the main thread, by the port of each worker; from there to the
 * primary, by the channel of the cluster; and from the primary to the processes that have a channel of that name.
 *
 * Each thread and process tells the one above which names it has; with it, its names go.
 */

const { Deserializer, Serializer } = require('node:v8');
const { nodes, port } = require('./preload');

const { MessagePort } = nodes;
const NodeChannel = /** @type {typeof import('node:worker_threads').BroadcastChannel} */ (
  nodes.BroadcastChannel
);

/** How the cluster's messages begin that are for this. Node delivers what begins so to nobody else. */
const COMMAND = 'NODE_MANYCORE_BROADCAST';

/** Begins what a worker says to its parent: `[BROADCAST, ...entry]`. */
const BROADCAST = 'manycore:broadcast:8d1c6f3b-6a5e-4a36-9f0c-1f6f2f0b7c55';

/** As structured clone does it; `v8.serialize` treats buffers in ways of its own. */
class Cloner extends Serializer {
  /** Called for what cannot be cloned. */
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

/** Who has a name: channels of this thread, workers and processes below it. @type {Map<string, Set<object>>} */
const members = new Map();
/** By which messages from elsewhere are posted in this process. @type {Map<string, import('node:worker_threads').BroadcastChannel>} */
const outlets = new Map();

/**
 * The way up.
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
 * What a channel of this thread posts to other processes.
 * @param {string} name
 * @param {Uint8Array} bytes
 */
function post(name, bytes) {
  toOtherProcesses(name, bytes, undefined);
}

/**
 * Takes what a worker or process below says.
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
 * A worker or process below has gone.
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
  // A callback: a process that is going must not be an 'error' for what it does not get any more.
  target.send(message, undefined, undefined, () => {});
}

/**
 * In a worker. The parent of one that is none of ours knows nothing of this.
 * @param {any[]} entry
 */
function toParent(...entry) {
  if (port !== null) MessagePort.prototype.postMessage.call(port, [BROADCAST, ...entry]);
}

/**
 * In the main thread of a cluster's worker.
 * @param {string} op
 * @param {string} name
 * @param {Uint8Array} [bytes]
 */
function toPrimary(op, name, bytes) {
  // Asked of Node's own module: it knows what this process is, and ours answers the same.
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
 * In the primary: takes a message of a worker's. False when it is none for this.
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
 * Posts what came from another process to all channels of this one.
 * @param {string} name
 * @param {Uint8Array | undefined} bytes
 */
function deliver(name, bytes) {
  if (bytes === undefined || !members.has(name)) return;
  let message;
  try {
    message = deserialize(bytes);
  } catch {
    // Bytes that no channel wrote.
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
 * How many have a name: channels of this thread, workers and processes below it.
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
