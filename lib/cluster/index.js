'use strict';

/**
 * The cluster API. Node's own cluster module hosts the processes and their events; accepting and scheduling
 * connections is ours. In a worker, and in a primary under `manycore/register`, the builtin object itself is
 * what is exported; elsewhere it is a facade, so that `require('manycore')` leaves the builtin as it is.
 */

const builtin = require('./builtin');
const { makeFacade } = require('./facade');
const { isInstalled } = require('./install');

module.exports = builtin.isPrimary && !isInstalled() ? makeFacade() : builtin;
