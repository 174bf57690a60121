'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { play, playBoth } = require('./support/scenario');

test("a worker's lifecycle emits the same events in the same order as in Node", async (t) => {
  const { ours, nodes } = await playBoth(t, {
    async primary({ cluster, get, once }) {
      const seen = [];
      for (const name of ['fork', 'online', 'listening', 'message', 'disconnect', 'exit']) {
        cluster.on(name, (worker, ...rest) => {
          seen.push(['cluster', name, worker.id, worker.state, worker.exitedAfterDisconnect, rest.length]);
        });
      }
      const worker = cluster.fork();
      for (const name of ['online', 'listening', 'message', 'disconnect', 'exit']) {
        worker.on(name, (...rest) => seen.push(['worker', name, rest.length]));
      }
      const [{ port, ...info }] = await once(worker, 'listening');
      const answer = await get(port);
      worker.send('to the worker');
      const [echo] = await once(worker, 'message');
      worker.disconnect();
      await once(worker, 'exit');
      return { seen, info, answer, echo, workers: Object.keys(cluster.workers), isDead: worker.isDead() };
    },
    worker({ cluster, http }) {
      const { isPrimary, isMaster, isWorker } = cluster;
      const body = JSON.stringify({
        isPrimary,
        isMaster,
        isWorker,
        id: cluster.worker.id,
        keys: process.execArgv,
      });
      http.createServer((request, response) => response.end(body)).listen(0, '127.0.0.1');
      process.on('message', (message) => process.send(`got ${message}`));
    },
  });
  assert.deepEqual(ours.result, nodes.result);
  assert.equal(ours.result.echo, 'got to the worker');
});

const LISTEN_ERRORS = {
  'a busy port': (net, busyPort) => net.createServer().listen(busyPort, '127.0.0.1'),
  'an address of another machine': (net) => net.createServer().listen(8080, '192.0.2.1'),
  'a Unix socket in a missing folder': (net) => net.createServer().listen('/nowhere/to/be/found'),
  'an invalid descriptor': (net) => net.createServer().listen({ fd: 4242 }),
};

for (const policy of ['rr', 'none']) {
  for (const [what, listen] of Object.entries(LISTEN_ERRORS)) {
    test(`${policy}: ${what} fails with Node's own error`, async (t) => {
      const { ours, nodes } = await playBoth(t, {
        env: { NODE_CLUSTER_SCHED_POLICY: policy },
        async primary({ cluster, net, once }) {
          const busy = net.createServer().listen(0, '127.0.0.1');
          await once(busy, 'listening');
          const worker = cluster.fork({ BUSY_PORT: busy.address().port });
          const [error] = await once(worker, 'message');
          worker.send('end');
          const exit = await once(worker, 'exit');
          busy.close();
          return { error, exit };
        },
        worker: new Function(`return ({ net, describeError }) => {
          const server = (${listen})(net, Number(process.env.BUSY_PORT));
          server.on('error', (error) => process.send(describeError(error)));
          process.on('message', () => process.exit());
        }`)(),
      });
      assert.deepEqual(ours.result, nodes.result);
      assert.match(ours.result.error.code, /^E[A-Z]+$/);
    });
  }
}

test('after a busy port, the next attempt succeeds', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, net, once, get }) {
      const busy = net.createServer().listen(0, '127.0.0.1');
      await once(busy, 'listening');
      const { port } = busy.address();
      const worker = cluster.fork({ PORT: port });
      const [code] = await once(worker, 'message');
      busy.close();
      await once(busy, 'close');
      worker.send('again');
      await once(worker, 'listening');
      return { code, answer: await get(port) };
    },
    worker({ http }) {
      const server = http.createServer((request, response) => response.end('made it'));
      const listen = () => server.listen(Number(process.env.PORT), '127.0.0.1');
      server.on('error', ({ code }) => process.send(code));
      process.on('message', listen);
      listen();
    },
  });
  assert.deepEqual(result, { code: 'EADDRINUSE', answer: 'made it' });
});

const BAD_STARTS = {
  'a missing exec file': { settings: { exec: '/nowhere/app.js' } },
  'a missing cwd': { settings: { cwd: '/nowhere' } },
  'an exception during start-up': { env: { THROW: '1' } },
  'a listener that is not a function': { env: { LISTENER: '1' } },
};

for (const [what, { settings = {}, env = {} }] of Object.entries(BAD_STARTS)) {
  test(`${what} ends the worker as in Node and leaks nothing`, async (t) => {
    const { ours, nodes } = await playBoth(t, {
      env: { SETTINGS: JSON.stringify(settings), WORKER_ENV: JSON.stringify(env) },
      async primary({ cluster, once, until, descriptors }) {
        cluster.setupPrimary({ ...JSON.parse(process.env.SETTINGS), silent: true });
        const run = async () => {
          const worker = cluster.fork(JSON.parse(process.env.WORKER_ENV));
          const closed = new Promise((resolve) => worker.process.once('close', resolve));
          let stderr = '';
          worker.process.stderr?.on('data', (text) => (stderr += text));
          // A process that could not be started has an error instead of an exit.
          const end = await new Promise((resolve) => {
            worker.on('exit', (...status) => resolve(status));
            worker.on('error', ({ code, syscall }) => resolve({ code, syscall: syscall.split(' ')[0] }));
          });
          if (worker.isConnected()) await once(worker, 'disconnect');
          await closed;
          const [name] = /\w*Error.*/.exec(stderr) ?? [''];
          return { end, name: name.replace(/'[^']*'/, 'X') };
        };
        const first = await run();
        const before = descriptors();
        for (let i = 0; i < 3; i++) await run();
        await until(() => descriptors() <= before);
        return { first, workers: Object.keys(cluster.workers) };
      },
      worker({ http }) {
        if (process.env.THROW) throw new RangeError('at start');
        if (process.env.LISTENER) http.createServer().on('request', 'no function');
      },
    });
    assert.deepEqual(ours.result, nodes.result);
  });
}

test("'disconnect' precedes 'exit' even when two workers die at the same time", async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, forkListening, once, require }) {
      const fs = require('node:fs');
      const { workers } = await forkListening(2);
      const [first, second] = workers;
      // Blocks the loop until the process and all its threads are dead, and it waits to be reaped.
      const die = ({ process: { pid } }) => {
        process.kill(pid, 'SIGKILL');
        const isDead = () =>
          fs.readdirSync(`/proc/${pid}/task`).length === 1 &&
          /\) Z /.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'));
        while (!isDead());
      };
      const seen = [];
      const watch = (name, worker) => {
        worker.on('disconnect', () => seen.push(`${name} disconnect`));
        worker.on('exit', () => seen.push(`${name} exit, ${Object.keys(cluster.workers).length} left`));
      };
      watch('first', first);
      watch('second', second);
      // Both deaths are then detected together, and the end of the second's channel has not been read.
      first.prependListener('disconnect', () => die(second));
      const ends = workers.map((worker) => once(worker, 'exit'));
      die(first);
      await Promise.all(ends);
      return seen;
    },
    worker: ({ http }) => http.createServer((request, response) => response.end()).listen(0, '127.0.0.1'),
  });
  for (const name of ['first', 'second']) {
    assert.ok(
      result.indexOf(`${name} disconnect`) < result.findIndex((each) => each.startsWith(`${name} exit`)),
    );
  }
  assert.ok(result.at(-1).endsWith('0 left'), result.join());
});

for (const policy of ['none', 'rr']) {
  for (const when of ['before', 'after', 'disconnected after']) {
    test(`${policy}: a worker that dies ${when} the reply to its listen() is disconnected, then exits`, async (t) => {
      const { result } = await play(t, {
        env: { NODE_CLUSTER_SCHED_POLICY: policy, WHEN: when },
        async primary({ cluster, once, require }) {
          const fs = require('node:fs');
          const worker = cluster.fork();
          const { process: child } = worker;
          const seen = [];
          for (const name of ['error', 'disconnect', 'exit']) {
            worker.on(name, (first) => seen.push(first?.code ? `${name} ${first.code}` : name));
          }
          const dies = (message) => {
            if (message.act !== 'queryServer') return;
            if (process.env.WHEN.startsWith('disconnected')) worker.disconnect();
            // The end of its channel has not been read when this returns.
            process.kill(child.pid, 'SIGKILL');
            const isDead = () =>
              fs.readdirSync(`/proc/${child.pid}/task`).length === 1 &&
              /\) Z /.test(fs.readFileSync(`/proc/${child.pid}/stat`, 'latin1'));
            while (!isDead());
          };
          if (process.env.WHEN === 'before') child.prependListener('internalMessage', dies);
          else child.on('internalMessage', dies);
          await once(worker, 'exit');
          return seen;
        },
        worker: ({ http }) => void http.createServer().listen(0, '127.0.0.1'),
      });
      assert.deepEqual(result, ['disconnect', 'exit']);
    });
  }
}

test('callbacks of messages behind a handle that a worker never acknowledges get an error when it dies', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, net, once }) {
      const worker = cluster.fork();
      await once(worker, 'online');
      process.kill(worker.process.pid, 'SIGSTOP');
      const server = net.createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      const codes = [];
      const note = (error) => codes.push(error?.code ?? null);
      worker.process._send({ cmd: 'NODE_TEST' }, server, {}, note);
      worker.process._send({ cmd: 'NODE_TEST' }, server, {}, note);
      const ended = [once(worker, 'disconnect'), once(worker, 'exit')];
      worker.process.kill('SIGKILL');
      await Promise.all(ended);
      server.close();
      return codes;
    },
    worker: () => void setInterval(() => {}, 1000),
  });
  assert.deepEqual(result, [null, 'EPIPE']);
});

test('20 rounds of fork and kill leak no descriptors, processes or workers', async (t) => {
  const { result, stderr } = await play(t, {
    async primary({ cluster, forkListening, once, get, until, descriptors }) {
      const round = async (policy) => {
        const { workers, port } = await forkListening(2);
        await Promise.all([get(port), get(port)]);
        const ends = workers.map((worker) => once(worker, 'exit'));
        workers.forEach((worker) => worker.process.kill('SIGKILL'));
        await Promise.all(ends);
        return policy;
      };
      cluster.schedulingPolicy = 'rr';
      await round();
      const before = descriptors();
      for (let i = 0; i < 20; i++) await round();
      await until(() => descriptors() <= before);
      return Object.keys(cluster.workers);
    },
    worker: ({ http }) => http.createServer((request, response) => response.end()).listen(0, '127.0.0.1'),
  });
  assert.equal(stderr, '');
  assert.deepEqual(result, []);
});

test('a Unix socket is served by all workers and removed at shutdown', async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mc-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const { result } = await play(t, {
    env: { SOCKET: path.join(folder, 's') },
    async primary({ cluster, forkListening, tally, require }) {
      const socketPath = process.env.SOCKET;
      cluster.setupPrimary({ stallLimitMs: 3_600_000 });
      await forkListening(3);
      const mode = require('node:fs').statSync(socketPath).mode & 0o777;
      return { answers: await tally({ socketPath }, 30, 3), mode };
    },
    worker: ({ cluster, http }) =>
      http
        .createServer((request, response) => response.end(String(cluster.worker.id)))
        .listen({ path: process.env.SOCKET, readableAll: true, writableAll: true }),
  });
  assert.deepEqual(result.answers, { 1: 10, 2: 10, 3: 10 });
  assert.equal(result.mode & 0o666, 0o666);
  assert.deepEqual(fs.readdirSync(folder), []);
});

test("Node's built-in cluster knows workers forked by manycore, and its own fork() is unchanged", async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, once, require }) {
      const builtin = require('node:cluster');
      const ours = cluster.fork();
      await once(ours, 'online');
      const nodes = builtin.fork();
      await once(nodes, 'online');
      return {
        sameWorkers: builtin.workers === cluster.workers,
        ids: Object.keys(cluster.workers),
        linked: ['load' in ours, 'load' in nodes],
        isEmitter: cluster instanceof require('node:events'),
      };
    },
    worker() {},
  });
  assert.deepEqual(result, { sameWorkers: true, ids: ['1', '2'], linked: [true, false], isEmitter: true });
});

test('a process that Node starts without a program ends as in Node', async (t) => {
  const { ours, nodes } = await playBoth(t, {
    async primary({ cluster, once }) {
      cluster.setupPrimary({ exec: '', args: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      return once(cluster.fork(), 'exit');
    },
    worker() {},
  });
  assert.deepEqual(ours, nodes);
});

test("with manycore/register, require and import of cluster return manycore's", async (t) => {
  const { result } = await play(t, {
    cluster: 'node:cluster',
    nodeArgs: ['--require', path.join(__dirname, '..', 'register.js')],
    async primary({ cluster, forkListening, tally }) {
      const imported = await import('node:cluster');
      const { port, workers } = await forkListening(2);
      return {
        isLinked: 'load' in workers[0],
        isSame: imported.default === cluster && imported.fork === cluster.fork,
        answers: await tally(port, 20, 1),
        execArgv: cluster.settings.execArgv.length,
      };
    },
    worker: ({ cluster, http }) =>
      http.createServer((request, response) => response.end(String(cluster.isWorker))).listen(0, '127.0.0.1'),
  });
  assert.deepEqual(result, { isLinked: true, isSame: true, answers: { true: 20 }, execArgv: 2 });
});
