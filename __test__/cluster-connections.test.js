'use strict';

/* What a server observes of connections that wait for its worker, and take effect in one turn of its event loop. */

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { play, playBoth } = require('./support/scenario');

/** A worker that is stopped while connections arrive, and then tells what it has seen of them. */
const gathering = {
  async primary({ forkListening, net, once }) {
    const { workers, port } = await forkListening(1);
    const [worker] = workers;
    process.kill(worker.process.pid, 'SIGSTOP');
    const sockets = Array.from({ length: 6 }, () => net.connect(port, '127.0.0.1'));
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    process.kill(worker.process.pid, 'SIGCONT');
    const [seen] = await once(worker, 'message');
    sockets.forEach((socket) => socket.destroy());
    return seen;
  },
  worker({ net, require }) {
    const { AsyncLocalStorage } = require('node:async_hooks');
    const storage = new AsyncLocalStorage();
    const seen = [];
    const see = (what) => seen.push(`${what} in ${storage.getStore() ?? 'no'} context`);
    process.on('uncaughtException', ({ message }) => seen.push(message));
    let count = 0;
    const server = net.createServer((socket) => {
      const id = ++count;
      socket.on('error', () => {});
      see(`connection ${id}`);
      storage.enterWith(`the ${id}.`);
      process.nextTick(() => {
        see(`tick ${id}`);
        if (id === 4) throw new Error('thrown by a tick');
      });
      queueMicrotask(() => see(`microtask ${id}`));
      storage.run(`the nested ${id}.`, () =>
        queueMicrotask(() => process.nextTick(see, `nested tick ${id}`)),
      );
      if (id === 6) setImmediate(() => process.send(seen));
      if (id === 2) throw new Error('thrown by a listener');
    });
    server.listen(0, '127.0.0.1');
  },
};

for (const policy of ['default', 'none', 'rr', 'ip-hash']) {
  test(`${policy}: connections that arrive together are as separate as in Node`, async (t) => {
    const env = policy === 'default' ? {} : { NODE_CLUSTER_SCHED_POLICY: policy };
    const { result } = await play(t, { ...gathering, env });
    const nodes = await play(t, { ...gathering, cluster: 'node:cluster' });
    assert.equal(result.length, 26);
    assert.deepEqual(result, nodes.result);
  });
}

for (const policy of ['default', 'rr', 'ip-hash']) {
  test(`${policy}: a full server takes connections again when its maxConnections is raised`, async (t) => {
    const { result } = await play(t, {
      env: policy === 'default' ? {} : { NODE_CLUSTER_SCHED_POLICY: policy },
      async primary({ forkListening, net, once }) {
        const { workers, port } = await forkListening(1);
        const [worker] = workers;
        const sockets = [];
        const connect = async () => {
          const socket = net.connect(port, '127.0.0.1');
          sockets.push(socket);
          return String(await once(socket, 'data'));
        };
        const set = async (limit) => {
          worker.send(limit);
          await once(worker, 'message');
        };
        await set(2);
        const seen = [await connect(), await connect()];
        const waiting = connect();
        await set(3);
        seen.push(await waiting);
        sockets.forEach((socket) => socket.destroy());
        return seen;
      },
      worker({ net }) {
        let count = 0;
        const server = net.createServer((socket) => {
          socket.on('error', () => {});
          socket.write(String(++count));
        });
        process.on('message', (limit) => {
          server.maxConnections = limit;
          process.send('set');
        });
        server.listen(0, '127.0.0.1');
      },
    });
    assert.deepEqual(result, ['1', '2', '3']);
  });
}

test('a full server takes connections again when one is passed to another process', async (t) => {
  const { ours, nodes } = await playBoth(t, {
    async primary({ forkListening, net, once }) {
      const { workers, port } = await forkListening(1);
      const [worker] = workers;
      const seen = [];
      worker.on('message', (message, socket) => socket?.end(message));
      for (let i = 0; i < 3; i++) seen.push(String(await once(net.connect(port, '127.0.0.1'), 'data')));
      return seen;
    },
    worker({ net }) {
      let count = 0;
      const server = net.createServer((socket) => {
        const message = `passed ${++count}`;
        setImmediate(() => process.send(message, socket));
      });
      server.listen(0, '127.0.0.1', () => (server.maxConnections = 1));
    },
  });
  assert.deepEqual(ours.result, nodes.result);
  assert.deepEqual(ours.result, ['passed 1', 'passed 2', 'passed 3']);
});

/* With 0, servers have no limit before Node 21. */
for (const limit of [0, 1]) {
  test(`the shared socket leaves connections to others once maxConnections is set to ${limit}`, async (t) => {
    const { result } = await play(t, {
      env: { LIMIT: String(limit) },
      async primary({ forkListening, net, once }) {
        const { workers, port } = await forkListening(2);
        const sockets = [];
        const connect = async () => {
          const socket = net.connect(port, '127.0.0.1');
          sockets.push(socket);
          const [data] = await Promise.race([once(socket, 'data'), once(socket, 'close')]);
          return Number(data);
        };
        const seen = new Set();
        while (seen.size < 2) seen.add(await connect());
        workers[0].send(Number(process.env.LIMIT));
        const [{ isLimit }] = await once(workers[0], 'message');
        const answers = [];
        for (let i = 0; i < 20; i++) answers.push(await connect());
        sockets.forEach((socket) => socket.destroy());
        return { isLimit, answers };
      },
      worker({ cluster, net }) {
        const server = net.createServer((socket) => {
          socket.on('error', () => {});
          socket.write(String(cluster.worker.id));
        });
        process.on('message', (limit) => {
          server.maxConnections = limit;
          process.send({ isLimit: limit > 0 || Number.parseInt(process.versions.node, 10) >= 21 });
        });
        server.listen(0, '127.0.0.1');
      },
    });
    if (result.isLimit) assert.deepEqual(result.answers, Array(20).fill(2));
    else assert.ok(result.answers.every((id) => id === 1 || id === 2));
  });
}
