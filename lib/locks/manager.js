'use strict';

/**
 * Web Locks (`request`, `query`) over one table for all names of a scope. Each request records the request in whose
 * callback it was made, so that `query` can report who waits for whom, across processes.
 */

const { AsyncLocalStorage } = require('node:async_hooks');
const { threadId } = require('node:worker_threads');

const { makeError } = require('../core/errors');
const { OptionNames } = require('../core/option-names');
const { unlinkUnused } = require('../shared/segments');
const { named } = require('../shared/source');
const { deadlocksOfNames, deadlocksOfObjects } = require('./deadlocks');
const { Flag, Kind, Status, watch } = require('./native');
const { checkFunction, checkSignal, checkString, record, waitOptions } = require('./options');
const { registered } = require('./registry');
const { Table } = require('./table');

/** Maximum number of requests held or pending at once, in all processes. */
const MAX_REQUESTS = 1024;
const MAX_NAME_BYTES = 252;
const SEGMENT = 'manycore.locks';
const REQUEST_OPTIONS = new OptionNames('A request for a lock', [
  'mode',
  'ifAvailable',
  'steal',
  'signal',
  'timeoutMs',
]);
const MANAGER_OPTIONS = new OptionNames('LockManager', ['scope', 'namespace']);
const kConstruct = Symbol('construct');
/** Names of methods for `leader()` and `runOnce()`. */
const kRequestNamed = Symbol('requestNamed');
const kIsRunDone = Symbol('isRunDone');
const kNoteRun = Symbol('noteRun');

/** A named lock, held while the callback runs. */
class Lock {
  #name;
  #mode;
  #fencingToken;
  #ownerDied;

  /**
   * @param {symbol} construct
   * @param {string} name
   * @param {string} mode
   * @param {number} fencingToken
   * @param {boolean} ownerDied
   */
  constructor(construct, name, mode, fencingToken, ownerDied) {
    if (construct !== kConstruct) throw makeError('ERR_ILLEGAL_CONSTRUCTOR', [], Lock);
    this.#name = name;
    this.#mode = mode;
    this.#fencingToken = fencingToken;
    this.#ownerDied = ownerDied;
  }

  get name() {
    return this.#name;
  }

  get mode() {
    return this.#mode;
  }

  get fencingToken() {
    return this.#fencingToken;
  }

  get ownerDied() {
    return this.#ownerDied;
  }
}

/**
 * @typedef {object} Wanted
 * @property {'exclusive' | 'shared'} mode
 * @property {boolean} ifAvailable
 * @property {boolean} steal
 * @property {number} timeoutMs
 * @property {AbortSignal | undefined} signal
 */

class LockManager {
  #place;
  /** @type {Table | undefined} */
  #opened;
  /** Ticket of the request whose callback is running. @type {AsyncLocalStorage<number>} */
  #within = new AsyncLocalStorage();

  /** @param {{ scope?: 'host' | 'process', namespace?: string }} [options] */
  constructor(options) {
    const given = record('options', options);
    MANAGER_OPTIONS.check(given);
    const { scope = 'host', namespace } = given;
    if (scope !== 'host' && scope !== 'process') {
      throw makeError(
        'ERR_INVALID_ARG_VALUE',
        ['options.scope', scope, "must be 'host' or 'process'"],
        LockManager,
      );
    }
    if (namespace !== undefined) checkString('options.namespace', namespace);
    const name = namespace === undefined ? SEGMENT : `${SEGMENT}.${namespace}`;
    this.#place = named(name, { scope }, LockManager, 'options.namespace');
  }

  /** Opened on the first request. */
  get #table() {
    this.#opened ??= this.#open();
    return this.#opened;
  }

  #open() {
    const open = () => Table.open(Kind.NAMES, this.#place, MAX_REQUESTS, 0);
    try {
      return open();
    } catch (error) {
      // An unused segment of an older version would otherwise stay until the machine is restarted.
      const { code } = /** @type {NodeJS.ErrnoException} */ (error);
      if (code !== 'ERR_MANYCORE_SEGMENT_VERSION' || !unlinkUnused(this.#place.subject)) throw error;
      return open();
    }
  }

  /**
   * @param {string} name
   * @param {any} options
   * @param {any} [callback]
   * @returns {Promise<any>}
   */
  async request(name, options, callback) {
    if (callback === undefined) {
      callback = options;
      options = undefined;
    }
    checkFunction('callback', callback);
    // As in the Web Locks API, any value is converted to a string.
    name = `${name}`;
    const wanted = checkWanted(options);
    if (name.startsWith('-')) throw notSupported("Lock names may not begin with '-'");
    return this[kRequestNamed](name, wanted, callback);
  }

  /**
   * Like `request`, without validating the name.
   * @param {string} name
   * @param {Wanted} wanted
   * @param {(lock: Lock | null, lost: AbortSignal) => any} callback
   */
  async [kRequestNamed](name, wanted, callback) {
    if (Buffer.byteLength(name) > MAX_NAME_BYTES) {
      throw makeError(
        'ERR_OUT_OF_RANGE',
        ['name', `at most ${MAX_NAME_BYTES} bytes long`, name],
        this.request,
      );
    }
    const table = this.#table;
    const parent = this.#within.getStore() ?? 0;
    let flags = wanted.mode === 'shared' ? Flag.SHARED : Flag.EXCLUSIVE;
    if (!wanted.ifAvailable) flags |= Flag.BELL;
    if (wanted.steal) flags |= Flag.STEAL;
    const status = table.guarded(() => table.native.requestName(flags, name, parent, threadId));
    if (status === Status.UNAVAILABLE) return callback(null, new AbortController().signal);
    if (status !== Status.HELD && status !== Status.PENDING) throw table.refused(status);
    const { index, serial, ticket } = table.requested();
    const end =
      status === Status.PENDING ? await table.waitOn(index, serial, wanted.timeoutMs, wanted.signal) : status;
    if (end === Status.PENDING) {
      throw makeError('ERR_MANYCORE_LOCK_TIMEOUT', [wanted.timeoutMs], this.request);
    }
    // Other calls may have overwritten the results since.
    const now = table.calls.standing(index, serial);
    if (now === Status.LOST) {
      // Stolen before its callback started.
      table.release(index, serial);
      throw stolen();
    }
    const { fencingToken, ownerDied } = table.granted(now, index, serial);
    const lock = new Lock(kConstruct, name, wanted.mode, fencingToken, ownerDied);
    return this.#hold(table, { index, serial, ticket }, lock, callback);
  }

  /**
   * Runs the callback while the lock is held; rejects as soon as the lock is stolen.
   * @param {Table} table
   * @param {{ index: number, serial: number, ticket: number }} request
   * @param {Lock} lock
   * @param {(lock: Lock | null, lost: AbortSignal) => any} callback
   */
  async #hold(table, { index, serial, ticket }, lock, callback) {
    const controller = new AbortController();
    /** @type {(error: unknown) => void} */
    let reject = () => {};
    const loss = new Promise((_resolve, onLoss) => (reject = onLoss));
    // Prevents an unhandled rejection.
    loss.catch(() => {});
    const unwatch = watch(table.native, index, serial, false, () => {
      const error = stolen();
      controller.abort(error);
      reject(error);
    });
    const run = async () => {
      try {
        return await this.#within.run(ticket, callback, lock, controller.signal);
      } finally {
        unwatch();
        table.release(index, serial);
      }
    };
    return Promise.race([run(), loss]);
  }

  /** Returns the held and pending requests of all processes in the scope. */
  async query() {
    const all = this.#table.guarded(() => this.#table.native.query());
    const infos = all.map((request) => ({ request, info: infoOf(request) }));
    const shown = infos.filter(({ request }) => !request.name.startsWith('-'));
    const only = (/** @type {boolean} */ held) =>
      shown.filter(({ request }) => request.held === held).map(({ info }) => info);
    return {
      held: only(true),
      pending: only(false),
      deadlocks: [...deadlocksOfNames(infos), ...deadlocksOfObjects(registered())],
    };
  }

  /** @param {string} run */
  [kIsRunDone](run) {
    return this.#table.guarded(() => this.#table.native.isRunDone(run));
  }

  /** @param {string} run */
  [kNoteRun](run) {
    this.#table.guarded(() => this.#table.native.noteRun(run));
  }
}

/** @param {import('../native/index').LockRequest} request */
function infoOf({ name, shared, pid, permits, fence, held }) {
  return {
    name,
    mode: shared ? 'shared' : 'exclusive',
    clientId: `node-${pid}-${permits}`,
    pid,
    threadId: permits,
    ...(held ? { fencingToken: fence } : {}),
  };
}

/**
 * @param {unknown} options
 * @returns {Wanted}
 */
function checkWanted(options) {
  const given = record('options', options ?? {});
  REQUEST_OPTIONS.check(given);
  const { mode = 'exclusive', ifAvailable, steal, signal, timeoutMs } = given;
  if (mode !== 'exclusive' && mode !== 'shared') {
    throw makeError(
      'ERR_INVALID_ARG_VALUE',
      ['options.mode', mode, "must be 'exclusive' or 'shared'"],
      checkWanted,
    );
  }
  checkSignal(signal);
  if (steal && ifAvailable) throw notSupported('ifAvailable and steal exclude each other');
  if (steal && mode === 'shared') throw notSupported('Only an exclusive lock can be stolen');
  if (signal !== undefined && (steal || ifAvailable)) {
    throw notSupported('signal goes with neither steal nor ifAvailable');
  }
  return {
    mode,
    ifAvailable: Boolean(ifAvailable),
    steal: Boolean(steal),
    ...waitOptions({ timeoutMs, signal }),
  };
}

/** @param {string} message */
function notSupported(message) {
  return new DOMException(message, 'NotSupportedError');
}

function stolen() {
  return new DOMException('The lock was stolen by another request', 'AbortError');
}

/** The default manager, for all processes of this user on this machine. */
const locks = new LockManager();

module.exports.MAX_NAME_BYTES = MAX_NAME_BYTES;
module.exports.Lock = Lock;
module.exports.LockManager = LockManager;
module.exports.locks = locks;
module.exports.kRequestNamed = kRequestNamed;
module.exports.kIsRunDone = kIsRunDone;
module.exports.kNoteRun = kNoteRun;
