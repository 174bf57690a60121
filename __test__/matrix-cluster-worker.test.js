'use strict';

/*
 * Every method of a cluster Worker in every state of its life cycle, run on Node's own cluster and on ours. All
 * must have the same results, and leave the worker in the same state.
 */

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { playBoth } = require('./support/scenario');

const WATCHDOG = { timeout: 240_000 };
const STATES = ['starting', 'online', 'listening', 'disconnecting', 'dead'];
const METHODS = 14;

/** Runs each method on a separate worker that is in the state named by STATE. */
async function primary({ cluster, once, until }) {
  const state = process.env.STATE;
  const listens = (worker) => once(worker, 'listening');
  const reach = {
    starting() {},
    online: (worker) => once(worker, 'online'),
    listening: listens,
    // It is stopped, and therefore cannot finish before it is continued.
    async disconnecting(worker) {
      await listens(worker);
      worker.process.kill('SIGSTOP');
      worker.disconnect();
    },
    async dead(worker) {
      await once(worker, 'online');
      worker.process.kill('SIGKILL');
      await until(() => worker.isDead() && !worker.isConnected());
    },
  };
  const isOver = state === 'disconnecting' || state === 'dead';
  const seen = (error) => (error ? [error.name, error.code] : null);
  const sent = (worker, message, ...rest) =>
    new Promise((resolve) => {
      const result = worker.send(message, ...rest, (error) => resolve([result, seen(error)]));
    });
  const methods = {
    send: (worker) => worker.send({ a: 1 }),
    'send with a callback': (worker) => sent(worker, { a: 1 }),
    'send with options': (worker) => sent(worker, 'text', undefined, { keepOpen: false }),
    'send without a message': (worker) => worker.send(),
    'send of an invalid message': (worker) => worker.send(Symbol('own')),
    'send of an invalid handle': (worker) => worker.send(1, {}),
    async 'the reply to a message'(worker) {
      if (isOver) return 'no reply expected';
      const answered = new Promise((resolve) =>
        worker.on('message', (message) => message.echo && resolve(message)),
      );
      worker.send('ask');
      return answered;
    },
    isConnected: (worker) => worker.isConnected(),
    isDead: (worker) => worker.isDead(),
    properties: (worker) => [
      worker.id > 0,
      worker.exitedAfterDisconnect,
      worker.process.connected,
      worker.process.exitCode,
      worker.process.signalCode,
      cluster.workers[worker.id] === worker,
      Object.keys(worker).filter((name) => !['load'].includes(name)),
    ],
    disconnect: (worker) => worker.disconnect() === worker,
    kill: (worker) => worker.kill(),
    'kill by another signal': (worker) => worker.kill('SIGKILL'),
    destroy: (worker) => worker.destroy(),
  };
  const ends = new Set(['disconnect', 'kill', 'kill by another signal', 'destroy']);

  const play = async (name, method) => {
    const worker = cluster.fork();
    const events = [];
    for (const event of ['disconnect', 'exit', 'error']) {
      worker.on(event, (...args) =>
        events.push([event, ...args.map((arg) => (arg instanceof Error ? seen(arg) : arg))]),
      );
    }
    await reach[state](worker);
    const before = events.splice(0);
    let result;
    try {
      result = await method(worker);
    } catch (error) {
      result = { threw: seen(error) };
    }
    const after = { isConnected: worker.isConnected(), exitedAfterDisconnect: worker.exitedAfterDisconnect };
    // Ends a worker that the method does not end.
    worker.process.kill(ends.has(name) ? 'SIGCONT' : 'SIGKILL');
    await until(() => worker.isDead() && !worker.isConnected() && cluster.workers[worker.id] === undefined);
    // The order in which its two ends are detected is up to the operating system.
    const told = [...before, ...events].map((entry) => JSON.stringify(entry)).sort();
    // If called twice, a worker disconnects twice, which fails unless it has exited before.
    if (state === 'disconnecting' && name === 'disconnect') return { result, after };
    const end = [worker.state, worker.isDead(), worker.exitedAfterDisconnect, worker.process.signalCode];
    return { result, after, told, end };
  };

  const results = {};
  for (const [name, method] of Object.entries(methods)) results[name] = await play(name, method);
  return results;
}

function worker({ net }) {
  process.on('message', (message) => process.connected && process.send({ echo: message }, () => {}));
  // Once started, it continues by itself: only the primary ends it.
  if (process.env.STATE === 'online' || process.env.STATE === 'starting') {
    const hold = setInterval(() => {}, 1e6);
    process.on('disconnect', () => clearInterval(hold));
    return;
  }
  net.createServer(() => {}).listen(0, '127.0.0.1');
}

for (const state of STATES) {
  test(`methods of a worker that is ${state}`, WATCHDOG, async (t) => {
    const { ours, nodes } = await playBoth(t, { primary, worker, env: { STATE: state } });
    assert.equal(nodes.code, 0, nodes.stderr);
    assert.equal(Object.keys(nodes.result).length, METHODS);
    for (const name of Object.keys(nodes.result)) {
      assert.deepEqual(ours.result[name], nodes.result[name], `${name}, ${state}`);
    }
    assert.equal(ours.code, 0, ours.stderr);
  });
}
