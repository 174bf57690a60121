'use strict';

/** Runs in each worker before any code of the user. */

const launch = require('./launch');

const ticket = launch.redeem();
if (ticket !== undefined) {
  const addon = load(ticket.addonFile);
  if (addon !== null) {
    const modules = ['attach', ...(ticket.isInstalled ? ['install'] : [])];
    const [{ attach }, installation] = require('./own-code').load(
      addon,
      modules.map((name) => require.resolve(`./${name}`)),
    );
    attach(addon, ticket);
    installation?.install();
  } else if (ticket.isInstalled) {
    require('./install').install();
  }
  if (ticket.wakeUp !== undefined) require('./spare').prepare(ticket.wakeUp);
}

/**
 * The addon, null where it cannot be had.
 * @param {string | undefined} file
 */
function load(file) {
  try {
    if (file !== undefined) return require(file);
  } catch {
    // Refused in this worker, or worse: what says so is this.
  }
  return require('../core/addon').loadAddon();
}
