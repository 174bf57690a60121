'use strict';

const fs = require('node:fs');

/**
 * Returns the fields of `/proc/PID/stat` from the state on, see proc_pid_stat(5).
 * @param {number | string} pid
 * @throws ENOENT or ESRCH if the process is gone
 */
function statFields(pid) {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The command's name, in parentheses, may contain blanks and parentheses itself.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

module.exports.statFields = statFields;
