'use strict';

/** Everything about pools. */

const { context, taskSignal, worker, workerEmit } = require('./context');
const { Pool } = require('./pool');
const { ArrayTaskQueue, FixedQueue } = require('./task-queues');
const transfer = require('./transfer');

module.exports.Pool = Pool;
module.exports.Piscina = Pool;
module.exports.ArrayTaskQueue = ArrayTaskQueue;
module.exports.FixedQueue = FixedQueue;
module.exports.Transfer = transfer.Transfer;
module.exports.move = transfer.move;
module.exports.queueOptionsSymbol = transfer.queueOptionsSymbol;
module.exports.transferableSymbol = transfer.transferableSymbol;
module.exports.valueSymbol = transfer.valueSymbol;
module.exports.taskSignal = taskSignal;
module.exports.worker = worker;
module.exports.workerEmit = workerEmit;
/** False outside of a pool's worker; does not change after its start. */
module.exports.isWorkerThread = context.isWorkerThread;
module.exports.workerId = context.workerId;
