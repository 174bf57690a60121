'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { play } = require('./support/scenario');

/** Each worker responds with its id. */
const answerWithId = ({ cluster, http }) =>
  http.createServer((request, response) => response.end(String(cluster.worker.id))).listen(0, '127.0.0.1');

test('rr: 10,000 requests over 4 workers differ by at most one', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, forkListening, tally }) {
      cluster.schedulingPolicy = 'rr';
      // On a loaded machine, a worker may be stalled for longer than the default limit.
      cluster.setupPrimary({ stallLimitMs: 3_600_000 });
      const { port } = await forkListening(4);
      return tally(port, 10_000, 16);
    },
    worker: answerWithId,
  });
  assert.deepEqual(result, { 1: 2500, 2: 2500, 3: 2500, 4: 2500 });
});

for (const policy of ['cluster.SCHED_RR', "'least-connections'", "'p2c'", "'none'", 'cluster.SCHED_NONE']) {
  test(`schedulingPolicy = ${policy}: every request is answered, by every worker`, async (t) => {
    const { result } = await play(t, {
      primary: new Function(`return async ({ cluster, forkListening, tallyUntil }) => {
        cluster.schedulingPolicy = ${policy};
        const { port } = await forkListening(3);
        return tallyUntil([1, 2, 3], port, 600, 12);
      }`)(),
      worker: answerWithId,
    });
    assert.deepEqual(Object.keys(result), ['1', '2', '3']);
  });
}

test('a program may set NODE_CLUSTER_SCHED_POLICY itself before the first fork', async (t) => {
  const { result } = await play(t, {
    env: { NODE_CLUSTER_SCHED_POLICY: undefined },
    async primary({ forkListening, get }) {
      process.env.NODE_CLUSTER_SCHED_POLICY = 'rr';
      const { port } = await forkListening(2);
      const ids = [];
      while (ids.length < 20) ids.push(await get(port));
      return ids.map((id, at) => at > 0 && id === ids[at - 1]);
    },
    worker: answerWithId,
  });
  assert.deepEqual(result, Array(20).fill(false));
});

test('by default, workers share the listening socket and all of them serve', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, forkListening, tallyUntil }) {
      const { port } = await forkListening(4);
      const answers = await tallyUntil([1, 2, 3, 4], port, 800, 8);
      return { answers, policy: cluster.schedulingPolicy };
    },
    worker: answerWithId,
  });
  assert.deepEqual(Object.keys(result.answers), ['1', '2', '3', '4']);
  assert.equal(result.policy, 2, 'schedulingPolicy does not read as SCHED_RR, as in Node');
});

test('ip-hash: a client stays with its worker even when another worker is replaced', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, forkListening, tally, once }) {
      cluster.schedulingPolicy = 'ip-hash';
      const { port, workers } = await forkListening(4);
      const before = await tally(port, 100, 4);
      const other = workers.find((worker) => before[worker.id] === undefined);
      other.process.kill('SIGKILL');
      await once(other, 'exit');
      await forkListening(1);
      return { before, after: await tally(port, 100, 4) };
    },
    worker: ({ cluster, http }) =>
      http
        .createServer((request, response) => response.end(String(cluster.worker.id)))
        .listen(0, '127.0.0.1'),
  });
  assert.equal(Object.keys(result.before).length, 1);
  assert.deepEqual(result.after, result.before);
});

test('a server can have its own policy', async (t) => {
  const { result } = await play(t, {
    async primary({ forkListening, tally }) {
      const { port } = await forkListening(4);
      return tally(port, 100, 4);
    },
    worker({ cluster, http }) {
      const server = http.createServer((request, response) => response.end(String(cluster.worker.id)));
      server.schedulingPolicy = 'ip-hash';
      server.listen(0, '127.0.0.1');
    },
  });
  assert.equal(Object.keys(result).length, 1);
});

test('servers of one worker can each listen under another policy', async (t) => {
  const { result } = await play(t, {
    env: { NODE_CLUSTER_SCHED_POLICY: 'ip-hash' },
    async primary({ cluster, once, tally, tallyUntil }) {
      cluster.setupPrimary({ stallLimitMs: 3_600_000 });
      const workers = [cluster.fork(), cluster.fork(), cluster.fork()];
      const [ports] = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]));
      const answers = {};
      for (const [policy, port] of Object.entries(ports)) {
        const isSticky = policy === 'ip-hash' || policy === 'undefined';
        answers[policy] = isSticky ? await tally(port, 30, 3) : await tallyUntil([1, 2, 3], port, 30, 3);
      }
      return answers;
    },
    async worker({ cluster, http, once }) {
      const ports = {};
      for (const schedulingPolicy of ['rr', 2, 'none', 1, 'least-connections', 'p2c', 'ip-hash', undefined]) {
        const server = http.createServer((request, response) => response.end(String(cluster.worker.id)));
        await once(server.listen({ port: 0, host: '127.0.0.1', schedulingPolicy }), 'listening');
        ports[`${schedulingPolicy}`] = server.address().port;
      }
      process.send(ports);
    },
  });
  assert.equal(Object.keys(result).length, 8);
  for (const policy of ['rr', '2']) assert.deepEqual(result[policy], { 1: 10, 2: 10, 3: 10 }, policy);
  for (const policy of ['ip-hash', 'undefined']) {
    assert.deepEqual(Object.values(result[policy]), [30], policy);
  }
  for (const policy of ['none', '1', 'least-connections', 'p2c']) {
    assert.deepEqual(Object.keys(result[policy]), ['1', '2', '3'], policy);
  }
});

test('an unknown policy is rejected at the first fork', async (t) => {
  const { result } = await play(t, {
    primary({ cluster }) {
      return ['fastest', 3, null, {}].map((value) => {
        cluster.schedulingPolicy = value;
        try {
          cluster.fork();
        } catch ({ name, code }) {
          return { name, code };
        }
      });
    },
    worker() {},
  });
  const refused = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' };
  assert.deepEqual(result, [refused, refused, refused, refused]);
});

for (const policy of ['rr', 'none']) {
  test(`${policy}: connections avoid a worker whose event loop is blocked`, async (t) => {
    const { result } = await play(t, {
      env: { NODE_CLUSTER_SCHED_POLICY: policy },
      async primary({ forkListening, tally, until, once }) {
        const { workers, port } = await forkListening(3);
        const [blocked] = workers;
        blocked.send('block');
        await once(blocked, 'message');
        await until(() => blocked.load.loopLagMs > 0);
        const answers = await tally(port, 300, 6);
        const isStillBlocked = blocked.load.loopLagMs > 0;
        blocked.process.kill('SIGKILL');
        await once(blocked, 'exit');
        return { answers, isStillBlocked };
      },
      worker({ cluster, http }) {
        http
          .createServer((request, response) => response.end(String(cluster.worker.id)))
          .listen(0, '127.0.0.1');
        process.on('message', () => {
          process.send('blocking', () => {
            for (;;);
          });
        });
      },
    });
    assert.equal(result.isStillBlocked, true);
    assert.equal(result.answers[2] + result.answers[3], 300);
  });
}

test("a stalled worker emits 'stall', then 'recover' when it resumes", async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, forkListening, get, once }) {
      cluster.schedulingPolicy = 'rr';
      cluster.setupPrimary({ stallLimitMs: 20 });
      const { workers, port } = await forkListening(2);
      const seen = [];
      // On a loaded machine, the other one may be stalled as long.
      const isMeant = (worker) => worker === workers[0];
      cluster.on('stall', (worker, info) => isMeant(worker) && seen.push(['stall', info]));
      cluster.on('recover', (worker) => isMeant(worker) && seen.push(['recover']));
      process.kill(workers[0].process.pid, 'SIGSTOP');
      const answers = await Promise.all([get(port), get(port)]);
      const recovered = once(workers[0], 'recover');
      process.kill(workers[0].process.pid, 'SIGCONT');
      await recovered;
      return { answers, seen };
    },
    worker: answerWithId,
  });
  assert.deepEqual(result.answers, ['2', '2']);
  assert.deepEqual(result.seen, [['stall', { moved: 1 }], ['recover']]);
});

test('a connection whose wake-up went to a worker that was just stopped goes to another worker', async (t) => {
  const { result } = await play(t, {
    async primary({ forkListening, get, once }) {
      const { workers, port } = await forkListening(2);
      const answers = [];
      // The first in line gets the wake-up; after this one, it is the other.
      for (const stopped of workers) {
        process.kill(stopped.process.pid, 'SIGSTOP');
        for (let i = 0; i < 4; i++) answers.push((await get(port)) === String(stopped.id));
        process.kill(stopped.process.pid, 'SIGCONT');
        stopped.send('are you back?');
        await once(stopped, 'message');
      }
      return answers;
    },
    worker({ cluster, http }) {
      http
        .createServer((request, response) => response.end(String(cluster.worker.id)))
        .listen(0, '127.0.0.1');
      process.on('message', () => process.send('yes'));
    },
  });
  assert.deepEqual(result, Array(8).fill(false));
});

test('a server that reaches maxConnections accepts no more; the rest wait and are not dropped', async (t) => {
  const { result } = await play(t, {
    async primary({ forkListening, net, once, until }) {
      const { workers, port } = await forkListening(1);
      const [worker] = workers;
      const told = [];
      worker.on('message', (message) => told.push(message));
      process.kill(worker.process.pid, 'SIGSTOP');
      const sockets = Array.from({ length: 9 }, () => net.connect(port, '127.0.0.1'));
      await Promise.all(sockets.map((socket) => once(socket, 'connect')));
      process.kill(worker.process.pid, 'SIGCONT');
      for (let taken = 3; taken <= 9; taken++) {
        await until(() => told.length === taken);
        if (taken < 9) worker.send('close');
      }
      sockets.forEach((socket) => socket.destroy());
      return told;
    },
    worker({ net }) {
      const sockets = [];
      const server = net.createServer((socket) => {
        sockets.push(socket.on('error', () => {}));
        process.send(server._connections);
      });
      server.on('drop', () => process.send('dropped'));
      server.listen(0, '127.0.0.1', () => (server.maxConnections = 3));
      process.on('message', () => sockets.shift().destroy());
    },
  });
  assert.deepEqual(result, [1, 2, 3, 3, 3, 3, 3, 3, 3]);
});

for (const policy of ['rr', 'none']) {
  test(`${policy}: connections are served while the primary's event loop is blocked`, async (t) => {
    const { result } = await play(t, {
      env: { NODE_CLUSTER_SCHED_POLICY: policy },
      async primary({ forkListening, require }) {
        const { port } = await forkListening(2);
        const { Worker } = require('node:worker_threads');
        const done = new Int32Array(new SharedArrayBuffer(4));
        // The client is a thread of the primary, so its JavaScript is not blocked.
        const client = new Worker(
          `const http = require('node:http');
          const { workerData: { port, done } } = require('node:worker_threads');
          let left = 200;
          const next = () => http.get({ port, host: '127.0.0.1', agent: false }, (response) => {
            response.resume().on('end', () => {
              Atomics.add(done, 0, 1);
              if (--left > 0) next();
              else Atomics.notify(done, 0);
            });
          });
          next();`,
          { eval: true, workerData: { port, done } },
        );
        // Blocks until all have been answered.
        while (Atomics.load(done, 0) < 200) Atomics.wait(done, 0, Atomics.load(done, 0), 50);
        await client.terminate();
        return Atomics.load(done, 0);
      },
      worker: answerWithId,
    });
    assert.equal(result, 200);
  });
}

test('maxConnections: a connection refused by one worker is served by another', async (t) => {
  const { result } = await play(t, {
    env: { NODE_CLUSTER_SCHED_POLICY: 'rr' },
    async primary({ cluster, forkListening, net, once }) {
      cluster.setupPrimary({ stallLimitMs: 3_600_000 });
      const { port } = await forkListening(2);
      const ids = [];
      const sockets = [];
      for (let i = 0; i < 4; i++) {
        const socket = net.connect(port, '127.0.0.1');
        const [id] = await once(socket, 'data');
        ids.push(String(id));
        sockets.push(socket);
      }
      const closed = sockets.map((socket) => once(socket.destroy(), 'close'));
      await Promise.all(closed);
      return ids.sort();
    },
    worker({ cluster, net }) {
      const server = net.createServer((socket) => {
        socket.write(String(cluster.worker.id));
        socket.on('error', () => {});
      });
      server.maxConnections = cluster.worker.id === 1 ? 1 : 100;
      server.listen(0, '127.0.0.1');
    },
  });
  assert.deepEqual(result, ['1', '2', '2', '2']);
});

for (const [policy, unclaimed] of Object.entries({ none: 0, rr: 2, 'ip-hash': 2 })) {
  test(`${policy}: worker.load is complete while the event loop is blocked`, async (t) => {
    const { result } = await play(t, {
      env: { NODE_CLUSTER_SCHED_POLICY: policy },
      async primary({ forkListening, net, http, once, until }) {
        const { workers, port } = await forkListening(1);
        const [worker] = workers;
        const fields = Object.keys(worker.load);
        const clients = Array.from({ length: 3 }, () => http.get({ port, host: '127.0.0.1', agent: false }));
        for (const client of clients) client.on('error', () => {});
        await until(() => worker.load.requests === 3);
        worker.send('block');
        await until(() => worker.load.loopLagMs > 20);
        const { cpu } = worker.load;
        for (let i = 0; i < 2; i++) {
          const client = net.connect(port, '127.0.0.1').on('error', () => {});
          await once(client, 'connect');
          clients.push(client);
        }
        await until(() => worker.load.cpu.user > cpu.user && worker.load.loopLagMs > 100);
        if (process.env.NODE_CLUSTER_SCHED_POLICY !== 'none') await until(() => worker.load.unclaimed > 1);
        const { connections, requests, unclaimed } = worker.load;
        worker.process.kill('SIGKILL');
        await once(worker, 'exit');
        for (const client of clients) client.destroy();
        return { fields, connections, requests, unclaimed };
      },
      worker({ http }) {
        http.createServer(() => {}).listen(0, '127.0.0.1');
        process.on('message', () => {
          for (;;);
        });
      },
    });
    const fields = ['connections', 'requests', 'loopLagMs', 'unclaimed', 'rssBytes', 'cpu'];
    assert.deepEqual(result, { fields, connections: 3, requests: 3, unclaimed });
  });
}

test('worker.load reports connections, memory and CPU time, live even while the event loop is blocked', async (t) => {
  const { result } = await play(t, {
    async primary({ forkListening, net, once, until }) {
      const { workers, port } = await forkListening(1);
      const [worker] = workers;
      const sockets = [net.connect(port, '127.0.0.1'), net.connect(port, '127.0.0.1')];
      await Promise.all(sockets.map((socket) => once(socket, 'connect')));
      await until(() => worker.load.connections === 2);
      worker.send('block');
      await until(() => worker.load.loopLagMs > 100);
      const { load } = worker;
      worker.process.kill('SIGKILL');
      await once(worker, 'exit');
      sockets.forEach((socket) => socket.destroy());
      return { load, dead: worker.load };
    },
    worker({ net }) {
      net.createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
      process.on('message', () => {
        for (;;);
      });
    },
  });
  const { load, dead } = result;
  assert.equal(load.connections, 2);
  assert.ok(load.loopLagMs > 100);
  assert.ok(load.rssBytes > 1e6);
  assert.ok(load.cpu.user > 0);
  const nothing = { user: 0, system: 0 };
  assert.deepEqual(dead, {
    connections: 0,
    requests: 0,
    loopLagMs: 0,
    unclaimed: 0,
    rssBytes: 0,
    cpu: nothing,
  });
});
