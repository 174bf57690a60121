'use strict';

/** What the end of a pool waits for. */

const { setTimeout: delay } = require('node:timers/promises');
const { Errors } = require('./errors');

/**
 * Resolves when no task is under way.
 * @param {() => [import('./engine').Engine | null, import('./dispatcher').Dispatcher | null]} parts of the pool, now
 */
async function whenIdle(parts) {
  // What a dispatcher holds back is not with the engine yet.
  do await parts()[0]?.whenIdle();
  while ((parts()[1]?.size ?? 0) > 0 && (await delay(1, true)));
}

/**
 * Rejects when that has taken too long.
 * @param {number} limitMs
 * @param {AbortSignal} signal when it no longer matters
 */
async function whenOver(limitMs, signal) {
  try {
    await delay(Math.min(limitMs, 0x7fffffff), undefined, { ref: false, signal });
  } catch {
    return;
  }
  throw Errors.closeTimeout();
}

module.exports.whenIdle = whenIdle;
module.exports.whenOver = whenOver;
