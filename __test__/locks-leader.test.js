'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const test = require('node:test');
const { leader, runOnce } = require('manycore');
const { startProcess, startThread, within } = require('./support/peers');

const unique = (what) => `${what} ${process.pid} ${Math.random()}`;

test('there is one leader at a time, and a successor when it dies', async (t) => {
  const name = unique('leader');
  const peers = [await startProcess(t), await startThread(t)];
  const lead = ({ leader }, name, tell) =>
    leader(name, ({ fencingToken, ownerDied }) => {
      tell({ fencingToken, ownerDied });
      return new Promise(() => {});
    });
  const first = await peers[0].start(lead, name);
  assert.equal(first.ownerDied, false);
  const second = peers[1].start(lead, name);
  const here = leader(name, ({ fencingToken, ownerDied }) => ({ fencingToken, ownerDied }));
  await peers[0].kill();
  const successors = [];
  // Whichever of the two requested first.
  await within(
    Promise.race([second.then((led) => successors.push(led)), here.then((led) => successors.push(led))]),
    'a successor',
  );
  assert.equal(successors[0].ownerDied, true);
  assert.ok(successors[0].fencingToken > first.fencingToken);
  await second;
  await peers[1].kill();
  assert.ok((await within(here, 'leadership')).fencingToken > first.fencingToken);
});

test('an aborted leader returns, and an aborted candidate rejects', async () => {
  const name = unique('leader');
  const controller = new AbortController();
  const { signal } = controller;
  const leading = leader(name, ({ signal }) => once(signal, 'abort').then(() => 'stopped'), { signal });
  const waiting = leader(name, () => assert.fail(), { signal });
  controller.abort();
  assert.equal(await leading, 'stopped');
  await assert.rejects(waiting, { name: 'AbortError' });
  assert.equal(await leader(name, () => 'next'), 'next');
});

test('a candidate that is aborted when it has just been elected does not lead, nor run a job', async () => {
  const candidates = [
    (/** @type {string} */ name, /** @type {any} */ fn, /** @type {any} */ options) =>
      leader(name, fn, options),
    (/** @type {string} */ name, /** @type {any} */ fn, /** @type {any} */ options) =>
      runOnce(name, 'a', fn, options),
  ];
  for (const stand of candidates) {
    const name = unique('leader');
    const controller = new AbortController();
    /** @type {() => void} */
    let resign = () => {};
    const first = stand(
      name,
      () => new Promise((_resolve, reject) => (resign = () => reject(new Error('over')))),
      {},
    );
    const second = stand(name, () => assert.fail('it was called'), { signal: controller.signal });
    resign();
    await assert.rejects(first, { message: 'over' });
    // It holds the lock by now, and will notice at the next turn of the event loop.
    controller.abort();
    await assert.rejects(second, { name: 'AbortError' });
    assert.equal(await leader(name, () => 'next'), 'next');
  }
});

test('the signal of a leader is aborted on a Node without AbortSignal.any()', async (t) => {
  const any = Object.getOwnPropertyDescriptor(AbortSignal, 'any');
  t.after(() => Object.defineProperty(AbortSignal, 'any', any));
  Reflect.deleteProperty(AbortSignal, 'any');
  const stop = new AbortController();
  const led = leader(
    unique('leader'),
    async ({ signal }) => {
      const aborted = once(signal, 'abort');
      stop.abort(new Error('enough'));
      await aborted;
      return signal.reason.message;
    },
    { signal: stop.signal },
  );
  assert.equal(await led, 'enough');
});

test('a key is run once across all processes', async (t) => {
  const name = unique('job');
  const peers = await Promise.all([startProcess(t), startProcess(t), startThread(t)]);
  const run = ({ runOnce }, [name, key]) => runOnce(name, key, (run) => `${run.name} ${run.key}`);
  let last = 0;
  for (const key of ['monday', 'tuesday', 3]) {
    const results = await Promise.all([
      ...peers.map((peer) => peer.run(run, [name, key])),
      runOnce(name, key, (run) => `${run.name} ${run.key}`),
    ]);
    const ran = results.filter((result) => result.ran);
    assert.deepEqual(
      ran.map(({ value }) => value),
      [`${name} ${key}`],
    );
    assert.ok(ran[0].fencingToken > last);
    last = ran[0].fencingToken;
    assert.deepEqual(await runOnce(name, key, assert.fail), { ran: false });
  }
  // Keys of another name are independent.
  assert.equal((await runOnce(unique('job'), 'monday', () => {})).ran, true);
});

test('a run that fails or whose process dies is retried by the next caller', async (t) => {
  const name = unique('job');
  await assert.rejects(
    runOnce(name, 1, () => Promise.reject(new Error('mine'))),
    { message: 'mine' },
  );
  const peer = await startProcess(t);
  await peer.start(
    ({ runOnce }, name, tell) =>
      runOnce(name, 1, () => {
        tell('runs');
        return new Promise(() => {});
      }),
    name,
  );
  const waiting = runOnce(name, 1, ({ ownerDied }) => ownerDied);
  await peer.kill();
  const { ran, value } = await within(waiting, 'the run');
  assert.deepEqual([ran, value], [true, true]);
});

test('arguments are validated', async () => {
  const type = { code: 'ERR_INVALID_ARG_TYPE' };
  await assert.rejects(
    leader(7, () => {}),
    type,
  );
  await assert.rejects(leader('a', 7), type);
  await assert.rejects(
    leader('a', () => {}, { signal: 7 }),
    type,
  );
  await assert.rejects(
    runOnce('a', {}, () => {}),
    type,
  );
  await assert.rejects(runOnce('a', 'b', 7), type);
  const range = { code: 'ERR_OUT_OF_RANGE' };
  // These have no identity.
  for (const key of [NaN, Infinity, -Infinity]) await assert.rejects(runOnce('a', key, assert.fail), range);
  await assert.rejects(leader('é'.repeat(123), assert.fail), { ...range, message: /Received 'é+/ });
  await assert.rejects(runOnce('é'.repeat(124), 'b', assert.fail), range);
  assert.equal(await leader('é'.repeat(122), () => 'leads'), 'leads');
});

test('the example runs each job once, in any worker', async () => {
  const example = path.join(__dirname, '..', 'examples', 'cron.js');
  const child = spawn(process.execPath, [example, '--jobs', '4', '--every', '200'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  const [code] = await within(once(child, 'exit'), 'the example');
  assert.equal(code, 0, output);
  const jobs = [...output.matchAll(/job (\S+) run by worker \d+/g)].map(([, key]) => key);
  assert.equal(jobs.length, 4, output);
  assert.equal(new Set(jobs).size, 4, output);
});
