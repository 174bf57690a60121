'use strict';

/** Runs in each worker before any code of the user. */

const launch = require('./launch');

const ticket = launch.redeem();
if (ticket !== undefined) {
  const addon = require('../core/addon').loadAddon();
  if (addon !== null) require('./attach').attach(addon, ticket);
  if (ticket.isInstalled) require('./install').install();
}
