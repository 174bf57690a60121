'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { play } = require('./support/scenario');

const answerWithId = ({ cluster, http }) =>
  http.createServer((request, response) => response.end(String(cluster.worker.id))).listen(0, '127.0.0.1');

test('a custom policy selects a worker by address, and may defer the choice', async (t) => {
  const { result: chosen } = await play(t, {
    async primary({ cluster, forkListening, tally }) {
      const seen = [];
      cluster.schedulingPolicy = (connection, workers) => {
        seen.push({ ...connection, remotePort: typeof connection.remotePort });
        if (seen.length <= 10) return workers[2];
        if (seen.length <= 20) return 'nobody';
      };
      cluster.setupPrimary({ stallLimitMs: 3_600_000 });
      const { port } = await forkListening(3);
      const first = await tally(port, 10, 1);
      const rest = await tally(port, 30, 1);
      return { first: Object.values(first), rest: Object.values(rest), seen };
    },
    worker: answerWithId,
  });
  assert.deepEqual(chosen.first, [10]);
  assert.deepEqual(chosen.rest, [10, 10, 10]);
  assert.equal(chosen.seen.length, 40);
  for (const connection of chosen.seen) {
    assert.deepEqual(connection, { remoteAddress: '127.0.0.1', remotePort: 'number', remoteFamily: 'IPv4' });
  }
});

test('a throwing policy raises an uncaught exception, and every connection is still served', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, forkListening, tally }) {
      const uncaught = [];
      process.on('uncaughtException', ({ message }) => uncaught.push(message));
      cluster.schedulingPolicy = () => {
        throw new Error('no idea');
      };
      const { port } = await forkListening(2);
      const answers = await tally(port, 10, 1);
      return { uncaught, served: Object.values(answers).reduce((sum, count) => sum + count) };
    },
    worker: answerWithId,
  });
  assert.deepEqual(result, { uncaught: Array(10).fill('no idea'), served: 10 });
});

test('whatever a custom policy returns other than a serving worker leaves the choice to round-robin', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, forkListening, tally, once, require }) {
      const builtin = require('node:cluster');
      let choose;
      cluster.schedulingPolicy = (connection, workers) => choose(connection, workers);
      cluster.setupPrimary({ stallLimitMs: 3_600_000 });
      const rejected = [];
      process.on('unhandledRejection', ({ message }) => rejected.push(message));
      const { port, workers } = await forkListening(3);
      // None of these two serves the listener.
      const idle = [cluster.fork({ IDLE: '1' }), builtin.fork({ IDLE: '1' })];
      await Promise.all(idle.map((worker) => once(worker, 'online')));
      const choosers = {
        undefined: () => undefined,
        null: () => null,
        id: (connection, [worker]) => worker.id,
        'a copy': (connection, [worker]) => ({ ...worker }),
        'one made by hand': () => new cluster.Worker(workers[0]),
        process: (connection, [worker]) => worker.process,
        'one that does not listen': () => idle[0],
        "one of Node's": () => idle[1],
        'a promise': async (connection, [worker]) => worker,
        'a rejected promise': () => Promise.reject(new Error('later')),
        'none, after emptying the list': (connection, list) => void list.splice(0),
      };
      const outcomes = {};
      for (const [what, chooser] of Object.entries(choosers)) {
        choose = chooser;
        outcomes[what] = Object.values(await tally(port, 9, 1));
      }
      choose = (connection, list) => list.pop();
      outcomes['one taken from the list'] = Object.values(await tally(port, 9, 3));
      workers[2].process.kill('SIGKILL');
      await once(workers[2], 'exit');
      choose = () => workers[2];
      outcomes['a dead one'] = Object.values(await tally(port, 8, 1));
      const seen = [];
      choose = (connection, list) => (seen.push(list.map(({ id }) => id).sort()), list[0]);
      await tally(port, 1, 1);
      return { outcomes, rejected: rejected.length, seen };
    },
    worker({ cluster, http }) {
      if (process.env.IDLE) return;
      http
        .createServer((request, response) => response.end(String(cluster.worker.id)))
        .listen(0, '127.0.0.1');
    },
  });
  const { 'one taken from the list': taken, 'a dead one': dead, ...others } = result.outcomes;
  for (const [what, counts] of Object.entries(others)) assert.deepEqual(counts, [3, 3, 3], what);
  assert.deepEqual(taken, [9]);
  assert.deepEqual(dead, [4, 4]);
  assert.equal(result.rejected, 9);
  assert.deepEqual(result.seen, [[1, 2]]);
});

test('a custom policy delays no connection while the primary is blocked', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, forkListening, require }) {
      cluster.schedulingPolicy = (connection, workers) => workers[0];
      cluster.setupPrimary({ stallLimitMs: 10 });
      const { port } = await forkListening(2);
      const { Worker } = require('node:worker_threads');
      const done = new Int32Array(new SharedArrayBuffer(4));
      const client = new Worker(
        `const http = require('node:http');
        const { workerData: { port, done } } = require('node:worker_threads');
        http.get({ port, host: '127.0.0.1', agent: false }, (response) => {
          response.resume().on('end', () => {
            Atomics.store(done, 0, 1);
            Atomics.notify(done, 0);
          });
        });`,
        { eval: true, workerData: { port, done } },
      );
      const outcome = Atomics.wait(done, 0, 0, 60_000);
      await client.terminate();
      return outcome;
    },
    worker: answerWithId,
  });
  assert.notEqual(result, 'timed-out');
});

test('ip-hash uses the address from a PROXY header when configured, and leaves the header readable', async (t) => {
  const { result } = await play(t, {
    async primary({ forkListening, net, once }) {
      const { port } = await forkListening(4);
      const ask = async (n) => {
        const socket = net.connect(port, '127.0.0.1');
        socket.write(`PROXY TCP4 192.0.2.${n} 192.0.2.250 1000 80\r\n`);
        const [answer] = await once(socket, 'data');
        socket.destroy();
        return JSON.parse(answer);
      };
      const rounds = [];
      for (let round = 0; round < 2; round++) {
        const answers = [];
        for (let n = 1; n <= 40; n++) answers.push(await ask(n));
        rounds.push(answers);
      }
      return rounds;
    },
    worker({ cluster, net }) {
      const server = net.createServer((socket) => {
        socket.on('error', () => {});
        socket.once('data', (data) => {
          socket.write(JSON.stringify({ id: cluster.worker.id, header: String(data).trim() }));
        });
      });
      server.listen({ port: 0, host: '127.0.0.1', schedulingPolicy: 'ip-hash', proxyProtocol: true });
    },
  });
  const [first, second] = result;
  assert.deepEqual(first, second);
  assert.ok(new Set(first.map(({ id }) => id)).size > 1, 'clients were not spread over workers');
  first.forEach(({ header }, index) => {
    assert.equal(header, `PROXY TCP4 192.0.2.${index + 1} 192.0.2.250 1000 80`);
  });
});

test('worker.load counts in-flight HTTP requests, including aborted ones', async (t) => {
  const { result } = await play(t, {
    async primary({ forkListening, http, once, until, require }) {
      const assert = require('node:assert');
      const { workers, port } = await forkListening(1);
      const [worker] = workers;
      // Requests are counted from the first read on.
      assert.equal(worker.load.requests, 0);
      const requests = Array.from({ length: 3 }, () => http.get({ port, host: '127.0.0.1', agent: false }));
      requests.forEach((request) => request.on('error', () => {}));
      await until(() => worker.load.requests === 3);
      requests[0].destroy();
      await until(() => worker.load.requests === 2);
      worker.send('answer');
      await Promise.all(requests.slice(1).map((request) => once(request, 'response')));
      await until(() => worker.load.requests === 0 && worker.load.connections === 0);
      return 'all answered';
    },
    worker({ http }) {
      const waiting = [];
      http.createServer((request, response) => waiting.push(response)).listen(0, '127.0.0.1');
      process.on('message', () => waiting.forEach((response) => response.end()));
    },
  });
  assert.equal(result, 'all answered');
});

test('an unknown policy of a listener is rejected where it is set', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, once }) {
      const worker = cluster.fork();
      const [codes] = await once(worker, 'message');
      return codes;
    },
    worker({ net }) {
      const codes = ['fastest', () => {}, 7].map((schedulingPolicy) => {
        try {
          net.createServer().listen({ port: 0, schedulingPolicy });
        } catch ({ code }) {
          return code;
        }
      });
      process.send(codes);
    },
  });
  assert.deepEqual(result, Array(3).fill('ERR_INVALID_ARG_VALUE'));
});

for (const when of ['at first', 'later']) {
  test(`invalid settings are rejected where they are set, ${when}`, async (t) => {
    const { result } = await play(t, {
      env: { LATER: when === 'later' ? '1' : '' },
      async primary({ cluster, once }) {
        if (process.env.LATER) cluster.setupPrimary();
        const attempts = [
          { stallLimitMs: '50' },
          { stallLimitMs: 0 },
          { stallLimitMs: NaN },
          { proxyProtocol: 'yes' },
        ].map((settings) => {
          try {
            cluster.setupPrimary(settings);
          } catch ({ code }) {
            return code;
          }
        });
        const [ofWorker] = await once(cluster.fork(), 'message');
        return [...attempts, ofWorker];
      },
      worker({ net }) {
        try {
          net.createServer().listen({ port: 0, proxyProtocol: 1 });
        } catch ({ code }) {
          process.send(code);
        }
      },
    });
    assert.deepEqual(result, [
      'ERR_INVALID_ARG_TYPE',
      'ERR_OUT_OF_RANGE',
      'ERR_OUT_OF_RANGE',
      'ERR_INVALID_ARG_TYPE',
      'ERR_INVALID_ARG_TYPE',
    ]);
  });
}
