'use strict';

const { readFileSync } = require('node:fs');

/** On all supported architectures the kernel reports CPU time in ticks of 1/100 s. */
const US_PER_TICK = 10_000;

/** Fields of /proc/<pid>/stat after the command, which may contain any characters and ends with a parenthesis. */
const USER_FIELD = 11;
const SYSTEM_FIELD = 12;

/**
 * Reads memory and CPU time of a child process from the kernel, without involving the process.
 * @param {import('node:child_process').ChildProcess} child
 * @returns {{ rssBytes: number, cpu: { user: number, system: number } }} CPU time in microseconds; zeros if the
 * process is gone
 */
function readProcess(child) {
  const gone = { rssBytes: 0, cpu: { user: 0, system: 0 } };
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return gone;
  let stat;
  let status;
  try {
    stat = readFileSync(`/proc/${child.pid}/stat`, 'latin1');
    status = readFileSync(`/proc/${child.pid}/status`, 'latin1');
  } catch {
    return gone;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const rss = /^VmRSS:\s+(\d+) kB/m.exec(status);
  return {
    rssBytes: rss ? Number(rss[1]) * 1024 : 0,
    cpu: {
      user: Number(fields[USER_FIELD]) * US_PER_TICK,
      system: Number(fields[SYSTEM_FIELD]) * US_PER_TICK,
    },
  };
}

module.exports.readProcess = readProcess;
