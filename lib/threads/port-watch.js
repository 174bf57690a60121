'use strict';

/**
 * Messages between ports in different threads are queued and delivered by Node. Their latency is dominated by
 * waking the receiver: so while messages come in quick succession, its event loop is kept spinning for a while
 * after each, and picks up the next one without a wake-up. Order is not affected, and nothing is read ahead.
 */

const { revive } = require('../link/travellers');

/**
 * @param {typeof import('../native/index') | null} addon
 * @returns {{ arrived: () => void, revive: (value: any) => any }} callbacks for each message
 */
function watch(addon) {
  return { arrived: watcher(addon), revive };
}

/** @param {typeof import('../native/index') | null} addon */
function watcher(addon) {
  try {
    if (addon !== null) return /** @type {() => void} */ (addon.watchLoop());
  } catch {
    // The event loop is closing.
  }
  return () => {};
}

module.exports.watch = watch;
