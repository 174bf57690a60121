'use strict';

/*
 * Every method of a cluster Worker in every state of its life cycle, in the primary and in the worker itself, run on
 * Node's own cluster and on ours. All must have the same results, and leave the worker in the same state.
 */

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { playBoth } = require('./support/scenario');

const WATCHDOG = { timeout: 240_000 };
const STATES = ['starting', 'online', 'listening', 'disconnecting', 'draining', 'disconnected', 'dead'];
const METHODS = 14;

/** Runs each method on a separate worker that is in the state named by STATE. */
async function primary({ cluster, net, once, until }) {
  const state = process.env.STATE;
  let client;
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
    // Its server waits for the end of a connection.
    async draining(worker) {
      const [{ port }] = await listens(worker);
      client = net.connect(port, '127.0.0.1').on('error', () => {});
      await once(worker, 'message');
      worker.disconnect();
      await once(worker, 'message');
    },
    async disconnected(worker) {
      await once(worker, 'online');
      worker.disconnect();
      await once(worker, 'disconnect');
    },
    async dead(worker) {
      await once(worker, 'online');
      worker.process.kill('SIGKILL');
      await until(() => worker.isDead() && !worker.isConnected());
    },
  };
  const isOver = ['disconnecting', 'disconnected', 'dead'].includes(state);
  const isLeaving = state === 'disconnecting' || state === 'draining';
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
  if (process.env.CLUSTER !== 'node:cluster') methods.load = (worker) => worker.load;
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
    const goesOn = !ends.has(name) || (state === 'disconnected' && name === 'disconnect');
    worker.process.kill(goesOn ? 'SIGKILL' : 'SIGCONT');
    client?.destroy();
    await until(() => worker.isDead() && !worker.isConnected() && cluster.workers[worker.id] === undefined);
    // The order in which its two ends are detected is up to the operating system.
    const told = [...before, ...events].map((entry) => JSON.stringify(entry)).sort();
    // If called twice, a worker disconnects twice, which fails unless it has exited before.
    if (isLeaving && name === 'disconnect') return { result, after };
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
  if (['online', 'starting', 'disconnected'].includes(process.env.STATE)) {
    const hold = setInterval(() => {}, 1e6);
    if (process.env.STATE !== 'disconnected') process.on('disconnect', () => clearInterval(hold));
    return;
  }
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    process.send('connected');
  });
  const { close } = server;
  server.close = (...args) => {
    process.send('closing', () => {});
    return Reflect.apply(close, server, args);
  };
  server.listen(0, '127.0.0.1');
}

for (const state of STATES) {
  test(`methods of a worker that is ${state}`, WATCHDOG, async (t) => {
    const { ours, nodes } = await playBoth(t, { primary, worker, env: { STATE: state } });
    assert.equal(nodes.code, 0, nodes.stderr);
    assert.equal(Object.keys(nodes.result).length, METHODS);
    for (const name of Object.keys(nodes.result)) {
      assert.deepEqual(ours.result[name], nodes.result[name], `${name}, ${state}`);
    }
    const { cpu, rssBytes, connections, loopLagMs, ...load } = ours.result.load.result;
    assert.deepEqual(load, { requests: 0, unclaimed: 0 });
    assert.ok(state === 'dead' ? loopLagMs === 0 : loopLagMs >= 0, `${loopLagMs}`);
    assert.equal(connections, state === 'draining' ? 1 : 0);
    assert.deepEqual([rssBytes > 0, Object.keys(cpu)], [state !== 'dead', ['user', 'system']]);
    assert.equal(ours.code, 0, ours.stderr);
  });
}

const OWN_STATES = ['online', 'listening', 'draining', 'disconnected'];

/** Forks a worker for each of the methods named by METHODS, and returns what each printed, and how it ended. */
async function ownPrimary({ cluster, net, once }) {
  cluster.setupPrimary({ silent: true });
  const results = {};
  for (const name of process.env.METHODS.split(',')) {
    const worker = cluster.fork({ METHOD: name });
    const events = [];
    const note =
      (event) =>
      (...args) =>
        events.push(JSON.stringify([event, ...args]));
    for (const event of ['message', 'disconnect', 'exit', 'error']) worker.on(event, note(event));
    let client;
    worker.on('listening', ({ port }) => {
      if (process.env.STATE === 'draining') client = net.connect(port, '127.0.0.1').on('error', () => {});
    });
    const { stdout, stderr } = worker.process;
    const printed = ['', ''];
    for (const [at, stream] of [stdout, stderr].entries()) {
      stream.setEncoding('utf8').on('data', (text) => {
        printed[at] += text;
        if (!printed[0].includes('over\n')) return;
        // A connection that ends before the signal arrives would let a draining worker disconnect.
        if (/^(disconnect|kill|destroy)/.test(name)) client?.destroy();
        else worker.process.kill('SIGKILL');
      });
    }
    await once(worker.process, 'close');
    client?.destroy();
    const { exitedAfterDisconnect, state } = worker;
    results[name] = { printed, events: events.sort(), exitedAfterDisconnect, state };
  }
  return results;
}

/** Calls the method named by METHOD in the state named by STATE, and prints the result. */
function ownWorker({ cluster, net, once, until, require }) {
  const fs = require('node:fs');
  const { STATE: state, METHOD: name } = process.env;
  const ends = /^(disconnect|kill|destroy)/.test(name);
  const self = cluster.worker;
  const print = (value) => fs.writeSync(1, `${JSON.stringify(value) ?? 'undefined'}\n`);
  const seen = (error) => (error ? [error.name, error.code] : null);
  setInterval(() => {}, 1e6);
  for (const event of ['disconnect', 'error']) {
    self.on(event, (error) => print([event, seen(error)]));
  }
  const listen = async (onConnection) => {
    const server = net.createServer(onConnection).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  };
  const reach = {
    online() {},
    listening: () => listen(() => {}),
    async draining() {
      const server = await listen();
      const [socket] = await once(server, 'connection');
      socket.on('error', () => {}).resume();
      self.disconnect();
      await until(() => !server.listening);
    },
    async disconnected() {
      self.disconnect();
      await once(process, 'disconnect');
    },
  };
  const sent = (message, ...rest) =>
    new Promise((resolve) => {
      const result = self.send(message, ...rest, (error) => resolve([result, seen(error)]));
    });
  const methods = {
    send: () => self.send({ a: 1 }),
    'send with a callback': () => sent({ a: 1 }),
    'send with options': () => sent('text', undefined, { keepOpen: false }),
    'send without a message': () => self.send(),
    'send of an invalid message': () => self.send(Symbol('own')),
    'send of an invalid handle': () => self.send(1, {}),
    isConnected: () => self.isConnected(),
    isDead: () => self.isDead(),
    properties: () => [
      self.id > 0,
      self.state,
      self.exitedAfterDisconnect,
      self.process === process,
      Object.keys(self),
      Object.keys(cluster).includes('worker'),
    ],
    disconnect: () => self.disconnect() === self,
    kill: () => self.kill(),
    'kill by another signal': () => self.kill('SIGKILL'),
    destroy: () => self.destroy(),
  };
  (async () => {
    await reach[state]();
    let result;
    try {
      result = await methods[name]();
    } catch (error) {
      result = { threw: seen(error) };
    }
    print({ result, isConnected: self.isConnected(), exitedAfterDisconnect: self.exitedAfterDisconnect });
    // Events that it leads to are printed as well.
    if (!ends) for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
    fs.writeSync(1, 'over\n');
    if (name === 'disconnect' && state === 'disconnected') process.exit();
    if (name === 'disconnect') process.once('disconnect', () => process.exit());
  })();
}

const OWN_METHODS = [
  'send',
  'send with a callback',
  'send with options',
  'send without a message',
  'send of an invalid message',
  'send of an invalid handle',
  'isConnected',
  'isDead',
  'properties',
  'disconnect',
  'kill',
  'kill by another signal',
  'destroy',
];

for (const state of OWN_STATES) {
  test(`methods of cluster.worker while it is ${state}`, WATCHDOG, async (t) => {
    const env = { STATE: state, METHODS: OWN_METHODS.join() };
    const { ours, nodes } = await playBoth(t, { primary: ownPrimary, worker: ownWorker, env });
    assert.equal(nodes.code, 0, nodes.stderr);
    for (const name of OWN_METHODS) {
      // It exits at once if there is nobody to tell.
      const isGone = state === 'disconnected' && /^(kill|destroy)/.test(name);
      assert.equal(nodes.result[name].printed[0].includes('over\n'), !isGone, name);
      assert.deepEqual(ours.result[name], nodes.result[name], `${name}, ${state}`);
    }
    assert.equal(ours.code, 0, ours.stderr);
  });
}
