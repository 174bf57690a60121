'use strict';

/**
 * poolifier's strategies for choosing a worker, as load balancers. Only workers with room are considered, so that
 * no task waits behind another while a worker is free.
 */

const { kMember } = require('./crew');

/** @typedef {import('./member').Member} Member */
/** @typedef {{ inHand: number, pinned: number, completed: number, busyMs: number }} Load */

/**
 * Cost of a worker: the one with the lowest cost is chosen, the first of several.
 * @type {Record<string, (load: Load, member: Member, given: Map<Member, number>) => number>}
 */
const COSTS = {
  /** Number of tasks assigned to it so far. */
  LEAST_USED: (_load, member, given) => given.get(member) ?? 0,
  /** Total run time of its tasks so far. */
  LEAST_BUSY: (load) => load.busyMs,
  /** Estimated total run time, if each pending task takes as long as the average of its completed ones. */
  FAIR_SHARE: (load, member, given) =>
    load.busyMs * (1 + Math.max((given.get(member) ?? 0) - load.completed, 0) / Math.max(load.completed, 1)),
  /** Event loop utilization since the last choice. */
  LEAST_ELU: (_load, member) => eluOf(member),
};

const STRATEGIES = ['ROUND_ROBIN', ...Object.keys(COSTS)];

/** Event loop utilization of each worker at the last choice. @type {WeakMap<Member, any>} */
const elus = new WeakMap();

/** @param {Member} member */
function eluOf(member) {
  const { performance } = member.worker;
  const now = performance.eventLoopUtilization();
  const before = elus.get(member);
  elus.set(member, now);
  return (before === undefined ? now : performance.eventLoopUtilization(now, before)).utilization;
}

/**
 * @param {string} name
 * @param {number} concurrency
 * @param {() => Map<number, Load>} loadsByPlace
 */
function makeStrategy(name, concurrency, loadsByPlace) {
  /** Number of tasks assigned to each worker. @type {Map<Member, number>} */
  const given = new Map();
  let turn = -1;
  return (/** @type {any} */ task, /** @type {any[]} */ workers) => {
    const free = workers.filter(
      (worker) =>
        worker.currentUsage === 0 ||
        (!task.isAbortable && !worker.isRunningAbortableTask && worker.currentUsage < concurrency),
    );
    if (free.length === 0) return null;
    let chosen = free[0];
    if (name === 'ROUND_ROBIN') {
      // By worker number, not by index among those that are free now.
      const numberOf = (/** @type {any} */ worker) => worker[kMember].workerId;
      const byNumber = free.toSorted((a, b) => numberOf(a) - numberOf(b));
      chosen = byNumber.find((worker) => numberOf(worker) > turn) ?? byNumber[0];
      turn = numberOf(chosen);
    } else {
      const loads = loadsByPlace();
      const cost = (/** @type {any} */ worker) => {
        const member = worker[kMember];
        const load = loads.get(member.number) ?? { inHand: 0, pinned: 0, completed: 0, busyMs: 0 };
        return COSTS[name](load, member, given);
      };
      let least = Infinity;
      for (const worker of free) {
        const here = cost(worker);
        if (here < least) [least, chosen] = [here, worker];
      }
    }
    const member = chosen[kMember];
    given.set(member, (given.get(member) ?? 0) + 1);
    for (const known of given.keys()) if (known.isGone) given.delete(known);
    return chosen;
  };
}

module.exports.STRATEGIES = STRATEGIES;
module.exports.makeStrategy = makeStrategy;
