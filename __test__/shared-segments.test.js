'use strict';

const assert = require('node:assert');
const { once } = require('node:events');
const test = require('node:test');
const { Worker } = require('node:worker_threads');

const { withSystemErrors } = require('../lib/core/errors');
const { SharedBuffer, SharedMap, shared } = require('..');
const { WATCHDOG, nameFor, processPeer, threadPeer } = require('./support/shared');

test('unrelated processes and threads can open a segment by name', WATCHDOG, async (t) => {
  const name = nameFor(t);
  const map = SharedMap.open(name);
  map.set('from', 'here');
  for (const peer of [processPeer(t), threadPeer(t)]) {
    const seen = await peer.run(({ manycore, kept }, name) => {
      kept.map = manycore.SharedMap.open(name);
      const seen = kept.map.get('from');
      kept.map.set('back', 'there');
      return seen;
    }, name);
    assert.strictEqual(seen, 'here');
    assert.strictEqual(map.get('back'), 'there');
    map.delete('back');
  }
});

test('concurrent opens of one name all get the same segment', WATCHDOG, async (t) => {
  const name = nameFor(t);
  const peers = [processPeer(t), processPeer(t), threadPeer(t), threadPeer(t)];
  const join = ({ manycore, kept }, name) => {
    kept.map = manycore.SharedMap.open(name);
    return kept.map.incr('openers');
  };
  const counts = await Promise.all(peers.map((peer) => peer.run(join, name)));
  assert.deepStrictEqual(counts.sort(), [1, 2, 3, 4]);
});

test('the create option determines what happens if the segment exists or not', (t) => {
  const name = nameFor(t);
  assert.throws(() => SharedMap.open(name, { create: false }), { code: 'ERR_MANYCORE_SEGMENT_NOT_FOUND' });
  const map = SharedMap.open(name, { create: 'exclusive' });
  assert.throws(() => SharedMap.open(name, { create: 'exclusive' }), { code: 'ERR_MANYCORE_SEGMENT_EXISTS' });
  SharedMap.open(name, { create: false }).set('a', 1);
  assert.strictEqual(map.get('a'), 1);
});

test('opening a segment as another kind of object is rejected', (t) => {
  const name = nameFor(t);
  SharedMap.open(name);
  const open = () => SharedBuffer.open(name, { byteLength: 8 });
  assert.throws(open, { code: 'ERR_MANYCORE_SEGMENT_KIND', message: /holds a map/ });
  const { handle } = new SharedMap();
  assert.throws(() => SharedBuffer.from(handle), { code: 'ERR_MANYCORE_SEGMENT_KIND' });
});

test("names of scope 'process' are private to the process", WATCHDOG, async (t) => {
  const name = nameFor(t);
  const map = SharedMap.open(name, { scope: 'process' });
  map.set('a', 1);
  const look = ({ manycore }, name) => manycore.SharedMap.open(name, { scope: 'process' }).get('a');
  assert.strictEqual(await threadPeer(t).run(look, name), 1);
  assert.strictEqual(await processPeer(t).run(look, name), undefined);
  const listed = shared.list().filter((segment) => segment.name === name);
  assert.deepStrictEqual(
    listed.map(({ scope, kind }) => [scope, kind]),
    [['process', 'map']],
  );
});

test('an unnamed object can be sent to threads and processes by its handle', WATCHDOG, async (t) => {
  const map = new SharedMap();
  map.set('who', 'primary');
  const open = ({ manycore, kept }, posted) => {
    kept.map = manycore.SharedMap.from(posted);
    return kept.map.get('who');
  };
  const [child, thread] = [processPeer(t), threadPeer(t)];
  assert.strictEqual(await thread.run(open, map), 'primary');
  assert.strictEqual(await child.run(open, JSON.parse(JSON.stringify(map))), 'primary');
  assert.strictEqual(await processPeer(t).run(open, map.handle), 'primary');
  map.close();
  // Processes that have opened it keep it; its handle is no longer valid.
  assert.strictEqual(await child.run(({ kept }) => kept.map.get('who')), 'primary');
  assert.strictEqual(await thread.run(({ kept }) => kept.map.incr('n')), 1);
  const again = await child.run(({ kept }) => kept.map.handle);
  assert.strictEqual(SharedMap.from(again).get('n'), 1);
});

test('a handle can be passed as workerData', WATCHDOG, async (t) => {
  const map = new SharedMap();
  const source = `
    const { workerData, parentPort } = require('node:worker_threads');
    const { SharedMap } = require(workerData.library);
    parentPort.postMessage(SharedMap.from(workerData.map).incr('n', 5));
  `;
  const worker = new Worker(source, { eval: true, workerData: { map, library: require.resolve('..') } });
  t.after(() => worker.terminate());
  assert.deepStrictEqual(await once(worker, 'message'), [5]);
  assert.strictEqual(map.get('n'), 5);
});

test('a handle whose process has exited opens nothing', WATCHDOG, async (t) => {
  const peer = processPeer(t);
  const handle = await peer.run(({ manycore, kept }) => (kept.map = new manycore.SharedMap()).handle);
  assert.ok(SharedMap.from(handle));
  peer.child.kill('SIGKILL');
  await peer.ended;
  assert.throws(() => SharedMap.from(handle), { code: 'ERR_MANYCORE_SEGMENT_NOT_FOUND' });
});

test(
  'segments can be listed and unlinked, and are removed when all their users are dead',
  WATCHDOG,
  async (t) => {
    const [kept, left] = [nameFor(t), nameFor(t)];
    const find = (name) => shared.list().find((segment) => segment.name === name);
    const map = SharedMap.open(kept, { capacityBytes: 1024 * 1024 });
    const peer = processPeer(t);
    await peer.run(({ manycore, kept }, name) => (kept.map = manycore.SharedMap.open(name)) && 1, left);
    assert.ok(find(left).inUse);
    assert.ok(!shared.prune().includes(left));
    peer.child.kill('SIGKILL');
    await peer.ended;
    assert.strictEqual(find(left).inUse, false);
    assert.ok(shared.stats().unusedBytes >= find(left).bytes);
    const pruned = shared.prune();
    assert.ok(pruned.includes(left) && !pruned.includes(kept));
    assert.strictEqual(find(left), undefined);

    const { kind, bytes, createdAt, inUse, scope } = find(kept);
    assert.deepStrictEqual({ kind, inUse, scope }, { kind: 'map', inUse: true, scope: 'host' });
    assert.ok(bytes >= 1024 * 1024 && createdAt instanceof Date);
    map.set('a', 1);
    assert.strictEqual(shared.unlink(kept), true);
    assert.strictEqual(shared.unlink(kept), false);
    assert.strictEqual(SharedMap.open(kept).get('a'), undefined);
    assert.strictEqual(map.get('a'), 1);
  },
);

test('invalid names, options and handles are rejected at the call', () => {
  for (const name of ['', '.x', 'a/b', 'a b', 'x'.repeat(201)]) {
    assert.throws(() => SharedMap.open(name), { code: 'ERR_INVALID_ARG_VALUE' });
  }
  assert.throws(() => SharedMap.open(1), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => SharedMap.open('a', null), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => SharedMap.open('a', { create: 1 }), { code: 'ERR_INVALID_ARG_VALUE' });
  assert.throws(() => SharedMap.open('a', { scope: 'world' }), { code: 'ERR_INVALID_ARG_VALUE' });
  assert.throws(() => new SharedMap({ capacityBytes: 10 }), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => new SharedMap({ capacityBytes: '1' }), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => new SharedMap({ evict: 'fifo' }), { code: 'ERR_INVALID_ARG_VALUE' });
  assert.throws(() => new SharedMap({ capacityBytes: 2 ** 38 }), { code: 'ENOMEM', syscall: 'open' });
  for (const handle of [undefined, 1, {}, 'x', { handle: 7 }]) {
    assert.throws(() => SharedMap.from(handle), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  assert.throws(() => SharedMap.from('manycore:map:fd/x'), { code: 'ERR_INVALID_ARG_VALUE' });
});

test('using a closed object throws an error that says so', () => {
  const map = new SharedMap();
  map.close();
  map.close();
  for (const call of [
    () => map.get('a'),
    () => map.set('a', {}),
    () => map.size,
    () => map.handle,
    () => [...map],
  ]) {
    assert.throws(call, { code: 'ERR_MANYCORE_CLOSED' });
  }
});

test('system errors are reported as Node does, with advice', () => {
  const { fromAddon } = require('../lib/shared/failures');
  const said = new Error('IO 28 No space left on device (os error 28)');
  const { code, errno, syscall, message } = fromAddon(said, 'jobs');
  assert.deepEqual([code, errno, syscall], ['ENOSPC', -28, 'open']);
  assert.match(message, /^ENOSPC: no space left on device, open 'jobs' \(.*\/dev\/shm/);
  const handle = 'manycore:map:fd/1/2/abc';
  const refused = fromAddon(new Error('IO 13 Permission denied (os error 13)'), handle);
  assert.match(refused.message, /^EACCES: permission denied, open 'manycore:.*\/proc/);
  assert.match(fromAddon(new Error('NOT_FOUND 0 none'), handle).message, /another user/);
  assert.match(fromAddon(new Error('NOT_FOUND 0 none'), 'jobs').message, /no segment named 'jobs'/);
  assert.match(fromAddon(new Error('IO 12 Cannot allocate memory (os error 12)'), 'x').message, /open 'x'$/);
});

test('links report system errors as Node does', () => {
  const failing = (message) => () =>
    withSystemErrors('open', () => {
      throw new Error(message);
    });
  const emfile = {
    message: 'EMFILE: too many open files, open',
    code: 'EMFILE',
    errno: -24,
    syscall: 'open',
  };
  assert.throws(failing('Too many open files (os error 24)'), emfile);
  assert.throws(failing('anything else'), { message: 'anything else' });
});

test('an object that cannot be opened throws to the program, not to the channel that delivers it', () => {
  const { arrive } = require('../lib/shared/arrivals');
  const lost = arrive('map', `fd/${2 ** 31 - 1}/3/${'0'.repeat(32)}`);
  assert.equal(lost.cmd, undefined);
  assert.throws(() => lost.get('a'), { code: 'ERR_MANYCORE_SEGMENT_NOT_FOUND' });
});
