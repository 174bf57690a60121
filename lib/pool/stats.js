'use strict';

/**
 * Returns the current load of a pool.
 * @param {import('./engine').Engine | null} engine
 * @param {number} heldBack tasks that have not reached the engine yet
 * @param {number} completedTasks
 */
function statsOf(engine, heldBack, completedTasks) {
  const loads = engine?.native.loads() ?? [];
  const workers = loads.flatMap(({ worker: place, inHand, pinned, completed, busyMs }) => {
    const member = engine?.crew.at(place);
    if (member === undefined || member.isLeaving) return [];
    const { workerId, hasStarted } = member;
    return [{ workerId, threadId: member.id, hasStarted, inHand, pinned, completed, busyMs }];
  });
  const activeTasks = workers.reduce((sum, each) => sum + each.inHand, 0);
  const busyWorkers = workers.filter((each) => each.inHand > 0).length;
  return {
    totalWorkers: workers.length,
    busyWorkers,
    idleWorkers: workers.length - busyWorkers,
    pendingTasks: Math.max((engine?.outstanding ?? 0) - activeTasks, 0) + heldBack,
    activeTasks,
    completedTasks,
    workers,
  };
}

module.exports.statsOf = statsOf;
