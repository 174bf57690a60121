'use strict';

/**
 * The cluster API. Node's cluster module manages processes and events; manycore accepts and schedules connections.
 * In a worker, and in a primary under `manycore/register`, the builtin object itself is exported; elsewhere a
 * facade, so that `require('manycore')` leaves the builtin unchanged.
 */

const builtin = require('./builtin');
const { makeFacade } = require('./facade');
const { isInstalled } = require('./install');

module.exports = builtin.isPrimary && !isInstalled() ? makeFacade() : builtin;
