'use strict';

/** Values of `cluster.schedulingPolicy`, and how a listener is served under each. */

const builtin = require('./builtin');
const { readChoice, warn } = require('../core/environment');
const { makeError } = require('../core/errors');

/**
 * User-defined policy: returns one of the workers that serve the listener. Any other result leaves the choice to
 * round-robin.
 * @callback Chooser
 * @param {{ remoteAddress: string, remotePort: number, remoteFamily: 'IPv4' | 'IPv6' | undefined }} connection
 * @param {import('node:cluster').Worker[]} workers
 * @returns {import('node:cluster').Worker | undefined}
 */

/** Node's constants, which its cluster object only has in a primary. */
const SCHED_NONE = 1;
const SCHED_RR = 2;

/** Workers accept from a shared socket, balanced by a gate in each of them; no connection is handed over. */
const SHARED = 'none';

/** Policies under which the hub assigns each connection. */
const HUB_POLICIES = new Set(['rr', 'least-connections', 'p2c', 'ip-hash']);

/**
 * Returns the internal name of a policy.
 * @param {unknown} value value set by the user
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

/** The policy named by the environment, if any. Node ignores other values as well, silently. */
const environmentPolicy = () => readChoice(VARIABLE, [SHARED, ...HUB_POLICIES]);

/** Whether Node supports the policy. */
const isNodes = (/** @type {string | Chooser} */ name) => name === SHARED || name === 'rr';

/** Warns if Node schedules and would silently ignore the policy of the environment. */
function warnWithoutAddon() {
  const name = environmentPolicy() ?? SHARED;
  if (!isNodes(name)) {
    warn(VARIABLE, name, "this policy needs manycore's native addon, which cannot run here");
  }
}

/** Returns the policy of a primary that has set none. */
function initialPolicy() {
  return environmentPolicy() ?? SHARED;
}

/** Value of `cluster.schedulingPolicy` if none was assigned: Node's constants for Node's policies. */
function readsAs() {
  const name = environmentPolicy();
  if (name === SHARED) return SCHED_NONE;
  return name === undefined || isNodes(name) ? SCHED_RR : name;
}

/**
 * @param {unknown} value value set by the user
 * @throws ERR_INVALID_ARG_TYPE
 */
function checkProxyProtocol(value) {
  if (value === undefined || typeof value === 'boolean') return;
  throw makeError('ERR_INVALID_ARG_TYPE', ['proxyProtocol', 'of type boolean', value], checkProxyProtocol);
}

/** Returns the constant of Node's cluster for a policy. */
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
