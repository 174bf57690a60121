'use strict';

/** Maximum delay of Node's timers, in milliseconds: any longer one fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

module.exports.LONGEST_TIMER_MS = LONGEST_TIMER_MS;
