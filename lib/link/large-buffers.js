'use strict';

/**
 * Memory for large buffers received by a thread. While they keep arriving, the C library is told to keep the memory
 * freed by the garbage collector; some time after the last one, all of it is returned to the system.
 */

const { Buffer } = require('node:buffer');
const { startQuietTimer } = require('./quiet-timer');

/** From this size on, a buffer has its own mapping, with large pages if available. */
const HUGE_BYTES = 32 * 1024 * 1024;

/** @type {NodeJS.Timeout | undefined} */
let timer;
let hasTraffic = false;

/** @type {typeof import('../native/index') | null} */
let addon = null;

/**
 * Allocates memory for a buffer, which is not zero-filled.
 * @param {number} length above the size that Node pools
 */
function allocate(length) {
  hasTraffic = true;
  if (timer === undefined) {
    // Loaded on demand: a worker of a pool starts without this module. Not by the timer, whose time may come when the
    // module system has ended, as that of a test runner does after each file.
    addon ??= require('../core/addon').loadAddon();
    addon?.keepFreeMemory();
    timer = startQuietTimer(giveBackWhenQuiet);
  }
  const buffer = Buffer.allocUnsafeSlow(length);
  if (length >= HUGE_BYTES) addon?.useHugePages(buffer);
  return buffer;
}

function giveBackWhenQuiet() {
  if (hasTraffic) {
    hasTraffic = false;
    timer = startQuietTimer(giveBackWhenQuiet);
    return;
  }
  timer = undefined;
  addon?.giveFreeMemoryBack();
}

module.exports.HUGE_BYTES = HUGE_BYTES;
module.exports.allocate = allocate;
