'use strict';

/** A command and all processes it started, according to /proc. */

const fs = require('node:fs');

const { statFields } = require('./proc');

/** Environment variable whose value identifies the processes of one command, even if they have been reparented. */
const MARK = 'CHECKED_COMMAND';

/** @typedef {{ pid: number, parent: number, command: string, isMarked: boolean }} Relative */

const SHOWN_CHARACTERS = 200;

/**
 * @param {string} pid
 * @param {string} mark
 * @returns {Relative[]} empty if it has ended meanwhile
 */
function read(pid, mark) {
  try {
    const [, parent] = statFields(pid);
    const line = fs
      .readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      .replace(/[\s\0]+/g, ' ')
      .trim();
    const isMarked = environment(pid).includes(`${MARK}=${mark}`);
    return [{ pid: Number(pid), parent: Number(parent), command: line.slice(0, SHOWN_CHARACTERS), isMarked }];
  } catch {
    return [];
  }
}

/** @param {string} pid */
function environment(pid) {
  try {
    return fs.readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
  } catch {
    return []; // Belongs to another user.
  }
}

/**
 * Returns the process, its descendants, and processes that carry the mark, whose parents may have ended.
 * @param {number} root
 * @param {string} mark
 */
function familyOf(root, mark) {
  let others = fs.readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? read(name, mark) : []));
  /** @type {Relative[]} */
  const family = [];
  const pids = new Set([root]);
  for (let before = -1; before !== family.length;) {
    before = family.length;
    others = others.filter((each) => {
      if (!each.isMarked && !pids.has(each.pid) && !pids.has(each.parent)) return true;
      pids.add(each.pid);
      family.push(each);
      return false;
    });
  }
  return family;
}

/**
 * Kills the whole family, including processes started meanwhile.
 * @param {number} root
 * @param {string} mark
 * @returns {string[]} the processes that were killed
 */
function killFamily(root, mark) {
  /** @type {Map<number, string>} */
  const killed = new Map();
  for (;;) {
    const rest = familyOf(root, mark).filter(({ pid }) => !killed.has(pid));
    if (rest.length === 0) return [...killed].map(([pid, command]) => `${pid} ${command}`);
    for (const { pid, command } of rest) {
      killed.set(pid, command);
      kill(pid);
    }
  }
}

/** @param {number} pid */
function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended, or belongs to another user.
  }
}

module.exports.MARK = MARK;
module.exports.killFamily = killFamily;
