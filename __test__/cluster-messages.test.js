'use strict';

/* Messages between a primary and its workers use shared memory, and everything users observe is as in Node. */

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { play, playBoth } = require('./support/scenario');

const FORMATS = ['json', 'advanced'];

for (const serialization of FORMATS) {
  test(`${serialization}: values arrive as in Node, in both directions`, async (t) => {
    const { ours, nodes } = await playBoth(t, {
      env: { SERIALIZATION: serialization },
      async primary({ cluster, once, require }) {
        cluster.setupPrimary({ serialization: process.env.SERIALIZATION });
        const { inspect } = require('node:util');
        const { createHash } = require('node:crypto');
        const worker = cluster.fork();
        await once(worker, 'message');
        class Point {
          x = 1;
          get y() {
            return 2;
          }
        }
        const cycle = { name: 'cycle' };
        cycle.self = cycle;
        const values = [
          ...['', 'text', 'é字\ud800', 0, -0, 1.5, NaN, true, null, [], {}, new Array(3), { a: undefined }],
          ...[new Date(5), new Date(NaN), /x/g, new Map([[1, { a: 2 }]]), new Set([1]), Buffer.from('bytes')],
          ...[new Uint16Array([1, 2]), new ArrayBuffer(3), new Point(), new RangeError('m'), Object('boxed')],
          ...[Object.create(null, { a: { value: 1, enumerable: true } }), new URL('http://host/path'), cycle],
          ...[{ toJSON: (key) => `key is '${key}'` }, 10n, { f() {} }, Symbol('s'), () => 1, undefined],
          ...[
            JSON.parse('{"__proto__": 1}'),
            'x'.repeat(100_000),
            new Array(5000).fill('字'),
            [new Blob([])],
          ],
        ];
        let deep = {};
        for (let i = 0; i < 700; i++) deep = { deep };
        const seen = [];
        for (const value of [...values, deep]) {
          try {
            worker.send(value);
          } catch (error) {
            seen.push(`${error.name}: ${error.code} ${error.message}`);
            continue;
          }
          const [answer] = await once(worker, 'message');
          const text = inspect(answer, { depth: 8 }).replace(/\n +at .*/g, '');
          seen.push([text.slice(0, 200), createHash('sha256').update(text).digest('hex')]);
        }
        return seen;
      },
      worker({ require }) {
        const { inspect } = require('node:util');
        process.on('message', (value) => process.send([value, inspect(value).replace(/\n +at .*/g, '')]));
        process.send('ready');
      },
    });
    assert.deepEqual(ours.result, nodes.result);
    assert.equal(ours.result.length, 38);
  });

  test(`${serialization}: values, handles and large messages arrive in send order`, async (t) => {
    const { result } = await play(t, {
      env: { SERIALIZATION: serialization },
      async primary({ cluster, net, once, require }) {
        cluster.setupPrimary({ serialization: process.env.SERIALIZATION });
        const dgram = require('node:dgram');
        const worker = cluster.fork();
        await once(worker, 'message');
        const server = net.createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
        await once(server, 'listening');
        const clients = [];
        const socket = async () => {
          const client = net.connect(server.address().port, '127.0.0.1');
          clients.push(client.on('error', () => {}));
          return (await once(server, 'connection'))[0];
        };
        const udp = dgram.createSocket('udp4').bind(0, '127.0.0.1');
        await once(udp, 'listening');
        const expected = [];
        const post = (value, handle, ...rest) => {
          expected.push([value.n, handle?.constructor.name]);
          worker.send(value, handle, ...rest);
        };
        for (let n = 0; n < 400; n += 8) {
          const [one, two] = [await socket(), await socket()];
          post({ n }, undefined);
          post({ n: n + 1 }, one);
          post({ n: n + 2, text: 'x'.repeat(n % 80 === 0 ? 6_000_000 : 10) }, undefined);
          post({ n: n + 3 }, two, { keepOpen: n % 16 === 0 });
          post({ n: n + 4 }, server);
          post({ n: n + 5, deep: { deeper: new Map() } }, undefined);
          post({ n: n + 6 }, udp);
          post({ n: n + 7 }, undefined);
        }
        worker.send({ n: 'end' });
        const [seen] = await once(worker, 'message');
        clients.forEach((client) => client.destroy());
        server.close();
        udp.close();
        return { expected: JSON.parse(JSON.stringify(expected)), seen };
      },
      worker() {
        const seen = [];
        process.on('message', ({ n }, handle) => {
          if (n === 'end') return process.send(JSON.parse(JSON.stringify(seen)));
          seen.push([n, handle?.constructor.name]);
          if (handle?.destroy) handle.destroy();
          else handle?.close();
        });
        process.send('ready');
      },
    });
    assert.equal(result.seen.length, 400);
    assert.deepEqual(result.seen, result.expected);
  });
}

test('a sent socket works in the receiver and is gone from the sender', async (t) => {
  const { ours, nodes } = await playBoth(t, {
    async primary({ cluster, net, once }) {
      const worker = cluster.fork();
      await once(worker, 'message');
      const server = net.createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const client = net.connect(server.address().port, '127.0.0.1').setEncoding('utf8');
      const [socket] = await once(server, 'connection');
      const sent = await new Promise((resolve) => {
        worker.send({ a: 'socket' }, socket, (error) => resolve(error));
      });
      const [text] = await once(client, 'data');
      await once(client, 'close');
      // Sent again, it is a message without a handle.
      worker.send({ a: 'socket' }, socket);
      const [again] = await once(worker, 'message');
      server.close();
      return { sent, text, again, handle: socket._handle };
    },
    worker() {
      process.on('message', (message, socket) => {
        if (socket) socket.end(`hello from ${message.a}`);
        else process.send('no handle');
      });
      process.send('ready');
    },
  });
  assert.deepEqual(ours.result, nodes.result);
  assert.equal(ours.result.text, 'hello from socket');
});

test('an unsendable message throws or passes its error to the callback, as in Node', async (t) => {
  const { ours, nodes } = await playBoth(t, {
    async primary({ cluster, once, net }) {
      const worker = cluster.fork();
      await once(worker, 'message');
      const describe = (call) => {
        try {
          return call();
        } catch ({ name, code, message }) {
          return { name, code, message };
        }
      };
      const thrown = [
        describe(() => worker.send()),
        describe(() => worker.send(undefined)),
        describe(() => worker.send(() => 1)),
        describe(() => worker.send(10n)),
        describe(() => worker.send('s', {})),
        describe(() => worker.send('s', undefined, 'no options')),
        describe(() => worker.send({ value: 10n }, new net.Socket())),
        describe(() =>
          worker.send({
            get a() {
              throw new Error('getter');
            },
          }),
        ),
      ];
      worker.send('still there');
      const [answer] = await once(worker, 'message');
      worker.process.disconnect();
      const late = await new Promise((resolve) => worker.send('late', resolve));
      worker.send('later');
      const [error] = await once(worker, 'error');
      const result = [late, error].map(({ name, code, message }) => ({ name, code, message }));
      await once(worker, 'exit');
      return { thrown, answer, result, isConnected: worker.isConnected() };
    },
    worker() {
      process.on('message', (message) => process.send(message));
      process.send('ready');
    },
  });
  assert.deepEqual(ours.result, nodes.result);
  assert.equal(ours.result.result[0].code, 'ERR_IPC_CHANNEL_CLOSED');
});

test('a getter of a message runs once and may itself send', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, once }) {
      const worker = cluster.fork();
      await once(worker, 'message');
      let runs = 0;
      const seen = [];
      worker.on('message', (message) => seen.push(message));
      worker.send({
        first: { shape: 1 },
        get got() {
          runs++;
          worker.send({ first: { shape: 2 }, inner: true });
          return 'x'.repeat(10);
        },
        get cmd() {
          runs++;
          return 'NODE_NOT_REALLY';
        },
      });
      worker.send({ first: { shape: 3 } });
      while (seen.length < 2) await once(worker, 'message');
      return { runs, seen };
    },
    worker() {
      process.on('message', (message) => process.send(message));
      process.send('ready');
    },
  });
  assert.equal(result.runs, 2);
  // The outer one turned out to be an internal message, which is not delivered to users.
  assert.deepEqual(result.seen, [{ first: { shape: 2 }, inner: true }, { first: { shape: 3 } }]);
});

test('microtasks and ticks queued by a message run before the next message', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, once }) {
      const worker = cluster.fork();
      await once(worker, 'message');
      for (let i = 0; i < 3; i++) worker.send(i);
      const [order] = await once(worker, 'message');
      return order;
    },
    worker() {
      const order = [];
      process.on('message', (message) => {
        order.push(`message ${message}`);
        process.nextTick(() => order.push(`tick ${message}`));
        Promise.resolve().then(() => order.push(`microtask ${message}`));
        if (message === 2) setImmediate(() => process.send(order));
      });
      process.send('ready');
    },
  });
  assert.deepEqual(
    result,
    [0, 1, 2].flatMap((i) => [`message ${i}`, `tick ${i}`, `microtask ${i}`]),
  );
});

test('a throwing listener does not lose the next message', async (t) => {
  const { ours, nodes } = await playBoth(t, {
    async primary({ cluster, once }) {
      const worker = cluster.fork();
      await once(worker, 'message');
      for (let i = 0; i < 5; i++) worker.send(i);
      return (await once(worker, 'message'))[0];
    },
    worker() {
      const seen = [];
      process.on('uncaughtException', (error) => seen.push(error.message));
      process.on('message', (message) => {
        if (message === 4) return setImmediate(() => process.send(seen));
        if (message % 2 === 0) throw new Error(`thrown for ${message}`);
        seen.push(message);
      });
      process.send('ready');
    },
  });
  assert.deepEqual(ours.result, nodes.result);
  assert.deepEqual(ours.result, ['thrown for 0', 1, 'thrown for 2', 3]);
});

test('cluster events keep their position among messages', async (t) => {
  const { ours, nodes } = await playBoth(t, {
    async primary({ cluster, once }) {
      const seen = [];
      const worker = cluster.fork();
      for (const name of ['online', 'listening', 'message', 'disconnect']) {
        worker.on(name, (first) => seen.push([name, name === 'message' ? first.length : undefined]));
      }
      await once(worker, 'exit');
      return seen.filter(([name]) => name !== 'exit');
    },
    worker({ net, cluster }) {
      process.send('before listening');
      const server = net.createServer().listen(0, '127.0.0.1', () => {
        process.send('in its callback');
        setImmediate(() => {
          process.send('listening');
          server.close(() => {
            process.send('x'.repeat(10_000_000));
            process.send('last');
            cluster.worker.disconnect();
          });
        });
      });
    },
  });
  assert.deepEqual(ours.result, nodes.result);
  assert.deepEqual(
    ours.result.map(([name]) => name),
    ['online', 'message', 'message', 'listening', 'message', 'message', 'message', 'disconnect'],
  );
});

test('disconnect() delivers everything sent before it, regardless of volume', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, once }) {
      const worker = cluster.fork();
      await once(worker, 'message');
      let sent = 0;
      const outcomes = [];
      for (let i = 0; i < 30; i++) {
        worker.send({ i, text: 'y'.repeat(1_000_000) }, (error) => outcomes.push(error));
        sent++;
      }
      worker.process.disconnect();
      const wasConnected = worker.isConnected();
      const [code] = await once(worker, 'exit');
      return { sent, wasConnected, code, outcomes };
    },
    worker() {
      let count = 0;
      let inOrder = 0;
      process.on('message', ({ i, text }) => {
        if (i === count && text.length === 1_000_000) inOrder++;
        count++;
      });
      process.prependListener('disconnect', () => process.exit(inOrder));
      process.send('ready');
    },
  });
  assert.deepEqual(result, { sent: 30, wasConnected: false, code: 30, outcomes: new Array(30).fill(null) });
});

test('under a flood, send() signals backpressure, callbacks run in order and nothing is lost', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, once }) {
      const worker = cluster.fork();
      await once(worker, 'message');
      const answers = { true: 0, false: 0 };
      worker.process.kill('SIGSTOP');
      let called = 0;
      let inOrder = true;
      for (let i = 0; i < 20_000; i++) {
        const answer = worker.send({ i, text: 'z'.repeat(i % 1000) }, (error) => {
          inOrder &&= error === null && called === i;
          called++;
        });
        answers[answer]++;
      }
      const isLater = called === 0;
      worker.process.kill('SIGCONT');
      worker.send('end');
      const [received] = await once(worker, 'message');
      while (called < 20_000) await new Promise(setImmediate);
      return { answers, isLater, inOrder, received };
    },
    worker() {
      let next = 0;
      let inOrder = true;
      process.on('message', (message) => {
        if (message === 'end') return process.send({ next, inOrder });
        inOrder &&= message.i === next && message.text.length === next % 1000;
        next++;
      });
      process.send('ready');
    },
  });
  const { answers, ...rest } = result;
  assert.ok(answers.true > 0 && answers.false > 0, JSON.stringify(answers));
  assert.deepEqual(rest, { isLater: true, inOrder: true, received: { next: 20_000, inOrder: true } });
});

test('a worker is kept alive by the same handles and listeners as in Node', async (t) => {
  const { ours, nodes } = await playBoth(t, {
    async primary({ cluster, once }) {
      const how = async (kind, act) => {
        const worker = cluster.fork({ KIND: kind });
        await once(worker, 'message');
        await act?.(worker);
        const [code] = await once(worker, 'exit');
        return code;
      };
      return {
        unref: await how('unref'),
        told: await how('listener', (worker) => worker.send('go')),
        once: await how('once', (worker) => worker.send('go')),
        pending: await how('pending'),
      };
    },
    worker({ cluster }) {
      const { KIND } = process.env;
      process.on('exit', () => (process.exitCode = KIND.length));
      // Node's cluster has its own listener, which keeps the channel referenced.
      process.removeAllListeners('message');
      cluster.worker.removeAllListeners('message');
      process.removeAllListeners('disconnect');
      if (KIND === 'unref') {
        process.on('message', () => {});
        process.channel.unref();
      } else if (KIND === 'listener') {
        process.on('message', () => process.disconnect());
      } else if (KIND === 'once') {
        process.once('message', () => {});
      }
      process.send(KIND === 'pending' ? 'x'.repeat(20_000_000) : 'ready');
    },
  });
  assert.deepEqual(ours.result, nodes.result);
  assert.deepEqual(ours.result, { unref: 5, told: 8, once: 4, pending: 7 });
});

for (const [what, options] of Object.entries({
  'without the addon': { env: { NODE_OPTIONS: '--no-addons' } },
  'without the preload': { lose: '1' },
})) {
  test(`a worker ${what} uses Node's channel`, async (t) => {
    const { result } = await play(t, {
      env: { WORKER_ENV: JSON.stringify(options.env ?? {}), LOSE: options.lose ?? '' },
      async primary({ cluster, once, net, require }) {
        if (process.env.LOSE) {
          // Another module starts the process, with its own options.
          const childProcess = require('node:child_process');
          const { fork } = childProcess;
          childProcess.fork = (file, args, options) => fork(file, args, { ...options, execArgv: [] });
        }
        const worker = cluster.fork(JSON.parse(process.env.WORKER_ENV));
        worker.send('early');
        const [first] = await once(worker, 'message');
        for (let i = 0; i < 100; i++) worker.send({ i });
        const server = net.createServer().listen(0);
        worker.send('server', server);
        worker.send('end');
        const [seen] = await once(worker, 'message');
        server.close();
        return { first, count: seen.length, last: seen.at(-1) };
      },
      worker() {
        const seen = [];
        process.on('message', (message, handle) => {
          seen.push([message, handle?.constructor.name]);
          handle?.close();
          if (message === 'end') process.send(seen);
        });
        process.send('up');
      },
    });
    assert.equal(result.first, 'up');
    assert.equal(result.count, 103);
  });
}

test('messages sent before the worker has started arrive first', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, once }) {
      const worker = cluster.fork();
      const results = Array.from({ length: 50 }, (_, i) => worker.send(i));
      await once(worker, 'online');
      for (let i = 50; i < 100; i++) worker.send(i);
      const [seen] = await once(worker, 'message');
      return { seen, results };
    },
    worker() {
      const seen = [];
      process.on('message', (message) => {
        if (seen.push(message) === 100) process.send(seen);
      });
    },
  });
  assert.deepEqual(
    result.seen,
    Array.from({ length: 100 }, (_, i) => i),
  );
  assert.ok(result.results.every(Boolean));
});

test('an async context entered by a listener does not leak into later messages', async (t) => {
  const { ours, nodes } = await playBoth(t, {
    async primary({ cluster, once }) {
      const worker = cluster.fork();
      await once(worker, 'message');
      const seen = [];
      for (let i = 0; i < 3; i++) {
        worker.send(i);
        seen.push((await once(worker, 'message'))[0]);
      }
      return seen;
    },
    worker({ require }) {
      const { AsyncLocalStorage } = require('node:async_hooks');
      const storage = new AsyncLocalStorage();
      process.on('message', (message) => {
        process.send([message, storage.getStore()]);
        storage.enterWith(message);
      });
      process.send('ready');
    },
  });
  assert.deepEqual(ours.result, nodes.result);
  assert.deepEqual(
    ours.result.map(([message, entered]) => [message, entered ?? 'none']),
    [0, 1, 2].map((message) => [message, 'none']),
  );
});
