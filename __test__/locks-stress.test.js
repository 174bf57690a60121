'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');
const { Condition, Mutex, RwLock, Semaphore } = require('manycore');
const { startProcess } = require('./support/peers');

const PROCESSES = 4;
const ROUNDS = 150;

/**
 * Runs in two threads of a process. Each object protects a counter in the file; a second copy of it, written last,
 * would differ if another thread were let in meanwhile.
 */
async function hammer(_manycore, argument) {
  const { Worker } = require('node:worker_threads');
  const rounds = async function ({ handles, file, rounds }) {
    const fs = require('node:fs');
    const { Mutex, RwLock, Semaphore } = require('manycore');
    const fd = fs.openSync(file, 'r+');
    const bytes = Buffer.alloc(16);
    const read = (at) => {
      fs.readSync(fd, bytes, 0, 16, at * 16);
      const [first, second] = [bytes.readDoubleLE(0), bytes.readDoubleLE(8)];
      if (first !== second) throw new Error(`counter ${at}: somebody else is inside`);
      return first;
    };
    const add = (at) => {
      const next = read(at) + 1;
      bytes.writeDoubleLE(next, 0);
      fs.writeSync(fd, bytes, 0, 8, at * 16);
      bytes.writeDoubleLE(next, 8);
      fs.writeSync(fd, bytes, 8, 8, at * 16 + 8);
    };
    const [mutex, lock, semaphore] = [
      Mutex.from(handles[0]),
      RwLock.from(handles[1]),
      Semaphore.from(handles[2]),
    ];
    const done = [0, 0, 0];
    const kinds = [
      [0, () => mutex.lock()],
      [0, () => mutex.lockAsync()],
      [0, () => mutex.lockIfAvailable()],
      [1, () => lock.lock()],
      [1, () => lock.lockAsync()],
      [-1, () => lock.lockShared()],
      [-1, () => lock.lockSharedAsync()],
      [2, () => semaphore.acquire(2)],
      [2, () => semaphore.acquireAsync(2)],
    ];
    for (let round = 0; round < rounds; round++) {
      const [counter, take] = kinds[Math.floor(Math.random() * kinds.length)];
      const token = await take();
      if (token === null) continue;
      if (token.ownerDied) throw new Error('nobody died');
      if (counter < 0) read(1);
      else {
        add(counter);
        done[counter]++;
      }
      token.unlock();
    }
    fs.closeSync(fd);
    return done;
  };
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    (${rounds})(workerData).then((done) => parentPort.postMessage(done));`;
  const thread = new Worker(source, { eval: true, workerData: argument });
  const there = new Promise((resolve, reject) => thread.on('message', resolve).on('error', reject));
  return Promise.all([rounds(argument), there]);
}

test(`${PROCESSES} processes of two threads each exclude each other, and none starves`, async (t) => {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-')), 'counters');
  t.after(() => fs.rmSync(path.dirname(file), { recursive: true }));
  fs.writeFileSync(file, Buffer.alloc(48));
  const objects = [new Mutex(), new RwLock(), new Semaphore(2)];
  const argument = { handles: objects.map(({ handle }) => handle), file, rounds: ROUNDS };
  const peers = await Promise.all(Array.from({ length: PROCESSES }, () => startProcess(t)));
  const done = (await Promise.all(peers.map((peer) => peer.run(hammer, argument)))).flat();
  assert.equal(done.length, 2 * PROCESSES);
  for (const at of [0, 1, 2]) {
    const expected = done.reduce((sum, counts) => sum + counts[at], 0);
    assert.ok(expected > 0);
    assert.equal(fs.readFileSync(file).readDoubleLE(at * 16), expected);
  }
});

test('a bounded buffer guarded by a mutex and two conditions loses nothing', async (t) => {
  const [mutex, notEmpty, notFull] = [new Mutex(), new Condition(), new Condition()];
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-')), 'buffer');
  t.after(() => fs.rmSync(path.dirname(file), { recursive: true }));
  fs.writeFileSync(file, '[]');
  const argument = { handles: [mutex.handle, notEmpty.handle, notFull.handle], file, count: 60 };
  const produce = ({ Mutex, Condition }, { handles, file, count }) => {
    const fs = require('node:fs');
    const [mutex, notEmpty, notFull] = [
      Mutex.from(handles[0]),
      Condition.from(handles[1]),
      Condition.from(handles[2]),
    ];
    const load = () => JSON.parse(fs.readFileSync(file, 'utf8'));
    for (let item = 0; item < count; item++) {
      const token = mutex.lock();
      while (load().length >= 3) notFull.wait(token);
      fs.writeFileSync(file, JSON.stringify([...load(), `${process.pid} ${item}`]));
      notEmpty.notify(1);
      token.unlock();
    }
  };
  const consume = async ({ Mutex, Condition }, { handles, file, count }) => {
    const fs = require('node:fs');
    const [mutex, notEmpty, notFull] = [
      Mutex.from(handles[0]),
      Condition.from(handles[1]),
      Condition.from(handles[2]),
    ];
    const items = [];
    while (items.length < count) {
      const token = await mutex.lockAsync();
      let all;
      while ((all = JSON.parse(fs.readFileSync(file, 'utf8'))).length === 0) await notEmpty.waitAsync(token);
      items.push(all.shift());
      fs.writeFileSync(file, JSON.stringify(all));
      notFull.notify(1);
      token.unlock();
    }
    return items;
  };
  const peers = await Promise.all(Array.from({ length: 4 }, () => startProcess(t)));
  const results = await Promise.all(
    peers.map((peer, index) => peer.run(index < 2 ? produce : consume, argument)),
  );
  const items = results.flat().filter(Boolean);
  assert.equal(items.length, 120);
  assert.equal(new Set(items).size, 120);
});
