'use strict';

/**
 * Messages of ports whose ends are in different threads are Node's to queue and to deliver. What takes their time is
 * that the receiver sleeps: so while they come close on one another, its event loop is kept turning for a while after
 * each, and finds the next one without being woken. What comes first is not changed by it, nor is anything read ahead.
 */

const { revive } = require('../link/travellers');

/**
 * @param {typeof import('../native/index') | null} addon
 * @returns {{ arrived: () => void, revive: (value: any) => any }} what is to be done with each message
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
