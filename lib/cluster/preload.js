'use strict';

/** Loaded first in each worker forked by our primary; leaves no trace that user code could see. */

const LINK_VARIABLE = 'MANYCORE_CLUSTER';

const link = process.env[LINK_VARIABLE];
delete process.env[LINK_VARIABLE];

const { execArgv } = process;
const at = execArgv.indexOf(__filename);
if (at > 0 && execArgv[at - 1] === '--require') execArgv.splice(at - 1, 2);

// Node sets up no cluster worker in a process that it starts without a program (`exec: ''`).
if (link !== undefined && require('node:worker_threads').isMainThread && require('./builtin').worker) {
  const [slot, controlFd, scoreboardFd, lanesFd, format] = link.split(',');
  require('./worker').install({
    slot: Number(slot),
    controlFd: Number(controlFd),
    scoreboardFd: Number(scoreboardFd),
  });
  if (lanesFd !== undefined) require('./ipc-lanes').attachPrimary(Number(lanesFd), format);
}
