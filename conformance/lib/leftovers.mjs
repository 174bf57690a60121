// Processes that a test leaves behind.
//
// Whatever a test starts is in the session of its leader unless it made a session of its own, and carries
// the run's tag in its environment unless it was given a fresh one. Either mark is enough.

import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { statFields } from '../../scripts/lib/proc.js';

const POLL_MS = 40;

function read(pid, name) {
  try {
    return fs.readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return ''; // It ended meanwhile.
  }
}

function stat(pid) {
  try {
    return statFields(pid);
  } catch {
    return []; // It ended meanwhile.
  }
}

/** Ids of the living processes of a session or with a tag. */
export function find(sessionId, tag) {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      const [state, , , session] = stat(pid);
      if (!state || state === 'Z' || state === 'X') return false;
      return Number(session) === sessionId || read(pid, 'environ').includes(tag);
    })
    .map(Number);
}

export function killAll(pids) {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }
}

/**
 * Waits up to `graceMs` for them to end, then kills the rest.
 * @returns the command lines of those that had to be killed
 */
export async function sweep(sessionId, tag, graceMs) {
  const endMs = performance.now() + graceMs;
  let left = find(sessionId, tag);
  while (left.length > 0 && performance.now() < endMs) {
    await sleep(POLL_MS);
    left = find(sessionId, tag);
  }
  const commands = left.map((pid) => read(pid, 'cmdline').replaceAll('\0', ' ').trim());
  // A dying process may have forked once more: look again until nothing is found.
  for (let round = 0; left.length > 0 && round < 20; round++) {
    killAll(left);
    await sleep(POLL_MS);
    left = find(sessionId, tag);
  }
  return commands;
}
