'use strict';

/** Loaded with `node -r manycore/register`: makes the builtin cluster and worker_threads ours, process-wide. */

require('./lib/cluster/install').install();
require('./lib/threads/install').install();
