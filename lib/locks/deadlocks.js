'use strict';

/**
 * Detects cycles among waiting requests.
 *
 * For named locks it is recorded in which request's callback another request was made, so a cycle of them is
 * certainly a deadlock. For lock objects it is known which thread holds and which waits: a cycle of blocked threads
 * is certainly a deadlock; if one of them waits on its event loop, another of its tasks may still resolve it.
 */

/** @typedef {import('../native/index').LockRequest} LockRequest */

/**
 * Finds the cycles of a graph, each once, by depth-first search.
 * @template T
 * @param {T[]} nodes
 * @param {(node: T) => T[]} next
 * @returns {T[][]}
 */
function circles(nodes, next) {
  /** @type {Set<T>} */
  const done = new Set();
  /** @type {T[][]} */
  const found = [];
  for (const start of nodes) {
    if (done.has(start)) continue;
    // The path from `start` to the current node, with the edges still to follow at each step.
    const path = [{ node: start, rest: next(start) }];
    while (path.length > 0) {
      const node = path[path.length - 1].rest.pop();
      if (node === undefined) {
        const ended = path.pop();
        if (ended !== undefined) done.add(ended.node);
        continue;
      }
      const seenAt = path.findIndex((step) => step.node === node);
      if (seenAt >= 0) found.push(path.slice(seenAt).map((step) => step.node));
      else if (!done.has(node)) path.push({ node, rest: next(node) });
    }
  }
  return found;
}

/**
 * @param {{ request: LockRequest, info: object }[]} entries all requests for named locks
 */
function deadlocksOfNames(entries) {
  const byTicket = new Map(entries.map((entry) => [entry.request.ticket, entry]));
  const isWithin = (/** @type {LockRequest} */ inner, /** @type {LockRequest} */ outer) => {
    // Limited by the number of requests: parent links in corrupt memory may be cyclic themselves.
    let { parent } = inner;
    for (let steps = 0; parent !== 0 && steps <= entries.length; steps++) {
      if (parent === outer.ticket) return true;
      parent = byTicket.get(parent)?.request.parent ?? 0;
    }
    return false;
  };
  /** @param {LockRequest} one @param {LockRequest} other */
  const excludes = (one, other) => one.name === other.name && !(one.shared && other.shared);
  const circlesOfRequests = circles(entries, ({ request }) =>
    entries.filter(({ request: other }) => {
      if (other === request) return false;
      // A held request continues when those made within it do; a waiting one when it is granted.
      if (request.held) return !other.held && isWithin(other, request);
      return excludes(request, other) && (other.held || other.ticket < request.ticket);
    }),
  );
  return circlesOfRequests.map((circle) => ({
    certain: true,
    requests: circle.map(({ request, info }) => ({ ...info, held: request.held })),
  }));
}

/**
 * @param {{ type: string, name: string, requests: LockRequest[] }[]} locks
 */
function deadlocksOfObjects(locks) {
  /** @typedef {{ thread: number, pid: number, type: string, name: string, blocking: boolean, holders: number[] }} Wait */
  /** @type {Wait[]} */
  const waits = [];
  for (const { type, name, requests } of locks) {
    for (const { held, thread, pid, blocking, shared } of requests) {
      if (held) continue;
      const inTheWay = requests.filter(
        (other) => other.held && other.thread !== thread && !(shared && other.shared),
      );
      waits.push({ thread, pid, type, name, blocking, holders: inTheWay.map((holder) => holder.thread) });
    }
  }
  const circlesOfWaits = circles(waits, (wait) =>
    waits.filter((other) => wait.holders.includes(other.thread)),
  );
  return circlesOfWaits.map((circle) => ({
    certain: circle.every((wait) => wait.blocking),
    requests: circle.map(({ type, name, pid, blocking }) => ({ type, name, pid, blocking, held: false })),
  }));
}

module.exports.deadlocksOfNames = deadlocksOfNames;
module.exports.deadlocksOfObjects = deadlocksOfObjects;
