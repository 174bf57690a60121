'use strict';

/**
 * Memory for the large buffers that a thread receives. The C library is told to keep what the garbage collector
 * frees while they keep coming; some time after the last one it gives all of that back.
 */

const { Buffer } = require('node:buffer');
// What a program, or its tests, put in the place of the global ones is not meant for us.
const { setTimeout } = require('node:timers');
const { loadAddon } = require('../core/addon');

const QUIET_MS = 1000;
/** From so many bytes on a buffer has a mapping of its own, with large pages where the system has them. */
const HUGE_BYTES = 32 * 1024 * 1024;

/** @type {NodeJS.Timeout | undefined} */
let timer;
let hasTraffic = false;

/**
 * Memory of a buffer of its own, which is not zeroed.
 * @param {number} length above what Node pools
 */
function allocate(length) {
  hasTraffic = true;
  if (timer === undefined) {
    loadAddon()?.keepFreeMemory();
    timer = setTimeout(giveBackWhenQuiet, QUIET_MS).unref();
  }
  const buffer = Buffer.allocUnsafeSlow(length);
  if (length >= HUGE_BYTES) loadAddon()?.useHugePages(buffer);
  return buffer;
}

function giveBackWhenQuiet() {
  if (hasTraffic) {
    hasTraffic = false;
    timer = setTimeout(giveBackWhenQuiet, QUIET_MS).unref();
    return;
  }
  timer = undefined;
  loadAddon()?.giveFreeMemoryBack();
}

module.exports.HUGE_BYTES = HUGE_BYTES;
module.exports.allocate = allocate;
