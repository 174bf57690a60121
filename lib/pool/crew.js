'use strict';

/** The workers of a pool: starts, replaces and dismisses them. */

const { LONGEST_TIMER_MS } = require('../core/timers');
const { Errors } = require('./errors');
const { BEGUN, TaskKind } = require('./page');
const { leastOf } = require('./start');

/** @typedef {import('./member').Channel} Channel */
/** @typedef {import('./member').Member} Member */
/** @typedef {import('./tasks').Extra} Extra */

/** Once this many processes have been killed in a row while starting, this is treated as a failure to start. */
const MOST_KILLED_STARTING = 10;

const kMember = Symbol('member');

/**
 * @typedef {object} Owner what a crew requires of its pool
 * @property {(event: string, ...args: any[]) => void} emit
 * @property {(call: () => void) => void} tell calls user code, which may throw
 * @property {() => number} outstanding number of unsettled tasks
 * @property {() => void} drain processes pending reports of workers
 * @property {(slots: number[], error: any) => number} onLost returns how many of the tasks were still awaited
 * @property {(error: any) => boolean} onStuck called if no worker can be started; returns whether a task was
 * awaited
 * @property {(member: Member) => void} onAvailable
 */

class Crew {
  #options;
  #native;
  #memory;
  #owner;
  /** Started threads not yet assigned to a member. @type {import('./start').Started[]} */
  #started;
  /** Members by their place in the queue. @type {(Member | undefined)[]} */
  #places = [];
  /** Members in the order they were started. @type {Set<Member>} */
  #members = new Set();
  /** @type {Set<Member>} */
  #leaving = new Set();
  /** Members that end once their tasks have. @type {Set<Member>} */
  #ending = new Set();
  #readyCount = 0;
  #failsToStart = false;
  /** Processes killed while starting since the last successful start. */
  #killedStarting = 0;
  #isClosed = false;
  /** Of tasks that have not begun, by number. @type {Map<number, Channel>} */
  #channels = new Map();
  #lastChannel = 0;
  /** @type {NodeJS.Timeout | null} */
  #idleTimer = null;
  /** @type {NodeJS.Timeout | null} */
  #ageTimer = null;

  /**
   * @param {Record<string, any>} options
   * @param {import('../native/index').PoolQueue} native
   * @param {import('../link/memory').Memory} memory memory for its reports
   * @param {Owner} owner
   * @param {import('./start').Started[]} started threads for the first workers
   */
  constructor(options, native, memory, owner, started) {
    this.#options = options;
    this.#native = native;
    this.#memory = memory;
    this.#owner = owner;
    this.#started = started;
    try {
      this.#ensureMinimum(true);
    } catch (error) {
      // The pool will not exist, so their exits must not be reported to it.
      this.#places = [];
      for (const member of this.#members) member.terminate(error);
      throw error;
    }
    if (options.maxWorkerAgeMs > 0) {
      const period = Math.max(Math.min(options.maxWorkerAgeMs / 4, 1000), 1);
      this.#ageTimer = setInterval(() => this.#replaceOld(), period).unref();
    }
  }

  get size() {
    return this.#members.size;
  }

  get readyCount() {
    return this.#readyCount;
  }

  /** Number of tasks that ready workers can hold at once. */
  get capacity() {
    const { concurrentTasksPerWorker } = this.#options;
    if (this.#ending.size === 0) return this.#readyCount * concurrentTasksPerWorker;
    let capacity = 0;
    for (const member of this.#members) {
      if (member.isEnding) capacity += this.#native.begun(member.number).length;
      else if (member.isReady) capacity += concurrentTasksPerWorker;
    }
    return capacity;
  }

  /** Number of tasks that starting workers will be able to hold. */
  get pendingCapacity() {
    return (this.#members.size - this.#readyCount) * this.#options.concurrentTasksPerWorker;
  }

  /** Yields members that are starting first, then those that are ready. */
  *[Symbol.iterator]() {
    for (const member of this.#members) if (!member.isReady) yield member;
    for (const member of this.#members) if (member.isReady) yield member;
  }

  /** Yields members that go on to take tasks, in the order of the iterator. */
  *staying() {
    for (const member of this) if (!member.isEnding) yield member;
  }

  /** @param {number} place */
  at(place) {
    return this.#places[place];
  }

  /** Starts one more worker, if the maximum allows it. */
  grow() {
    if (!this.#isClosed && this.#members.size < this.#options.maxThreads) this.#add(false);
  }

  /** Applies new limits set by `resize()`. */
  adjust() {
    for (const member of this.#ending) {
      if (!member.isSurplus || member.isRetired) continue;
      member.isSurplus = member.isEnding = false;
      this.#ending.delete(member);
    }
    this.#ensureMinimum(false);
    this.#shrink();
    this.settle();
  }

  /** Ends the least busy workers over the maximum. */
  #shrink() {
    const excess = Math.ceil(this.#members.size - this.#ending.size - this.#options.maxThreads);
    if (excess <= 0 || this.#isClosed) return;
    const loads = new Map(this.#native.loads().map((load) => [load.worker, load]));
    const ranked = [...this.#members]
      .filter((member) => !member.isEnding)
      .map((member) => ({ member, load: loads.get(member.number) ?? { pinned: 0, inHand: 0 } }))
      .sort(({ member: a, load: loadA }, { member: b, load: loadB }) => {
        const byLoad = loadA.pinned - loadB.pinned || loadA.inHand - loadB.inHand;
        // The latest first.
        return byLoad || Number(a.hasStarted) - Number(b.hasStarted) || b.workerId - a.workerId;
      });
    for (const { member } of ranked.slice(0, excess)) {
      member.isSurplus = true;
      this.end(member);
    }
  }

  /**
   * Makes a worker end once it has no tasks, those assigned to it included. It takes no others.
   * @param {Member} member
   */
  end(member) {
    if (member.isLeaving) return;
    member.isEnding = true;
    this.#ending.add(member);
    this.#retire(member);
  }

  /** @param {Member} member one that is ending */
  #retire(member) {
    if (member.isRetired) return;
    const { number } = member;
    // A task assigned to it may have its value on the worker's port, and would be lost with it.
    if (this.#native.loads().some(({ worker, pinned }) => worker === number && pinned > 0)) return;
    member.isRetired = true;
    if (this.#native.retire(number, false)) return this.onRetired(member);
    this.#native.retire(number, true);
    // It may have become idle in between, and reports its retirement only after a task.
    if (this.#native.begun(number).length === 0) this.onRetired(member);
  }

  /** @param {boolean} isFirst */
  #ensureMinimum(isFirst) {
    if (this.#isClosed) return;
    while (this.#members.size < leastOf(this.#options)) this.#add(isFirst);
  }

  /** @param {boolean} isFirst whether it counts as ready before it has started */
  #add(isFirst) {
    const number = this.#native.addWorker();
    /** @type {import('./member').Events} */
    const events = {
      onMessage: (from, message) => this.#onMessage(from, message),
      onExit: (gone, code, signal) => this.onExit(gone, code, signal),
    };
    const parts = /** @type {const} */ ([this.#options, this.#native, number, this.#memory, events]);
    let member;
    try {
      // Each loaded only for pools of its kind.
      if (this.#options.runtime === 'processes') {
        member = new (require('./process-member').ProcessMember)(...parts);
      } else {
        const { ThreadMember } = require('./thread-member');
        ThreadMember.prepare();
        member = new ThreadMember(...parts, this.#started.shift());
      }
    } catch (error) {
      this.#native.abandon(number);
      throw error;
    }
    this.#members.add(member);
    this.#places[number] = member;
    if (this.#options.emitStdStreams) forwardStreams(member, this.#owner.emit);
    if (!isFirst) return;
    this.#markReady(member);
    const created = member;
    queueMicrotask(() => this.#owner.emit('workerCreate', this.interfaceOf(created)));
  }

  /**
   * @param {Member} member
   * @param {any} message
   */
  #onMessage(member, message) {
    const begun = message?.[BEGUN];
    if (begun !== undefined) return this.#connect(member, begun);
    const { channel } = member;
    if (channel !== null) this.#owner.tell(() => channel.postMessage?.(message));
    this.#owner.emit('message', message);
  }

  /**
   * Returns the number by which the start of a task with this channel is announced.
   * @param {Channel} channel
   */
  expectChannel(channel) {
    this.#channels.set(++this.#lastChannel, channel);
    return this.#lastChannel;
  }

  /** The task starts once more. @param {Extra} extra */
  expectChannelAgain({ channel, channelId }) {
    if (channel !== null) this.#channels.set(channelId, channel);
  }

  /** The task does not start. @param {Extra | undefined} extra */
  forgetChannel(extra) {
    if (extra !== undefined) this.#channels.delete(extra.channelId);
  }

  /**
   * A task with a channel begins: what comes after this is for that channel.
   * @param {Member} member
   * @param {number} id
   */
  #connect(member, id) {
    const channel = this.#channels.get(id);
    if (channel === undefined) return;
    this.#channels.delete(id);
    if (member.channel === channel) return;
    this.#closeChannel(member);
    member.channel = channel;
    const send = (/** @type {any} */ message) => {
      if (member.channel === channel) member.post(message);
    };
    this.#owner.tell(() => channel.onMessage?.(send));
  }

  /** @param {Member} member */
  #closeChannel(member) {
    const { channel } = member;
    member.channel = null;
    if (channel !== null) this.#owner.tell(() => channel.onClose?.());
  }

  /** @param {Member} member */
  #markReady(member) {
    if (member.isReady || member.isLeaving) return;
    member.isReady = true;
    this.#readyCount++;
  }

  /** Called when a worker starts to take tasks. @param {Member} member */
  onStarted(member) {
    member.hasStarted = true;
    this.#killedStarting = 0;
    if (!member.isReady && !member.isLeaving) {
      this.#markReady(member);
      this.#owner.emit('workerCreate', this.interfaceOf(member));
    }
    this.#owner.emit('ready', this.interfaceOf(member));
    this.#owner.onAvailable(member);
    this.settle();
  }

  /** Called when a retired worker has finished its last task. @param {Member} member */
  onRetired(member) {
    if (member.isLeaving) return;
    if (!member.isSurplus) this.#owner.emit('workerRecycle', this.interfaceOf(member));
    this.leave(member);
    this.replenish();
  }

  /**
   * Dismisses a worker. Tasks it holds are rejected with the cause.
   * @param {Member} member
   * @param {any} [cause]
   */
  leave(member, cause = Errors.threadTermination()) {
    if (!this.#remove(member)) return;
    this.#leaving.add(member);
    member.isLeaving = true;
    this.#native.retire(member.number, true);
    const isGraceful =
      (member.endsByItself || this.#isTornDown(member)) && this.#native.begun(member.number).length === 0;
    if (isGraceful && member.hasStarted) {
      member.cause ??= cause;
      member.hold();
      this.#native.notify(member.number, TaskKind.RETIRE, 0);
      const { terminateTimeout } = this.#options;
      if (terminateTimeout <= LONGEST_TIMER_MS) {
        setTimeout(() => member.terminate(cause), terminateTimeout).unref();
      }
    } else {
      member.terminate(cause);
    }
    this.#owner.emit('workerDestroy', this.interfaceOf(member));
  }

  /** Returns whether it was a member. @param {Member} member */
  #remove(member) {
    if (!this.#members.delete(member)) return false;
    this.#ending.delete(member);
    if (member.isReady) this.#readyCount--;
    return true;
  }

  /** Whether a worker has to run clean-up code before it ends. @param {Member} _member */
  #isTornDown(_member) {
    return this.#options.teardown !== null || this.#options.onTerminateWorker !== undefined;
  }

  /** Starts workers up to the minimum, and more if tasks are waiting. */
  replenish() {
    if (this.#isClosed) return;
    if (!this.#failsToStart) this.#ensureMinimum(false);
    const { concurrentTasksPerWorker, maxThreads } = this.#options;
    const isShort = () => this.#owner.outstanding() > this.#members.size * concurrentTasksPerWorker;
    while (this.#members.size < maxThreads && isShort()) {
      this.#add(false);
      if (this.#failsToStart) break;
    }
  }

  /**
   * @param {Member} member
   * @param {number | null} code null if the event loop is blocked and its exit event cannot be received
   * @param {string | null} [signal] signal that killed its process
   */
  onExit(member, code, signal = null) {
    if (this.#places[member.number] !== member) return;
    const wasExpected = member.isLeaving;
    const { cause } = member;
    const error = cause ?? Errors.workerExited(code, signal);
    if (code !== null) this.#owner.drain();
    if (this.#remove(member)) {
      this.#owner.emit('workerDestroy', this.interfaceOf(member));
    }
    this.#leaving.delete(member);
    this.#places[member.number] = undefined;
    const affected = this.#owner.onLost(this.#native.abandon(member.number), error);
    this.#closeChannel(member);
    const { onTerminateWorker } = this.#options;
    if (onTerminateWorker !== undefined) {
      this.#owner.tell(() => onTerminateWorker({ ...member.settings, workerId: member.workerId }));
    }
    if (this.#isClosed) return;
    if (wasExpected) return this.replenish();
    // Killed from outside, which does not mean that the next one cannot start.
    const isKilled = !member.hasStarted && signal !== null && cause === undefined;
    if (isKilled && ++this.#killedStarting < MOST_KILLED_STARTING) return this.replenish();
    if (!member.hasStarted) return this.#onFailedStart(error, cause !== undefined);
    if (this.#options.restartWorkerOnError) this.replenish();
    else if (this.#members.size === 0) this.#owner.onStuck(error);
    if (cause !== undefined && affected === 0) this.#owner.emit('error', error);
  }

  /**
   * Workers that fail to start are not started over and over.
   * @param {any} error
   * @param {boolean} isReported whether the worker reported an error
   */
  #onFailedStart(error, isReported) {
    this.#failsToStart = true;
    const hasOthers = this.#members.size > 0;
    if (!hasOthers && this.#owner.onStuck(error)) return;
    if (isReported) this.#owner.emit('error', error);
  }

  /** Ends workers that are to end, as soon as they can, and dismisses idle ones after `idleTimeout`. */
  settle() {
    for (const member of this.#ending) this.#retire(member);
    const { idleTimeout } = this.#options;
    if (!this.#hasSpare() || idleTimeout === Infinity) return;
    if (this.#idleTimer !== null || this.#isClosed) return;
    const before = new Map(this.#native.loads().map((load) => [load.worker, load.completed]));
    this.#idleTimer = setTimeout(
      () => {
        this.#idleTimer = null;
        this.#dismissIdle(before);
      },
      Math.min(idleTimeout, LONGEST_TIMER_MS),
    ).unref();
  }

  /** Whether more workers take tasks than there must be. */
  #hasSpare() {
    return this.#members.size - this.#ending.size > leastOf(this.#options);
  }

  /** @param {Map<number, number>} before completed tasks per worker at the start of the period */
  #dismissIdle(before) {
    for (const load of this.#native.loads()) {
      if (!this.#hasSpare()) return;
      const member = this.#places[load.worker];
      if (member === undefined || !member.isReady || member.isEnding || member.isLeaving) continue;
      if (load.inHand !== 0 || before.get(load.worker) !== load.completed) continue;
      if (this.#owner.outstanding() >= this.capacity) return;
      if (member.usage === 0 && this.#native.retire(load.worker, false)) this.leave(member);
    }
    this.settle();
  }

  #replaceOld() {
    const oldest = performance.now() - this.#options.maxWorkerAgeMs;
    for (const member of [...this.#members]) {
      if (!member.hasStarted || member.startedAt > oldest) continue;
      if (this.#native.retire(member.number, false)) this.onRetired(member);
    }
  }

  /** Dismisses all workers. Resolves when they have ended. @param {any} [cause] */
  async close(cause) {
    this.#isClosed = true;
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    if (this.#ageTimer !== null) clearInterval(this.#ageTimer);
    for (const member of [...this.#members]) this.leave(member, cause);
    await Promise.all([...this.#leaving].map((member) => member.exited));
  }

  /**
   * Returns the user-visible view of a worker.
   * @param {Member} member
   */
  interfaceOf(member) {
    const native = this.#native;
    return {
      get id() {
        return member.id;
      },
      get currentUsage() {
        if (this.isRunningAbortableTask) return Infinity;
        return member.usage || native.begun(member.number).length;
      },
      get isRunningAbortableTask() {
        return member.abortable === 1 && member.usage === 1;
      },
      get histogram() {
        return member.histogram === null ? null : require('./histogram').summaryOfHistogram(member.histogram);
      },
      get terminating() {
        return member.isLeaving && !member.isGone;
      },
      get destroyed() {
        return member.isLeaving || member.isGone;
      },
      [kMember]: member,
    };
  }
}

/**
 * @param {Member} member
 * @param {(event: string, ...args: any[]) => void} emit
 */
function forwardStreams(member, emit) {
  for (const name of /** @type {const} */ (['stdout', 'stderr'])) {
    member.worker[name]
      .setEncoding('utf8')
      .on('data', (/** @type {any} */ text) => emit(name, text, member.workerId));
  }
}

module.exports.Crew = Crew;
module.exports.kMember = kMember;
