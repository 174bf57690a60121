'use strict';

/**
 * Primary side: forks workers with a link to the acceptor and answers their requests to listen.
 *
 * Node's cluster does the forking, the events and the disconnect protocol; of the messages between it and its
 * workers, only those about TCP and Unix listeners are intercepted and answered here. A worker that started without
 * our preload still speaks Node's protocol and gets the listening socket itself, as under SCHED_NONE.
 */

const path = require('node:path');
const { setImmediate } = require('node:timers');
const { getSystemErrorName } = require('node:util');

const builtin = require('./builtin');
const { loadAddon, requireAddon } = require('../core/addon');
const { errnoOf, makeError } = require('../core/errors');
const { OptionNames } = require('../core/option-names');
const { getScheduler } = require('./scheduler');
const { ListenerTable } = require('./listeners');
const { showValues } = require('./inspection');
const { readProcess } = require('./proc');
const policies = require('./policy');
const lanes = require('./ipc-lanes');
const relay = require('../threads/broadcast-relay');

const PRELOAD = path.join(__dirname, 'preload.js');

/** Environment variable that describes the link to the worker: slot, descriptors, lanes. The worker removes it. */
const LINK_VARIABLE = 'MANYCORE_CLUSTER';

const native = { fork: builtin.fork, setupPrimary: builtin.setupPrimary };

/** The object that programs call for these functions: the builtin, or a facade. @type {any} */
let api = builtin;

const SETTINGS = new OptionNames('cluster.setupPrimary()', [
  ...['stallLimitMs', 'proxyProtocol'],
  // Node's.
  ...['args', 'cwd', 'exec', 'execArgv', 'gid', 'inspectPort', 'serialization', 'silent', 'stdio', 'uid'],
  'windowsHide',
]);

/** Policy set by the user, or undefined; read once, at the first set-up, as in Node. */
let chosenPolicy = /** @type {unknown} */ (undefined);
/** @type {string | policies.Chooser | undefined} */
let frozenPolicy;

const listeners = new ListenerTable(() => frozenPolicy ?? policies.initialPolicy());

/**
 * Accessor for `cluster.schedulingPolicy`. If unset, it returns the policy of the environment or SCHED_RR, as in
 * Node.
 */
const schedulingPolicy = {
  configurable: true,
  get: () => chosenPolicy ?? policies.readsAs(),
  set: (/** @type {unknown} */ value) => {
    chosenPolicy = value;
  },
};

/**
 * As Node's, with the additional option `stallLimitMs`: how long a worker may leave connections waiting before they
 * go to others (default 50). Takes effect at the first call or fork.
 * @param {Record<string, any>} [options]
 */
function setupPrimary(options) {
  if (loadAddon() === null) {
    adoptNodesPolicy();
    native.setupPrimary.call(builtin, options);
    return;
  }
  const isChosen = frozenPolicy === undefined && chosenPolicy !== undefined;
  const policy = isChosen ? policies.policyName(chosenPolicy) : (frozenPolicy ?? policies.initialPolicy());
  SETTINGS.checkSpelling(options);
  checkStallLimit(options?.stallLimitMs);
  policies.checkProxyProtocol(options?.proxyProtocol);
  frozenPolicy = policy;
  withBuiltinPolicy(() => native.setupPrimary.call(builtin, options));
}

/**
 * Without the addon, Node schedules and supports only its own two policies. If no policy was assigned, Node's
 * default applies.
 */
function adoptNodesPolicy() {
  if (chosenPolicy === undefined) {
    policies.warnWithoutAddon();
    return;
  }
  const name = policies.policyName(chosenPolicy);
  if (!policies.isNodes(name)) requireAddon(`cluster.schedulingPolicy = '${name}'`);
  builtin.schedulingPolicy = policies.builtinPolicy(name);
}

/** @param {unknown} value */
function checkStallLimit(value) {
  if (value === undefined) return;
  if (typeof value !== 'number') {
    throw makeError('ERR_INVALID_ARG_TYPE', ['stallLimitMs', 'of type number', value]);
  }
  if (!(value > 0 && value <= 3_600_000)) {
    throw makeError('ERR_OUT_OF_RANGE', ['stallLimitMs', '> 0 and <= 3600000', value]);
  }
}

/** Node's set-up accepts only its own two policies, so it is given the closest one. */
function withBuiltinPolicy(/** @type {() => void} */ setUp) {
  const own = Object.getOwnPropertyDescriptor(builtin, 'schedulingPolicy');
  const value = policies.builtinPolicy(frozenPolicy ?? policies.initialPolicy());
  Object.defineProperty(builtin, 'schedulingPolicy', {
    configurable: true,
    enumerable: true,
    writable: true,
    value,
  });
  try {
    setUp();
  } finally {
    Object.defineProperty(builtin, 'schedulingPolicy', /** @type {PropertyDescriptor} */ (own));
  }
}

/**
 * As Node's `cluster.fork`.
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {import('node:cluster').Worker}
 */
function fork(env) {
  const addon = loadAddon();
  if (addon === null) {
    adoptNodesPolicy();
    return native.fork.call(builtin, env);
  }
  const { scheduler, link } = addWorker(addon);
  const links = lanes.create(addon);
  let worker;
  try {
    worker = forkLinked(env, link, scheduler.acceptor.scoreboardFd(), links);
  } catch (error) {
    scheduler.removeWorker(link);
    lanes.close(links);
    throw error;
  }
  adopt(worker, link, scheduler);
  lanes.attachWorker(addon, links, worker, lanes.formatOf(builtin.settings));
  return worker;
}

/**
 * @param {import('../core/addon').Binding} addon
 * @throws system errors as Node reports them for a process that cannot be started
 */
function addWorker(addon) {
  try {
    const scheduler = getScheduler(addon, builtin.settings);
    return { scheduler, link: scheduler.addWorker() };
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    const code = getSystemErrorName(errno);
    throw Object.assign(new Error(`spawn ${code}`), { errno, code, syscall: 'spawn' });
  }
}

/**
 * Calls Node's `fork` with our preload and descriptors in its settings, invisibly for the user: they are inserted
 * between the set-up that Node's `fork` starts with and the spawn that follows in the same call.
 * @param {any} env
 * @param {import('../native/index').AcceptorWorker} link
 * @param {number} scoreboardFd
 * @param {import('./ipc-lanes').Links | null} links
 */
function forkLinked(env, link, scoreboardFd, links) {
  const { setupPrimary: current } = builtin;
  // As in Node, that of a program that has replaced it.
  const { setupPrimary: setUp } = api;
  /** Number of stdio descriptors the user sees. */
  let visible = 0;
  /** @type {any} */
  let settings;
  builtin.setupPrimary = () => {
    setUp.call(api);
    settings = builtin.settings;
    const own = ownStdio(settings);
    // Invalid values are left to Node, which throws.
    if (own === null || !Array.isArray(settings.execArgv)) return;
    const stdio = [...own, link.fd, scoreboardFd, ...lanes.fdsOf(links)];
    const at = (visible = own.length);
    const lanesAt = links === null ? '' : `,${at + 2},${lanes.formatOf(settings)}`;
    linkedEnv[LINK_VARIABLE] = `${link.slot},${at},${at + 1}${lanesAt}`;
    builtin.settings = { ...settings, stdio, execArgv: ['--require', PRELOAD, ...settings.execArgv] };
  };
  const linkedEnv = { ...env };
  try {
    // Node reads the environment after `setupPrimary`, which sets the variable.
    const worker = native.fork.call(builtin, linkedEnv);
    // Absent if the process could not be started.
    if (visible > 0 && worker.process.stdio) worker.process.stdio.length = visible;
    const { spawnargs } = worker.process;
    const at = spawnargs?.indexOf(PRELOAD) ?? -1;
    if (at > 0) spawnargs.splice(at - 1, 2);
    return worker;
  } finally {
    builtin.setupPrimary = current;
    if (settings !== undefined) builtin.settings = settings;
  }
}

/** Strings that Node accepts as `stdio`. */
const STDIO_WORDS = new Set(['pipe', 'inherit', 'ignore', 'overlapped']);

/**
 * Returns the worker's stdio as an array, like the default of `fork`; null for values that Node rejects.
 * @param {any} settings
 * @returns {any[] | null}
 */
function ownStdio({ stdio, silent }) {
  // Node completes a shorter one with the default, so that nothing else becomes stdin, stdout or stderr.
  if (Array.isArray(stdio)) return [...stdio, ...Array(Math.max(0, 3 - stdio.length))];
  if (typeof stdio === 'string' && !STDIO_WORDS.has(stdio)) return null;
  const each = typeof stdio === 'string' ? stdio : silent ? 'pipe' : 'inherit';
  return [each, each, each, 'ipc'];
}

/**
 * @param {any} worker
 * @param {import('../native/index').AcceptorWorker} link
 * @param {import('./scheduler').Scheduler} scheduler
 */
function adopt(worker, link, scheduler) {
  const { process: child } = worker;
  const client = { worker, token: link.token, scheduler };
  scheduler.watch(link, worker);

  // Node's listener for cluster messages is the last one, added by the fork that has just returned.
  const [nodeListener] = child.listeners('internalMessage').slice(-1);
  child.removeListener('internalMessage', nodeListener);
  child.on('internalMessage', (/** @type {any} */ message, /** @type {any} */ handle) => {
    if (relay.takeFromWorker(worker, message)) return;
    if (!listeners.handle(client, message)) nodeListener.call(child, message, handle);
  });

  endInOrder(child);
  // Before Node's own listener, so that state is cleaned up when its events are emitted.
  child.prependOnceListener('disconnect', () => {
    relay.forget(worker);
    listeners.removeWorker(client);
  });
  child.prependOnceListener('exit', () => {
    scheduler.removeWorker(link);
    listeners.removeWorker(client);
  });
  const { disconnect } = worker;
  hide(worker, 'disconnect', {
    writable: true,
    value() {
      const result = disconnect.call(this);
      listeners.removeWorker(client);
      return result;
    },
  });
  hide(worker, 'load', { get: () => ({ ...scheduler.load(link), ...readProcess(child) }) });
}

/**
 * Makes 'disconnect' precede 'exit'. If another process died just before, Node may learn of an exit before it has
 * read the end of the channel, unless it gets another loop turn to do so. Programs that inspect `cluster.workers`
 * in 'exit' would then see a worker whose channel seems open.
 * @param {any} child
 */
function endInOrder(child) {
  const handle = child._handle;
  const onexit = handle?.onexit;
  if (typeof onexit !== 'function') return;
  handle.onexit = function (/** @type {number} */ code, /** @type {string} */ signal) {
    const end = () => onexit.call(this, code, signal);
    // A process that could not be started has no channel to read.
    if (code < 0 || !child.connected) return end();
    // The first callback runs in this turn, the second in the turn that has read the channel.
    setImmediate(() => setImmediate(end));
  };
}

/** @param {object} target @param {string} name @param {PropertyDescriptor} descriptor */
function hide(target, name, descriptor) {
  Object.defineProperty(target, name, { configurable: true, enumerable: false, ...descriptor });
}

/**
 * Gives an object manycore's part of the API.
 * @param {object} target
 */
function giveTo(target) {
  api = target;
  const methods = { fork, setupPrimary, setupMaster: setupPrimary };
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(target, name, { configurable: true, enumerable: true, writable: true, value });
  }
  Object.defineProperty(target, 'schedulingPolicy', { ...schedulingPolicy, enumerable: true });
  showValues(target, builtin);
}

module.exports.giveTo = giveTo;
module.exports.LINK_VARIABLE = LINK_VARIABLE;
