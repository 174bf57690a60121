'use strict';

/** What closing a pool waits for. */

const { setTimeout: delay } = require('node:timers/promises');
const { LONGEST_TIMER_MS } = require('../core/timers');
const { Errors } = require('./errors');

/**
 * Resolves when no task is queued or running.
 * @param {() => [import('./engine').Engine | null, import('./dispatcher').Dispatcher | null]} parts returns the
 * current parts of the pool
 */
async function whenIdle(parts) {
  // Tasks held back by a dispatcher have not reached the engine yet.
  do await parts()[0]?.whenIdle();
  while ((parts()[1]?.size ?? 0) > 0 && (await delay(1, true)));
}

/**
 * Rejects after `limitMs`.
 * @param {number} limitMs
 * @param {AbortSignal} signal cancels the wait
 */
async function whenOver(limitMs, signal) {
  try {
    await delay(Math.min(limitMs, LONGEST_TIMER_MS), undefined, { ref: false, signal });
  } catch {
    return;
  }
  throw Errors.closeTimeout();
}

module.exports.whenIdle = whenIdle;
module.exports.whenOver = whenOver;
