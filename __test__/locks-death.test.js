'use strict';

// A holder or waiter of a lock, or a process that is just changing it, may die at any instruction: by SIGKILL,
// terminate(), or exit().

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');
const { Barrier, Condition, Mutex, Once, RwLock, Semaphore } = require('manycore');
const { startProcess, startThread, within } = require('./support/peers');

const LIMIT = { timeoutMs: 60_000 };

/** Locks and reports it; never unlocks. */
const hold = ({ Mutex }, handle, tell) => {
  globalThis.token = Mutex.from(handle).lock();
  tell('holds');
};

for (const [what, start] of Object.entries({ process: startProcess, thread: startThread })) {
  test(`a ${what} killed while holding the lock passes it on, and the next holder is told`, async (t) => {
    const mutex = new Mutex();
    const peer = await start(t);
    await peer.start(hold, mutex.handle);
    const waiting = mutex.lockAsync(LIMIT);
    await peer.kill();
    const token = await waiting;
    assert.equal(token.ownerDied, true);
    token.unlock();
    const next = mutex.lock();
    assert.equal(next.ownerDied, false);
    next.unlock();
  });

  test(`a ${what} that exits while holding the lock also passes it on, even to a blocked waiter`, async (t) => {
    const mutex = new Mutex();
    const [peer, other] = [await start(t), await startProcess(t)];
    await peer.start(hold, mutex.handle);
    await other.start(({ Mutex }, handle, tell) => {
      tell('blocks');
      tell(Mutex.from(handle).lock().ownerDied);
    }, mutex.handle);
    peer.run(() => process.exit(0)).catch(() => {});
    assert.equal(await other.told(), true);
  });

  test(`a ${what} killed while waiting is skipped`, async (t) => {
    const mutex = new Mutex();
    const token = mutex.lock();
    const peers = [await start(t), await start(t)];
    await peers[0].start(({ Mutex }, handle, tell) => {
      tell('blocks');
      Mutex.from(handle).lock();
    }, mutex.handle);
    await peers[1].start(({ Mutex }, handle, tell) => {
      Mutex.from(handle).lockAsync();
      tell('waits');
    }, mutex.handle);
    const waiting = mutex.lockAsync(LIMIT);
    await Promise.all(peers.map((peer) => peer.kill()));
    token.unlock();
    (await waiting).unlock();
  });

  test(`a killed ${what} releases its shared locks and its permits`, async (t) => {
    const [lock, semaphore] = [new RwLock(), new Semaphore(2)];
    const peer = await start(t);
    await peer.start(
      ({ RwLock, Semaphore }, [lock, semaphore], tell) => {
        globalThis.held = [RwLock.from(lock).lockShared(), Semaphore.from(semaphore).acquire(2)];
        tell('holds');
      },
      [lock.handle, semaphore.handle],
    );
    const waiting = Promise.all([lock.lockAsync(LIMIT), semaphore.acquireAsync(2, LIMIT)]);
    await peer.kill();
    const [writer, permits] = await waiting;
    assert.deepEqual([writer.ownerDied, permits.ownerDied], [false, true]);
  });

  test(`a notification to a killed ${what} goes to another waiter, and a barrier does not count it`, async (t) => {
    const [mutex, condition, barrier] = [new Mutex(), new Condition(), new Barrier(2)];
    const peer = await start(t);
    const handles = [mutex.handle, condition.handle, barrier.handle];
    await peer.start(({ Mutex, Condition, Barrier }, [mutex, condition, barrier], tell) => {
      Barrier.from(barrier).waitAsync();
      const token = Mutex.from(mutex).lock();
      tell('waits');
      Condition.from(condition).wait(token);
    }, handles);
    const token = await mutex.lockAsync(LIMIT);
    const waiting = condition.waitAsync(token, LIMIT);
    await peer.kill();
    condition.notify(1);
    assert.equal(await waiting, true);
    assert.equal(barrier.waitIfAvailable(), false);
  });

  test(`a Once whose ${what} was killed while running it is run again`, async (t) => {
    const once = new Once();
    const peer = await start(t);
    await peer.start(({ Once }, handle, tell) => {
      return Once.from(handle).runAsync(() => {
        tell('runs');
        return new Promise(() => {});
      });
    }, once.handle);
    let run;
    const waiting = once.runAsync((told) => void (run = told), LIMIT);
    await peer.kill();
    assert.equal(await waiting, true);
    assert.equal(run.ownerDied, true);
    assert.equal(once.isDone, true);
  });
}

test('a thread blocked on a lock can be terminated', async (t) => {
  const mutex = new Mutex();
  const token = mutex.lock();
  const peer = await startThread(t);
  await peer.start(({ Mutex }, handle, tell) => {
    tell('blocks');
    Mutex.from(handle).lock();
  }, mutex.handle);
  await within(peer.kill(), 'terminate()');
  token.unlock();
  mutex.lock().unlock();
});

/**
 * Locks and unlocks forever. The lock protects a file that records who is inside: it is 0 whenever the lock is
 * granted, unless the previous holder died inside; and no one else writes meanwhile.
 */
async function hammer({ Mutex }, { handle, file }, tell) {
  const fs = require('node:fs');
  const fd = fs.openSync(file, 'r+');
  const bytes = Buffer.alloc(8);
  const read = () => (fs.readSync(fd, bytes, 0, 8, 0), bytes.readDoubleLE(0));
  const write = (value) => (bytes.writeDoubleLE(value, 0), fs.writeSync(fd, bytes, 0, 8, 0));
  const mutex = Mutex.from(handle);
  const check = (token) => {
    const mark = token.fencingToken;
    if (read() !== 0) tell(token.ownerDied ? 'recovered' : `granted in the middle of something: ${read()}`);
    write(mark);
    for (let look = 0; look < 3; look++) if (read() !== mark) tell('somebody else is inside');
    write(0);
    token.unlock();
  };
  tell('started');
  for (let round = 0; ; round++) {
    check(mutex.lock());
    check(await mutex.lockAsync());
    const token = mutex.lockIfAvailable();
    if (token) check(token);
  }
}

test('after 60 kills at arbitrary instructions, exclusion holds and the survivors go on', async (t) => {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-')), 'inside');
  t.after(() => fs.rmSync(path.dirname(file), { recursive: true }));
  fs.writeFileSync(file, Buffer.alloc(8));
  const mutex = new Mutex({ maxRequests: 16 });
  const argument = { handle: mutex.handle, file };
  const starting = async (start) => {
    const peer = await start(t);
    assert.equal(await peer.start(hammer, argument), 'started');
    return peer;
  };
  const peers = await Promise.all([starting(startProcess), starting(startProcess), starting(startThread)]);
  let recovered = 0;
  const listen = (peer) => {
    for (const told of peer.takeTold()) {
      assert.equal(told, 'recovered');
      recovered++;
    }
  };
  for (let kills = 0; kills < 60; kills++) {
    const index = kills % 3;
    const replacement = starting(index === 2 ? startThread : startProcess);
    await peers[index].kill();
    listen(peers[index]);
    const token = await mutex.lockAsync(LIMIT);
    if (fs.readFileSync(file).readDoubleLE(0) !== 0) {
      assert.ok(token.ownerDied, 'the lock was granted inside the critical section of a living holder');
      recovered++;
    }
    fs.writeFileSync(file, Buffer.alloc(8));
    token.unlock();
    peers[index] = await replacement;
  }
  for (const peer of peers) {
    await peer.kill();
    listen(peer);
  }
  (await mutex.lockAsync(LIMIT)).unlock();
  assert.ok(recovered > 0, 'no process died inside the critical section');
  t.diagnostic(`${recovered} of 60 died inside`);
});
