'use strict';

/**
 * poolifier's strategies for choosing the worker of a task, as balancers: among the workers that have room, so that
 * no task waits behind another while some worker is free.
 */

const { kMember } = require('./crew');

/** @typedef {import('./member').Member} Member */
/** @typedef {{ inHand: number, pinned: number, completed: number, busyMs: number }} Load */

/**
 * What a worker costs: the one with the least is chosen, the first of several.
 * @type {Record<string, (load: Load, member: Member, given: Map<Member, number>) => number>}
 */
const COSTS = {
  /** Tasks given to it so far. */
  LEAST_USED: (_load, member, given) => given.get(member) ?? 0,
  /** Time that its tasks ran so far. */
  LEAST_BUSY: (load) => load.busyMs,
  /** When it would be done if each task took as long as its tasks did so far. */
  FAIR_SHARE: (load, member, given) =>
    load.busyMs * (1 + Math.max((given.get(member) ?? 0) - load.completed, 0) / Math.max(load.completed, 1)),
  /** Share of the time that its event loop was active since it was asked last. */
  LEAST_ELU: (_load, member) => eluOf(member),
};

const STRATEGIES = ['ROUND_ROBIN', ...Object.keys(COSTS)];

/** What each worker's event loop had done when it was looked at last. @type {WeakMap<Member, any>} */
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
  /** Tasks given to each worker. @type {Map<Member, number>} */
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
      // By the number of the worker, not by its place among those that are free now.
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
