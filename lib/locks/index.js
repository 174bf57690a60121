'use strict';

/** Exports of locks for threads and processes. */

const { Barrier } = require('./barrier');
const { Condition } = require('./condition');
const { leader, runOnce } = require('./leader');
const { Lock, LockManager, locks } = require('./manager');
const { Mutex, RwLock } = require('./mutex');
const { Once } = require('./once');
const { Semaphore } = require('./semaphore');
const { UnlockToken } = require('./token');

module.exports.Barrier = Barrier;
module.exports.Condition = Condition;
module.exports.Lock = Lock;
module.exports.LockManager = LockManager;
module.exports.Mutex = Mutex;
module.exports.Once = Once;
module.exports.RwLock = RwLock;
module.exports.Semaphore = Semaphore;
module.exports.UnlockToken = UnlockToken;
module.exports.leader = leader;
module.exports.locks = locks;
module.exports.runOnce = runOnce;
