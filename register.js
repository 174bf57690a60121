'use strict';

/**
 * Loaded with `node -r manycore/register`: replaces the builtin cluster and worker_threads modules for the whole
 * process.
 */

require('./lib/cluster/install').install();
require('./lib/threads/install').install();
