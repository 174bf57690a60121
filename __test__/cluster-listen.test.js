'use strict';

/*
 * Ways to listen in a worker, run on ours and on Node's own cluster, under round-robin and with a shared socket:
 * addresses, errors and events are the same.
 */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { describe, test } = require('node:test');
const { play, playBoth } = require('./support/scenario');

const [major] = process.versions.node.split('.').map(Number);

const hasIpv6 = Object.values(os.networkInterfaces()).some((each) =>
  each.some(({ family }) => family === 'IPv6'),
);

/** @param {import('node:test').TestContext} t */
function temporaryFolder(t) {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'mc-')));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  return folder;
}

/**
 * Two workers listen in each of these ways, one after the other, and get HTTP requests.
 * @param {import('node:test').TestContext} t
 * @param {string} policy
 * @param {Record<string, { listen: string, hosts?: string[] }>} ways `listen`: arguments as source code; `hosts`:
 * addresses to connect to
 * @returns {Promise<Record<string, { isShared: boolean, reached: string[] }>>}
 */
async function listenInWays(t, policy, ways) {
  const { ours, nodes } = await playBoth(t, {
    env: { NODE_CLUSTER_SCHED_POLICY: policy, WAYS: JSON.stringify(ways) },
    async primary({ cluster, once, get }) {
      const workers = [cluster.fork(), cluster.fork()];
      const ask = async (worker, question) => {
        worker.send(question);
        return (await once(worker, 'message'))[0];
      };
      const results = {};
      for (const [what, { listen, hosts = ['127.0.0.1'] }] of Object.entries(JSON.parse(process.env.WAYS))) {
        const infos = [];
        const note = (worker, info) => infos.push(info);
        cluster.on('listening', note);
        const opened = [];
        for (const worker of workers) opened.push(await ask(worker, { listen }));
        cluster.off('listening', note);
        const port = opened[0].address.port;
        const reached = [];
        for (const host of hosts) {
          const isPath = host.startsWith('/') || host.startsWith('@');
          const options = isPath ? { socketPath: host.replace('@', '\0') } : { port, host };
          reached.push(await get(options).catch(({ code }) => code));
        }
        const isShared = JSON.stringify(opened[0]) === JSON.stringify(opened[1]);
        const plain = (value) => JSON.parse(JSON.stringify(value).replaceAll(String(port), '"PORT"'));
        const closed = [await ask(workers[0], {}), await ask(workers[1], {})];
        results[what] = {
          infos: plain(isShared ? infos : infos.length),
          opened: plain(opened[0]),
          isShared,
          reached,
          closed,
        };
      }
      return results;
    },
    worker({ http }) {
      let server;
      process.on('message', ({ listen }) => {
        if (listen === undefined) {
          server.close((error) => process.send({ error: error?.code, address: server.address() }));
          return;
        }
        server = http.createServer((request, response) => response.end('hello'));
        server.listen(...new Function(`return [${listen}]`)());
        // After the message that causes the event in the primary.
        server.on('listening', () => {
          setImmediate(() => process.send({ address: server.address(), is: server.listening }));
        });
      });
    },
  });
  for (const [what, result] of Object.entries(nodes.result)) {
    assert.deepEqual(ours.result[what], result, what);
  }
  assert.equal(ours.stderr, nodes.stderr);
  return ours.result;
}

/** Each creates a server that fails to listen. */
const FAILURES = {
  'a second listen() while listening': (net) => {
    const server = net.createServer();
    server.listen(0, () => {
      try {
        server.listen(0);
      } catch (error) {
        server.emit('error', error);
      }
    });
    return server;
  },
  'a port out of range': (net) => net.createServer().listen(70_000),
  'empty options': (net) => net.createServer().listen({}),
  'the path of a folder': (net) => net.createServer().listen('/tmp'),
  'a descriptor that is not a socket': (net) => net.createServer().listen({ fd: 0 }),
  'an address of another machine': (net) => net.createServer().listen({ port: 8080, host: '192.0.2.1' }),
  'a port bound exclusively by another server of the worker': (net) => {
    const second = net.createServer();
    const first = net.createServer().listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => {
      first.unref();
      second.listen({ port: first.address().port, host: '127.0.0.1', exclusive: true });
    });
    return second;
  },
  'an invalid handle': (net) => net.createServer().listen({ handle: {} }),
};

for (const policy of ['rr', 'none']) {
  describe(`policy ${policy}`, () => {
    test("server.address(), the 'listening' event and reachability agree for every kind of address", async (t) => {
      const folder = temporaryFolder(t);
      const [one, two] = [path.join(folder, 'one'), path.join(folder, 'two')];
      const result = await listenInWays(t, policy, {
        'a port and a host': { listen: "{ port: 0, host: '127.0.0.1' }" },
        'a name': { listen: "{ port: 0, host: 'localhost' }", hosts: ['localhost'] },
        'no host': { listen: '{ port: 0 }', hosts: ['127.0.0.1', ...(hasIpv6 ? ['::1'] : [])] },
        nothing: { listen: '' },
        'a port as text, a backlog': { listen: "'0', '127.0.0.1', 3" },
        '0.0.0.0': { listen: "{ port: 0, host: '0.0.0.0' }" },
        ...(hasIpv6 && {
          'IPv6 only': { listen: "{ port: 0, host: '::', ipv6Only: true }", hosts: ['::1', '127.0.0.1'] },
          'IPv6 and IPv4': { listen: "{ port: 0, host: '::' }", hosts: ['::1', '127.0.0.1'] },
          'the IPv6 loopback': { listen: "{ port: 0, host: '::1' }", hosts: ['::1', '127.0.0.1'] },
        }),
        exclusive: { listen: "{ port: 0, host: '127.0.0.1', exclusive: true }" },
        'a path': { listen: `'${one}'`, hosts: [one] },
        'a path in options': { listen: `{ path: '${two}', writableAll: true, backlog: 7 }`, hosts: [two] },
        'an abstract name': { listen: `{ path: '\\0${two}' }`, hosts: [`@${two}`] },
      });
      for (const [what, { isShared, reached }] of Object.entries(result)) {
        assert.equal(reached[0], 'hello', what);
        assert.equal(isShared, what !== 'exclusive', what);
      }
    });

    if (major >= 24) {
      test('reusePort: workers listen on one port independently', async (t) => {
        const { ours, nodes } = await playBoth(t, {
          env: { NODE_CLUSTER_SCHED_POLICY: policy },
          async primary({ cluster, once, tally, freePort }) {
            const port = await freePort();
            const workers = [cluster.fork({ PORT: port }), cluster.fork({ PORT: port })];
            const infos = await Promise.all(
              workers.map(async (worker) => (await once(worker, 'message'))[0]),
            );
            const answers = await tally(port, 64, 8);
            return { same: infos.every((info) => info.port === port), answers: Object.keys(answers) };
          },
          worker({ cluster, http }) {
            const server = http.createServer((request, response) => response.end(String(cluster.worker.id)));
            const options = { port: Number(process.env.PORT), host: '127.0.0.1', reusePort: true };
            server.listen(options, () => process.send(server.address()));
            // Not closed by cluster.
            server.unref();
          },
        });
        assert.deepEqual(ours.result, nodes.result);
        assert.deepEqual(ours.result, { same: true, answers: ['1', '2'] });
      });
    }

    test('port 0: each server of a worker gets its own port, shared by all workers', async (t) => {
      const { ours, nodes } = await playBoth(t, {
        env: { NODE_CLUSTER_SCHED_POLICY: policy },
        async primary({ cluster, once, get }) {
          const workers = [cluster.fork(), cluster.fork()];
          const messages = await Promise.all(
            workers.map(async (worker) => (await once(worker, 'message'))[0]),
          );
          const [a, b] = messages;
          const answers = [];
          for (const port of a.ports) answers.push(await get(port));
          // The second one closes and listens again, which is a new listen with another port.
          const again = await Promise.all(
            workers.map(async (worker) => {
              worker.send('again');
              return (await once(worker, 'message'))[0].port;
            }),
          );
          answers.push(await get(again[0]), await get(again[1]));
          return { shared: String(a.ports) === String(b.ports), distinct: new Set(a.ports).size, answers };
        },
        worker({ http, once }) {
          const make = (n) => http.createServer((request, response) => response.end(`server ${n}`));
          const servers = [make(0), make(1), make(2)];
          (async () => {
            for (const server of servers) await once(server.listen(0, '127.0.0.1'), 'listening');
            process.send({ ports: servers.map((server) => server.address().port) });
          })();
          process.on('message', async () => {
            servers[1].close();
            await once(servers[1], 'close');
            servers[1].listen(0, '127.0.0.1');
            await once(servers[1], 'listening');
            process.send({ port: servers[1].address().port });
          });
        },
      });
      assert.deepEqual(ours.result, nodes.result);
      const answers = ['server 0', 'server 1', 'server 2', 'server 1', 'server 1'];
      assert.deepEqual(ours.result, { shared: true, distinct: 3, answers });
    });

    test('a server can be closed and reopened on the same port many times', async (t) => {
      const { ours, nodes } = await playBoth(t, {
        env: { NODE_CLUSTER_SCHED_POLICY: policy },
        async primary({ cluster, once, get, freePort, until, descriptors }) {
          const port = await freePort();
          const worker = cluster.fork({ PORT: port });
          await once(worker, 'message');
          const answers = [];
          const fds = [];
          for (let round = 0; round < 6; round++) {
            worker.send('open');
            await once(worker, 'message');
            answers.push(await get(port));
            worker.send('close');
            await once(worker, 'message');
            answers.push(await get(port).catch(({ code }) => code));
            fds.push(descriptors());
          }
          await until(() => descriptors() <= fds[0]);
          return answers;
        },
        worker({ http, once }) {
          const server = http.createServer((request, response) => response.end('open'));
          process.on('message', async (what) => {
            if (what === 'open') {
              await once(server.listen(Number(process.env.PORT), '127.0.0.1'), 'listening');
            } else await once(server.close(), 'close');
            process.send('done');
          });
          process.send('ready');
        },
      });
      assert.deepEqual(ours.result, nodes.result);
      const rounds = Array.from({ length: 6 }, () => ['open', 'ECONNREFUSED']).flat();
      assert.deepEqual(ours.result, rounds);
    });

    test('a server can listen on a descriptor of the primary: { fd }', async (t) => {
      const { ours, nodes } = await playBoth(t, {
        env: { NODE_CLUSTER_SCHED_POLICY: policy },
        async primary({ cluster, net, once, get }) {
          // A bound socket without an event loop.
          const holder = net._createServerHandle('127.0.0.1', 0, 4);
          const name = {};
          holder.getsockname(name);
          const { port } = name;
          const worker = cluster.fork({ FD: holder.fd });
          const both = [once(worker, 'listening'), once(worker, 'message')];
          const [[info], [address]] = await Promise.all(both);
          const answer = await get(port);
          return {
            answer,
            info: { ...info, port: info.port === port, fd: typeof info.fd },
            address: address && { ...address, port: address.port === port },
          };
        },
        worker({ http }) {
          const server = http.createServer((request, response) => response.end('by fd'));
          server.listen({ fd: Number(process.env.FD) }, () => process.send(server.address()));
        },
      });
      assert.deepEqual(ours.result, nodes.result);
    });

    test('two servers of a worker on one port: the second fails, and the port is free afterwards', async (t) => {
      const { result } = await play(t, {
        env: { NODE_CLUSTER_SCHED_POLICY: policy },
        async primary({ cluster, once, get, freePort }) {
          const port = await freePort();
          const answers = [];
          for (let round = 0; round < 5; round++) {
            const worker = cluster.fork({ PORT: port });
            const [outcomes] = await once(worker, 'message');
            answers.push(outcomes.sort().join(), await get(port));
            worker.process.kill('SIGKILL');
            await once(worker, 'exit');
            answers.push(await get(port).catch(({ code }) => code));
          }
          return [...new Set(answers)];
        },
        worker({ http }) {
          const outcomes = [];
          const note = (outcome) => {
            if (outcomes.push(outcome) === 2) process.send(outcomes);
          };
          for (let i = 0; i < 2; i++) {
            const server = http.createServer((request, response) => response.end('hello'));
            server.on('error', ({ code }) => note(code));
            server.listen(Number(process.env.PORT), '127.0.0.1', () => note('listening'));
          }
        },
      });
      assert.deepEqual(result, ['EADDRINUSE,listening', 'hello', 'ECONNREFUSED']);
    });

    test('a descriptor can be that of a Unix socket; connections keep the class of their kind', async (t) => {
      const { ours, nodes } = await playBoth(t, {
        env: { NODE_CLUSTER_SCHED_POLICY: policy, FOLDER: temporaryFolder(t) },
        async primary({ cluster, net, once, get }) {
          const socketPath = `${process.env.FOLDER}/${process.pid}`;
          const holder = net._createServerHandle(socketPath, -1, -1);
          const worker = cluster.fork({ FD: holder.fd });
          const [port] = await once(worker, 'message');
          const answers = [];
          // The first connection of the worker is one of the Unix socket.
          for (let round = 0; round < 2; round++) {
            answers.push(await get({ socketPath }), await get(port));
          }
          return answers;
        },
        worker({ http, once }) {
          const answer = ({ socket }, response) => {
            const { remoteAddress = null, remoteFamily = null, _handle: handle } = socket;
            response.end(JSON.stringify([handle.constructor.name, remoteAddress, remoteFamily]));
          };
          (async () => {
            await once(http.createServer(answer).listen({ fd: Number(process.env.FD) }), 'listening');
            const server = http.createServer(answer).listen(0, '127.0.0.1');
            await once(server, 'listening');
            process.send(server.address().port);
          })();
        },
      });
      assert.deepEqual(ours.result, nodes.result);
      assert.match(ours.result[0], /^\["Pipe"/);
      assert.match(ours.result[1], /^\["TCP","127\.0\.0\.1","IPv4"\]/);
    });

    // Before Node 22, there is no dropMaxConnection: a connection assigned in turn waits for its worker.
    const options = { skip: major < 22 && policy === 'rr' };
    test(
      'maxConnections and dropMaxConnection: connections are dropped and reported as in Node',
      options,
      async (t) => {
        const { ours, nodes } = await playBoth(t, {
          env: { NODE_CLUSTER_SCHED_POLICY: policy },
          async primary({ cluster, net, once }) {
            const worker = cluster.fork();
            const [{ port }] = await once(worker, 'listening');
            const first = net.connect(port, '127.0.0.1');
            await once(first, 'data');
            const second = net.connect(port, '127.0.0.1');
            const [[drop]] = await Promise.all([once(worker, 'message'), once(second, 'close')]);
            first.destroy();
            return { drop };
          },
          worker({ net }) {
            const server = net.createServer((socket) => socket.on('error', () => {}).write('in'));
            // Set while it listens, as many programs do.
            server.listen(0, '127.0.0.1', () => {
              server.maxConnections = 1;
              server.dropMaxConnection = true;
            });
            server.on('drop', (data) => process.send(Object.keys(data ?? {}).sort()));
          },
        });
        assert.deepEqual(ours.result, nodes.result);
      },
    );

    test("a failed listen() reports Node's own error", async (t) => {
      const sources = Object.entries(FAILURES).map(([what, listen]) => [what, String(listen)]);
      const { ours, nodes } = await playBoth(t, {
        env: { NODE_CLUSTER_SCHED_POLICY: policy, FAILURES: JSON.stringify(sources) },
        async primary({ cluster, once }) {
          cluster.setupPrimary({ stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
          const worker = cluster.fork();
          return (await once(worker, 'message'))[0];
        },
        async worker({ net, describeError }) {
          const results = {};
          for (const [what, source] of JSON.parse(process.env.FAILURES)) {
            results[what] = await new Promise((resolve) => {
              const tell = (how) => (error) => resolve({ how, ...describeError(error) });
              try {
                const server = new Function(`return ${source}`)()(net);
                server.on('error', tell('event'));
                server.on('listening', () => server.close(() => resolve({ how: 'it can' })));
              } catch (error) {
                tell('thrown')(error);
              }
            });
          }
          process.send(results);
        },
      });
      for (const [what, error] of Object.entries(nodes.result)) {
        const plain = (/** @type {object} */ value) =>
          JSON.parse(JSON.stringify(value).replaceAll(/:\d{4,5}/g, ':PORT'));
        assert.deepEqual(plain(ours.result[what]), plain(error), what);
      }
      assert.equal(Object.keys(ours.result).length, sources.length);
    });

    test('UDP: bind, exclusive and descriptors work, and all workers share one port', async (t) => {
      const { ours, nodes } = await playBoth(t, {
        env: { NODE_CLUSTER_SCHED_POLICY: policy },
        async primary({ cluster, once, require }) {
          const dgram = require('node:dgram');
          const workers = [cluster.fork(), cluster.fork()];
          const infos = [];
          cluster.on('listening', (worker, info) => infos.push({ ...info, port: info.port > 0 }));
          const [a, b] = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]));
          const client = dgram.createSocket('udp4');
          client.send('ping', a.shared, '127.0.0.1');
          const [answer] = await once(client, 'message');
          client.close();
          return {
            shared: a.shared === b.shared,
            exclusive: a.exclusive !== b.exclusive,
            answer: String(answer),
            error: a.error,
            infos: infos.slice(0, 2),
          };
        },
        worker({ once, require }) {
          const dgram = require('node:dgram');
          const make = (options) => {
            const socket = dgram.createSocket('udp4');
            socket.on('message', (text, { port, address }) => socket.send(`got ${text}`, port, address));
            socket.bind(options);
            // Not closed by cluster.
            if (options.exclusive) socket.unref();
            return once(socket, 'listening').then(() => socket.address().port);
          };
          (async () => {
            const shared = await make({ port: 0, address: '127.0.0.1' });
            const exclusive = await make({ port: 0, address: '127.0.0.1', exclusive: true });
            const bad = dgram.createSocket('udp4').bind({ fd: 4242 }).unref();
            const [{ code, syscall }] = await once(bad, 'error');
            process.send({ shared, exclusive, error: { code, syscall } });
          })();
        },
      });
      assert.deepEqual(ours.result, nodes.result);
      assert.equal(ours.result.answer, 'got ping');
    });
  });
}

test('the backlog is respected: further connections wait in the kernel', async (t) => {
  const { ours } = await playBoth(t, {
    env: { NODE_CLUSTER_SCHED_POLICY: 'none' },
    async primary({ cluster, net, once, until, require }) {
      const { readFileSync } = require('node:fs');
      const worker = cluster.fork();
      const [{ port }] = await once(worker, 'listening');
      process.kill(worker.process.pid, 'SIGSTOP');
      const sockets = Array.from({ length: 8 }, () => net.connect(port, '127.0.0.1').on('error', () => {}));
      const hex = port.toString(16).toUpperCase().padStart(4, '0');
      const count = (state) => {
        const lines = readFileSync('/proc/net/tcp', 'latin1').split('\n');
        return lines.filter((line) => new RegExp(`^ *\\d+: \\S+ \\w+:${hex} ${state}`).test(line)).length;
      };
      // State 2 is a connection that has not been acknowledged. The kernel accepts one more than the backlog.
      await until(() => count('02') === 8 - 3);
      for (const socket of sockets) socket.destroy();
      process.kill(worker.process.pid, 'SIGCONT');
      return true;
    },
    worker: ({ net }) => net.createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1', 2),
  });
  assert.equal(ours.result, true);
});
