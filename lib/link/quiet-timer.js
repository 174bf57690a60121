'use strict';

// Not the globals, which the program or its tests may have replaced, for example with fake timers.
const { setTimeout } = require('node:timers');
const { inContextOfLoad } = require('../core/context');

/** Time without traffic after which memory is given back. */
const QUIET_MS = 1000;

/**
 * Calls `look` after a second, unless the process ends before. The timer is not in the async context of the caller,
 * whose values it would keep alive.
 * @param {() => void} look
 */
function startQuietTimer(look) {
  return inContextOfLoad(() => setTimeout(look, QUIET_MS).unref());
}

module.exports.startQuietTimer = startQuietTimer;
