'use strict';

/* The API of Node's cluster, run on ours and on Node's own: what a user observes is the same. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { play, playBoth } = require('./support/scenario');

/** @param {import('node:test').TestContext} t */
function temporaryFolder(t) {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'mc-')));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  return folder;
}

/**
 * @param {import('node:test').TestContext} t
 * @param {Parameters<typeof play>[1]} scenario
 */
async function same(t, scenario) {
  const { ours, nodes } = await playBoth(t, scenario);
  assert.deepEqual(ours.result, nodes.result);
  assert.deepEqual(
    { code: ours.code, stderr: ours.stderr.replaceAll(/\d{2,}/g, 'N') },
    { code: nodes.code, stderr: nodes.stderr.replaceAll(/\d{2,}/g, 'N') },
  );
  return ours.result;
}

test('setupPrimary: exec, args, execArgv, cwd, serialization, silent, windowsHide, uid and gid take effect', async (t) => {
  const cwd = temporaryFolder(t);
  const exec = path.join(cwd, 'app.js');
  fs.writeFileSync(
    exec,
    `const { argv, execArgv, env } = process;
    console.log('out');
    console.error('err');
    const at = argv.indexOf(env.EXEC);
    process.send({ argv: argv.slice(1), execArgv, cwd: process.cwd(), own: env.OWN, more: env.MORE,
      names: Object.keys(env).filter((name) => /MANYCORE/.test(name)), map: new Map([[1, 2n]]),
      ids: [process.getuid(), process.getgid()], title: require('cluster').worker.id });`,
  );
  const result = await same(t, {
    env: { EXEC: exec, OWN: 'outer' },
    async primary({ cluster, once, require }) {
      const path = require('node:path');
      const setups = [];
      cluster.on('setup', (settings) => setups.push({ ...settings, isOwn: settings === cluster.settings }));
      cluster.setupPrimary({
        exec: process.env.EXEC,
        args: ['one', '--two'],
        execArgv: ['--no-warnings', '--max-http-header-size=9000'],
        cwd: path.dirname(process.env.EXEC),
        serialization: 'advanced',
        silent: true,
        windowsHide: true,
        uid: process.getuid(),
        gid: process.getgid(),
      });
      const worker = cluster.fork({ OWN: 'inner', MORE: 7 });
      const output = Promise.all([once(worker.process.stdout, 'data'), once(worker.process.stderr, 'data')]);
      const [message] = await once(worker, 'message');
      const [[out], [err]] = await output;
      return { message, entries: String([...message.map]), out: String(out), err: String(err), setups };
    },
    worker() {},
  });
  assert.equal(result.message.cwd, cwd);
  assert.deepEqual(result.message.names, []);
  assert.deepEqual(result.message.execArgv, ['--no-warnings', '--max-http-header-size=9000']);
});

test("setupPrimary: settings accumulate, each call emits 'setup', and setupMaster is an alias", async (t) => {
  await same(t, {
    async primary({ cluster, once }) {
      const seen = [];
      cluster.on('setup', (...args) => seen.push(args));
      const before = { ...cluster.settings };
      cluster.setupPrimary({ args: ['a'] });
      cluster.setupMaster({ silent: true });
      cluster.setupPrimary();
      const given = cluster.settings;
      await once(cluster, 'setup');
      await new Promise(setImmediate);
      const returned = cluster.setupPrimary({});
      return { before, given, seen, returned: typeof returned, isSame: cluster.setupMaster.length };
    },
    worker() {},
  });
});

test('setupPrimary between forks applies to the next one, and fork() calls one that the program has replaced', async (t) => {
  await same(t, {
    async primary({ cluster, once }) {
      const answers = [];
      const setups = [];
      const ask = async () => {
        const worker = cluster.fork();
        answers.push((await once(worker, 'message'))[0]);
        await once(worker, 'exit');
      };
      cluster.on('setup', ({ args }) => setups.push(args));
      for (const word of ['one', 'two']) {
        cluster.setupPrimary({ args: [word], execArgv: [`--title=${word}`] });
        await ask();
      }
      cluster.settings.args = ['three'];
      await ask();
      const { setupPrimary } = cluster;
      let calls = 0;
      cluster.setupPrimary = function (...args) {
        calls++;
        const returned = setupPrimary.apply(this, args);
        cluster.settings.args = ['four', String(this === cluster), String(args.length)];
        return returned;
      };
      await ask();
      cluster.setupPrimary = setupPrimary;
      await ask();
      return { answers, setups, calls };
    },
    worker() {
      process.send([process.argv.slice(2), process.execArgv, process.title]);
      process.disconnect();
    },
  });
});

for (const [what, stdio] of Object.entries({
  'an array': ['ignore', 'pipe', 'inherit', 'ipc', 'pipe'],
  'a word': 'pipe',
  'an array without a channel': ['ignore', 'inherit', 'inherit'],
  'an array of just the channel': ['ipc'],
  'an unknown word': 'teletype',
  'an array with an unknown word': ['ignore', 'pipe', 'telepathy', 'ipc'],
})) {
  test(`setupPrimary: stdio as ${what}`, async (t) => {
    await same(t, {
      env: { STDIO: JSON.stringify(stdio) },
      async primary({ cluster, once }) {
        cluster.setupPrimary({ stdio: JSON.parse(process.env.STDIO) });
        let worker;
        try {
          worker = cluster.fork();
        } catch ({ name, code, message }) {
          return { name, code, message, workers: Object.keys(cluster.workers) };
        }
        const { stdio, stdout, stderr } = worker.process;
        const chunks = await Promise.all([stdout, stdio[4]].map((s) => s && once(s, 'data')));
        worker.send('end');
        const exit = await once(worker, 'exit');
        return {
          chunks: chunks.map(String),
          exit,
          kinds: stdio.slice(0, 5).map((stream) => stream?.constructor.name),
          isNull: stderr === null,
        };
      },
      worker({ require }) {
        const fs = require('node:fs');
        process.on('message', () => process.disconnect());
        fs.writeSync(1, 'to stdout');
        // Besides the worker's own descriptors, the requested one exists.
        if (JSON.parse(process.env.STDIO).length === 5) fs.writeSync(4, 'to four');
      },
    });
  });
}

test('inspector ports: each worker gets the next port, or the one set by inspectPort as a number or function', async (t) => {
  const result = await same(t, {
    async primary({ cluster, once }) {
      const ask = async (settings) => {
        cluster.setupPrimary({ execArgv: ['--inspect-port=20000'], ...settings });
        let worker;
        try {
          worker = cluster.fork();
        } catch ({ name, code }) {
          return { name, code };
        }
        const [port] = await once(worker, 'message');
        return port;
      };
      let calls = 0;
      const base = process.debugPort;
      const relative = (port) => port - base;
      return {
        first: relative(await ask({})),
        second: relative(await ask({})),
        number: await ask({ inspectPort: 23_456 }),
        fromFunction: [
          await ask({ inspectPort: () => 30_000 + ++calls }),
          await ask({ inspectPort: () => 30_000 + ++calls }),
        ],
        calls,
        bad: [
          await ask({ inspectPort: null }),
          await ask({ inspectPort: 70_000 }),
          await ask({ inspectPort: 'seven' }),
          await ask({ inspectPort: () => -1 }),
        ],
        after: relative(await ask({ inspectPort: undefined })),
        settings: { ...cluster.settings, inspectPort: typeof cluster.settings.inspectPort },
      };
    },
    worker() {
      process.send(process.debugPort);
    },
  });
  assert.deepEqual(result.fromFunction, [30_001, 30_002]);
});

test('--prof: each worker writes its own log file', async (t) => {
  const folders = [temporaryFolder(t), temporaryFolder(t)];
  const scenario = {
    async primary({ cluster, once, require }) {
      cluster.setupPrimary({ execArgv: ['--prof'], cwd: process.env.FOLDER });
      const exits = [];
      const pids = [];
      for (let i = 0; i < 2; i++) {
        const worker = cluster.fork();
        pids.push(worker.process.pid);
        exits.push(once(worker, 'exit'));
      }
      await Promise.all(exits);
      const files = require('node:fs').readdirSync(process.env.FOLDER);
      return {
        own: pids.map((pid) => files.filter((file) => file.includes(`v8-${pid}`)).length),
        execArgv: cluster.settings.execArgv,
      };
    },
    worker: () => process.disconnect(),
  };
  const ours = await play(t, { ...scenario, env: { FOLDER: folders[0] } });
  const nodes = await play(t, { ...scenario, cluster: 'node:cluster', env: { FOLDER: folders[1] } });
  assert.deepEqual(ours.result, nodes.result);
  assert.deepEqual(ours.result.own, [1, 1]);
});

for (const value of ['rr', 'none', 'RR', '', undefined]) {
  test(`NODE_CLUSTER_SCHED_POLICY=${value}: schedulingPolicy reads as in Node`, async (t) => {
    await same(t, {
      // Node says nothing of an invalid value.
      env: { NODE_CLUSTER_SCHED_POLICY: value, NODE_NO_WARNINGS: '1' },
      async primary({ cluster, once }) {
        const { SCHED_NONE, SCHED_RR, schedulingPolicy } = cluster;
        const worker = cluster.fork();
        const [inWorker] = await once(worker, 'message');
        return { SCHED_NONE, SCHED_RR, schedulingPolicy, after: cluster.schedulingPolicy, inWorker };
      },
      worker({ cluster }) {
        const { SCHED_NONE, SCHED_RR, schedulingPolicy } = cluster;
        process.send([SCHED_NONE, SCHED_RR, schedulingPolicy].map(String));
      },
    });
  });
}

test("cluster has the same properties as Node's, in the primary and in a worker", async (t) => {
  await same(t, {
    async primary({ cluster, once, require }) {
      const names = Object.keys(cluster).filter((name) => !name.startsWith('_'));
      const types = names.map((name) => [name, typeof cluster[name], String(cluster[name]?.length)]);
      const worker = cluster.fork();
      const own = ['send', 'kill', 'destroy', 'disconnect', 'isConnected', 'isDead'];
      const [inWorker] = await once(worker, 'message');
      return {
        types: types.sort(),
        inWorker,
        worker: Object.keys(worker).filter((name) => !name.startsWith('_')),
        process: Object.keys(worker.process).sort(),
        stdio: worker.process.stdio.length,
        spawnargs: worker.process.spawnargs.length,
        spawned: worker.process.spawnargs.filter((word) => /require|manycore/.test(word)),
        methods: own.map((name) => typeof worker[name]),
        isWorker: worker instanceof cluster.Worker,
        isEmitter: worker instanceof require('node:events'),
      };
    },
    worker({ cluster }) {
      const names = Object.keys(cluster).filter((name) => !name.startsWith('_'));
      const types = names.map((name) => [name, typeof cluster[name]]);
      const ofProcess = Object.keys(process).sort();
      process.send({ types: types.sort(), ofProcess, isWorker: cluster.worker instanceof cluster.Worker });
    },
  });
});

test('cluster is shown with values, as Node shows its own', async (t) => {
  await same(t, {
    async primary({ cluster, require }) {
      const { inspect } = require('node:util');
      const show = () => inspect(cluster).replace(/\[Function[^\]]*\]/g, '[Function]');
      const before = show();
      cluster.schedulingPolicy = cluster.SCHED_NONE;
      cluster.own = { cluster };
      return [before, show()];
    },
    worker() {},
  });
});

test('listeners are called on cluster itself, listed and removed as in Node', async (t) => {
  const result = await same(t, {
    async primary({ cluster, once }) {
      const seen = [];
      const methods = ['on', 'addListener', 'prependListener', 'once', 'prependOnceListener'];
      cluster.on('newListener', (name, listener) => seen.push([name, listener.id]));
      const listeners = methods.map((method, id) => {
        const listener = function (...args) {
          seen.push([method, this === cluster, args.length]);
          return 'ignored';
        };
        listener.id = id;
        return listener;
      });
      const chained = methods.map((method, id) => cluster[method]('exit', listeners[id]) === cluster);
      const ids = () => cluster.listeners('exit').map(({ id }) => id);
      const kinds = () => cluster.rawListeners('exit').map((each) => listeners.indexOf(each));
      const before = [ids(), kinds()];
      const worker = cluster.fork();
      await once(worker, 'exit');
      await new Promise(setImmediate);
      const after = [ids(), kinds(), cluster.emit('exit', worker)];
      for (const listener of listeners) cluster.off('exit', listener);
      // One that causes its own event again is still called once.
      cluster.once('own', () => seen.push(['own', cluster.emit('own')]));
      cluster.prependOnceListener('own', () => cluster.emit('own'));
      cluster.emit('own');
      let error;
      try {
        cluster.once('own', 'no function');
      } catch ({ code, message }) {
        error = { code, message };
      }
      return { seen, chained, before, after, left: [ids(), cluster.emit('exit')], error };
    },
    worker: () => process.disconnect(),
  });
  assert.ok(result.seen.filter(([method]) => method === 'on').every(([, isOwn]) => isOwn));
});

test('an invalid setting makes fork() throw as in Node, and consumes a worker id', async (t) => {
  await same(t, {
    async primary({ cluster, once }) {
      const told = [];
      cluster.setupPrimary();
      const settings = [
        { execArgv: {} },
        { execArgv: 5 },
        { execArgv: '-' },
        { args: 5 },
        { stdio: 'nonsense' },
      ];
      for (const setting of settings) {
        const { args, execArgv, stdio } = cluster.settings;
        try {
          cluster.setupPrimary(setting);
          cluster.fork();
        } catch (error) {
          told.push([error.name, error.code, error.message]);
        }
        Object.assign(cluster.settings, { args, execArgv, stdio });
      }
      const worker = cluster.fork();
      await once(worker, 'online');
      return { told, id: worker.id };
    },
    worker() {},
  });
});

test('new cluster.Worker(options)', async (t) => {
  await same(t, {
    async primary({ cluster, require }) {
      const EventEmitter = require('node:events');
      const describe = (worker) => ({
        keys: Object.keys(worker).filter((name) => !name.startsWith('_')),
        id: worker.id,
        state: worker.state,
        exited: String(worker.exitedAfterDisconnect),
        hasProcess: worker.process !== undefined,
        isWorker: worker instanceof cluster.Worker && worker instanceof EventEmitter,
      });
      const process = new EventEmitter();
      const seen = [];
      const full = new cluster.Worker({ id: 3, state: 'online', process });
      full.on('error', (...args) => seen.push(['error', ...args]));
      full.on('message', (...args) => seen.push(['message', ...args]));
      process.emit('error', 17, 'more');
      process.emit('message', { a: 1 }, 'handle');
      return [
        describe(new cluster.Worker()),
        describe(new cluster.Worker({})),
        describe(new cluster.Worker('nonsense')),
        describe(cluster.Worker({ id: '5' })),
        describe(full),
        seen,
        Object.keys(cluster.workers),
      ];
    },
    worker() {},
  });
});

/** Ways to end a worker: in the primary, and in the worker on request. */
const ENDS = {
  'worker.disconnect() in the primary': { primary: (worker) => worker.disconnect() },
  'worker.disconnect() in the worker': { worker: (cluster) => cluster.worker.disconnect() },
  'cluster.disconnect()': { primary: (worker, cluster) => cluster.disconnect() },
  'worker.kill()': { primary: (worker) => worker.kill() },
  "worker.kill('SIGKILL')": { primary: (worker) => worker.kill('SIGKILL') },
  "worker.destroy('SIGINT')": { primary: (worker) => worker.destroy('SIGINT') },
  'worker.kill() in the worker': { worker: (cluster) => cluster.worker.kill() },
  'process.exit(7)': { worker: () => process.exit(7) },
  'process.disconnect()': { worker: () => process.disconnect() },
  'an uncaught exception': {
    worker: () => {
      setImmediate(() => {
        process.stderr.write = () => true;
        throw new Error('on purpose');
      });
    },
  },
};

for (const [what, end] of Object.entries(ENDS)) {
  test(`a worker that ends through ${what} emits the same events with the same arguments, in the same order`, async (t) => {
    await same(t, {
      env: { WORKER_END: String(end.worker ?? '() => {}') },
      primary: new Function(`return async ({ cluster, once, get }) => {
        const end = ${end.primary ?? "(worker) => worker.send('end')"};
        const seen = [];
        cluster.setupPrimary({ silent: true });
        const worker = cluster.fork();
        for (const name of ['fork', 'online', 'listening', 'disconnect', 'exit']) {
          cluster.on(name, (of, ...rest) => seen.push(['cluster', name, of.id, of.state,
            String(of.exitedAfterDisconnect), of.isConnected(), of.isDead(), rest.length]));
          worker.on(name, function (...rest) {
            const args = name === 'listening' ? rest.map(({ port, ...info }) => info) : rest;
            seen.push(['worker', name, this === worker, worker.state, args, Object.keys(cluster.workers)]);
          });
        }
        const [{ port }] = await once(worker, 'listening');
        await get(port);
        const both = Promise.all([once(worker, 'exit'), once(worker, 'disconnect')]);
        const returned = end(worker, cluster);
        const left = Object.keys(cluster.workers);
        await both;
        const { exitedAfterDisconnect, state } = worker;
        // Which of the two comes first is a matter of luck.
        const order = seen.map(([who, name]) => who + ' ' + name);
        const last = (name) => seen.filter(([, each]) => each === name).map((entry) => entry.slice(0, 3));
        return { before: seen.slice(0, -4), order: order.slice(0, -4), ends: [last('disconnect'), last('exit')],
          left, returned: returned === worker, exitedAfterDisconnect, state: typeof state,
          exit: seen.find(([who, name]) => who === 'worker' && name === 'exit')[4],
          connected: worker.isConnected(), dead: worker.isDead() };
      }`)(),
      worker: new Function(`return ({ cluster, http }) => {
        http.createServer((request, response) => response.end()).listen(0, '127.0.0.1');
        const end = ${end.worker ?? '() => {}'};
        process.on('message', () => end(cluster));
      }`)(),
    });
  });
}

test('cluster.disconnect(callback) works without workers and with workers that are already disconnecting', async (t) => {
  await same(t, {
    async primary({ cluster, forkListening, once }) {
      const ends = [];
      const ended = () =>
        new Promise((resolve) => {
          const returned = cluster.disconnect((...args) => {
            ends.push([String(returned), args.length, Object.keys(cluster.workers).length]);
            resolve();
          });
        });
      await ended();
      const { workers } = await forkListening(3);
      workers[0].process.kill('SIGKILL');
      await once(workers[0], 'exit');
      if (workers[0].isConnected()) await once(workers[0], 'disconnect');
      workers[1].disconnect();
      await ended();
      return { ends, states: workers.map((worker) => worker.exitedAfterDisconnect) };
    },
    worker: ({ http }) => http.createServer().listen(0, '127.0.0.1'),
  });
});

test("process.connected, process.channel and process.disconnect() behave as in Node, including their effect on 'message'", async (t) => {
  await same(t, {
    async primary({ cluster, once }) {
      const worker = cluster.fork();
      const [first] = await once(worker, 'message');
      const sent = worker.send({ a: [1] });
      const echo = (await once(worker, 'message'))[0];
      const connected = worker.isConnected();
      worker.send('disconnect');
      const [exit] = await Promise.all([once(worker, 'exit'), once(worker, 'disconnect')]);
      const failure = await new Promise((resolve) => {
        worker.on('error', ({ code }) => resolve({ event: code }));
        const result = worker.send('late', (error) => resolve({ code: error?.code, result: String(result) }));
      });
      return { first, sent, echo, connected, exit, failure };
    },
    worker() {
      const { channel, connected } = process;
      const names = ['ref', 'unref'].map((name) => typeof channel[name]);
      process.on('message', (message) => {
        if (message === 'disconnect') {
          process.on('disconnect', () => process.stdout.write(''));
          process.disconnect();
          const after = [process.connected, process.channel === undefined, typeof process.send];
          try {
            process.disconnect();
          } catch ({ code }) {
            after.push(code);
          }
          process.on('error', ({ code }) => after.push(code));
          process.exitCode = after.length;
        } else process.send({ message, fresh: process.listenerCount('message') });
      });
      process.send({
        names,
        connected,
        env: 'NODE_CHANNEL_FD' in process.env,
        unique: 'NODE_UNIQUE_ID' in process.env,
      });
    },
  });
});

test('sockets and servers are passed in both directions together with a message', async (t) => {
  await same(t, {
    async primary({ cluster, net, once }) {
      const worker = cluster.fork();
      await once(worker, 'online');
      const server = net.createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address();
      // A connection of the primary, served by the worker.
      const client = net.connect(port, '127.0.0.1');
      const [socket] = await once(server, 'connection');
      worker.send({ take: 'socket' }, socket);
      const [fromSocket] = await once(client, 'data');
      client.destroy();
      // The server itself: the worker accepts connections.
      worker.send({ take: 'server' }, server);
      await once(worker, 'message');
      server.close();
      const second = net.connect(port, '127.0.0.1');
      const [fromServer] = await once(second, 'data');
      second.destroy();
      // One created by the worker.
      worker.send({ make: true });
      const [message, theirs] = await once(worker, 'message');
      const result = {
        fromSocket: String(fromSocket),
        fromServer: String(fromServer),
        message,
        kind: theirs?.constructor.name,
        listening: theirs?.listening,
      };
      theirs?.close();
      return result;
    },
    worker({ net }) {
      process.on('message', (message, handle) => {
        if (message.take === 'socket') handle.end(`socket in ${typeof process.pid}`);
        if (message.take === 'server') {
          handle.on('connection', (socket) => {
            socket.end('accepted by the worker');
            handle.close();
          });
          process.send('taken');
        }
        if (message.make) {
          const server = net.createServer().listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => {
            process.send({ made: true }, server, () => server.close());
          });
        }
      });
    },
  });
});
