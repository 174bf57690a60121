'use strict';

// A process of the same user may write anything into a lock's memory. That makes the lock useless, but its users
// must neither crash nor hang.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const test = require('node:test');
const { Semaphore } = require('manycore');
const { segmentName, startProcess, within } = require('./support/peers');

const fileOf = (name) => `/dev/shm/manycore-${process.geteuid()}/${name}`;
const HEADER_BYTES = 4096;
/** Offset of the words of a lock from the end of the segment's header. */
const GUARD_AT = 80;

/** The word of a living thread, this one: its id, and above that its start time in ticks. */
function ownWord() {
  const stat = fs.readFileSync('/proc/self/stat', 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (BigInt(fields[19]) << 22n) | BigInt(process.pid);
}

/** Uses all features of a lock object forever, ignoring errors, and reports every hundred rounds. */
async function useAll(manycore, names, tell) {
  const { Mutex, RwLock, Semaphore, Condition, Barrier, Once } = manycore;
  const options = { timeoutMs: 2 };
  const objects = {
    mutex: Mutex.open(names[0]),
    lock: RwLock.open(names[1]),
    semaphore: Semaphore.open(names[2], 3),
    condition: Condition.open(names[3]),
    barrier: Barrier.open(names[4], 2),
    once: Once.open(names[5]),
  };
  const own = new Mutex();
  const uses = [
    () => objects.mutex.lockIfAvailable()?.unlock(),
    () => objects.mutex.lock(options).unlock(),
    async () => (await objects.mutex.lockAsync(options)).unlock(),
    async () => (await objects.lock.lockSharedAsync(options)).unlock(),
    () => objects.lock.lock(options).unlock(),
    () => objects.semaphore.acquire(2, options).unlock(),
    () => objects.condition.notify(),
    () => {
      const token = own.lock();
      try {
        objects.condition.wait(token, options);
      } finally {
        token.unlock();
      }
    },
    () => objects.barrier.wait(options),
    () => objects.once.run(() => {}, options),
    () => manycore.locks.query(),
  ];
  const codes = {};
  tell('started');
  for (let round = 0; ; round++) {
    try {
      await uses[round % uses.length]();
    } catch (error) {
      codes[error.code ?? error.stack] = true;
    }
    if (round % 100 === 99) {
      tell(Object.keys(codes));
      await new Promise(setImmediate);
    }
  }
}

test('arbitrary bytes in lock memory cause errors only', async (t) => {
  const names = ['mutex', 'lock', 'semaphore', 'condition', 'barrier', 'once'].map((what) =>
    segmentName(t, what),
  );
  const peer = await startProcess(t);
  assert.equal(await peer.start(useAll, names), 'started');
  const files = names.map((name) => fs.openSync(fileOf(name), 'r+'));
  t.after(() => files.forEach((fd) => fs.closeSync(fd)));
  const bytes = Buffer.alloc(8);
  const codes = new Set();
  const note = async () => {
    for (const code of await peer.told()) codes.add(code);
  };
  for (let writes = 0; writes < 4000; writes++) {
    const fd = files[writes % files.length];
    // Mostly the first slots, which are in use; small and large numbers.
    const at = 8 * Math.floor(Math.random() * (writes % 3 === 0 ? 1000 : 40));
    for (let index = 0; index < 8; index++) bytes[index] = Math.random() < 0.5 ? 0 : Math.random() * 256;
    // A guard held by a living thread has a test of its own.
    if (at !== GUARD_AT) fs.writeSync(fd, bytes, 0, 8, HEADER_BYTES + at);
    if (writes % 200 === 0) await note();
  }
  await note();
  await note();
  for (const code of codes) assert.match(code, /^ERR_MANYCORE_(\w+)$|^ERR_OUT_OF_RANGE$/);
});

test('a guard forged to be held forever causes an error, not a hang', async (t) => {
  const name = segmentName(t, 'guard');
  // Slots instead of the fast path, so that each use enters the guard.
  const semaphore = Semaphore.open(name, 1);
  const fd = fs.openSync(fileOf(name), 'r+');
  t.after(() => fs.closeSync(fd));
  const word = Buffer.alloc(8);
  word.writeBigUInt64LE(ownWord());
  fs.writeSync(fd, word, 0, 8, HEADER_BYTES + GUARD_AT);
  const peer = await startProcess(t);
  const attempt = peer.run(({ Semaphore }, name) => Semaphore.open(name, 1).acquireIfAvailable(), name);
  await assert.rejects(within(attempt, 'the error'), { code: 'ERR_MANYCORE_STUCK' });
  // A leftover in this case.
  semaphore.acquireIfAvailable().unlock();
});
