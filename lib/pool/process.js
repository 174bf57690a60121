'use strict';

/** Main program of a worker process. */

const { Decoder } = require('../link/decoder');
const { ProcessEncoder } = require('./process-encoder');
const { memoryOf } = require('../link/memory');
const { requireAddon } = require('../core/addon');
const { SerialCarrier } = require('./serial-carrier');
const { context } = require('./context');
const { enter } = require('./entrance');
const { BEGUN } = require('./page');
const { Runner } = require('./runner');
const { deserialize } = require('./serialization');
const { wholeError } = require('./whole-errors');

/** Descriptors as passed by `ProcessMember`. */
const CHANNEL_FD = 3;
const FIRST_FD = 4;
/** Time limit for the exit of a process whose pool has ended. */
const GRACE_MS = 1000;
const STARTUP_LIMIT_MS = 60_000;
/** Interval for reading memory usage, which takes about 10 us: too much after each of many short tasks. */
const LOOK_MS = 1;

const addon = requireAddon('Pool');
addon.poolWatch(CHANNEL_FD, GRACE_MS);
process.once('disconnect', () => process.exit());

const native = addon.PoolWorker.adopt(FIRST_FD);
const startup = readStartup();
context.isWorkerThread = true;
context.workerData = startup.workerData;
native.setConcurrency(startup.concurrency);
const runner = new Runner({
  addon,
  native,
  carrier: new SerialCarrier(),
  encoder: new ProcessEncoder(),
  // A caller that is gone ends this process.
  announce: (channel) => void process.send?.({ [BEGUN]: channel }, undefined, undefined, () => {}),
  isOverLimit: rssOver(startup.memoryLimitBytes),
});

process.on('uncaughtExceptionMonitor', (error) => {
  if (process.listenerCount('uncaughtException') > 0 || process.hasUncaughtExceptionCaptureCallback()) return;
  // The caller reports the error, as for a thread, instead of the terminal.
  runner.fault(wholeError(error));
  process.exit(1);
});

void enter(addon, runner, startup);

/** @returns {any} */
function readStartup() {
  const bytes = native.startup(STARTUP_LIMIT_MS);
  if (bytes === null) process.exit(1);
  if (bytes[0] % 8 !== 0) return deserialize(bytes.subarray(1));
  const copy = /** @type {ArrayBuffer} */ (bytes.slice().buffer);
  return new Decoder(memoryOf(copy)).decode(0, copy.byteLength);
}

/** @param {number} limitBytes limit; 0 for none */
function rssOver(limitBytes) {
  if (limitBytes === 0) return null;
  let lookedAt = 0;
  return () => {
    const now = performance.now();
    if (now - lookedAt < LOOK_MS) return false;
    lookedAt = now;
    return process.memoryUsage.rss() > limitBytes;
  };
}
