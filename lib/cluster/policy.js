'use strict';

/**
 * `cluster.schedulingPolicy`: which values there are and how a listener is served under each.
 */

const builtin = require('./builtin');
const { readChoice, warn } = require('../core/environment');
const { makeError } = require('../core/errors');

/**
 * A policy of one's own: chooses one of the workers that serve the listener. Anything else than one of them
 * leaves the choice to round-robin.
 * @callback Chooser
 * @param {{ remoteAddress: string, remotePort: number, remoteFamily: 'IPv4' | 'IPv6' | undefined }} connection
 * @param {import('node:cluster').Worker[]} workers
 * @returns {import('node:cluster').Worker | undefined}
 */

/** Node's constants, which its cluster object has in a primary only. */
const SCHED_NONE = 1;
const SCHED_RR = 2;

/** Workers accept from a shared socket, evened out by a gate in each; nothing is handed over. */
const SHARED = 'none';

/** Policies for which the hub decides about each connection. */
const HUB_POLICIES = new Set(['rr', 'least-connections', 'p2c', 'ip-hash']);

/**
 * The name of a policy as the rest of the code knows it.
 * @param {unknown} value what a user set
 * @returns {string | Chooser}
 * @throws ERR_INVALID_ARG_VALUE
 */
function policyName(value) {
  if (value === SCHED_NONE || value === SHARED) return SHARED;
  if (value === SCHED_RR) return 'rr';
  if (typeof value === 'string' && HUB_POLICIES.has(value)) return value;
  if (typeof value === 'function' && builtin.isPrimary) return /** @type {Chooser} */ (value);
  const known = [SHARED, ...HUB_POLICIES].map((name) => `'${name}'`).join(', ');
  throw makeError(
    'ERR_INVALID_ARG_VALUE',
    [
      'schedulingPolicy',
      value,
      `must be SCHED_RR, SCHED_NONE, one of ${known} or, in the primary, a function`,
    ],
    policyName,
  );
}

const VARIABLE = 'NODE_CLUSTER_SCHED_POLICY';

/** Named by the environment, if any. Node ignores other values, too, and says nothing. */
const environmentPolicy = () => readChoice(VARIABLE, [SHARED, ...HUB_POLICIES]);

/** Whether Node has such a policy. */
const isNodes = (/** @type {string | Chooser} */ name) => name === SHARED || name === 'rr';

/** Where Node schedules, and would leave out the policy of the environment without a word. */
function warnWithoutAddon() {
  const name = environmentPolicy() ?? SHARED;
  if (!isNodes(name)) {
    warn(VARIABLE, name, "this policy needs manycore's native addon, which cannot run here");
  }
}

/** The policy a primary starts with. */
function initialPolicy() {
  return environmentPolicy() ?? SHARED;
}

/** What `cluster.schedulingPolicy` reads as when nothing was assigned to it: Node's constants for Node's policies. */
function readsAs() {
  const name = environmentPolicy();
  if (name === SHARED) return SCHED_NONE;
  return name === undefined || isNodes(name) ? SCHED_RR : name;
}

/**
 * @param {unknown} value what a user set
 * @throws ERR_INVALID_ARG_TYPE
 */
function checkProxyProtocol(value) {
  if (value === undefined || typeof value === 'boolean') return;
  throw makeError('ERR_INVALID_ARG_TYPE', ['proxyProtocol', 'of type boolean', value], checkProxyProtocol);
}

/** The constant that Node's cluster knows for a policy. */
function builtinPolicy(/** @type {string | Chooser} */ name) {
  return name === SHARED ? SCHED_NONE : SCHED_RR;
}

module.exports.SHARED = SHARED;
module.exports.policyName = policyName;
module.exports.checkProxyProtocol = checkProxyProtocol;
module.exports.initialPolicy = initialPolicy;
module.exports.isNodes = isNodes;
module.exports.warnWithoutAddon = warnWithoutAddon;
module.exports.readsAs = readsAs;
module.exports.builtinPolicy = builtinPolicy;
