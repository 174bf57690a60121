'use strict';

/* Processes whose descriptor table is full, or nearly so: no connection may be lost. */

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const os = require('node:os');
const { test } = require('node:test');
const { play } = require('./support/scenario');

/** Descriptors that each worker in most of these tests may have, of which Node.js itself uses about 25. */
const LIMIT = 128;

/** With so many, a worker counts them only now and then. */
const HIGH_LIMIT = 8192;

/**
 * Runs a scenario in processes with a limit. Node.js raises the soft limit to the hard one, so both are lowered.
 * @param {import('node:test').TestContext} t
 * @param {Omit<Parameters<typeof play>[1], 'worker'>} scenario
 * @param {number} [limit]
 */
function playLimited(t, scenario, limit = LIMIT) {
  return play(t, {
    ...scenario,
    env: { ...scenario.env, DESCRIPTOR_LIMIT: String(limit) },
    /** Responds once the primary has told it to, and opens and closes files on demand. */
    worker({ cluster, http, require }) {
      const fs = require('node:fs');
      const files = [];
      let respond = (response) => waiting.push(response);
      const waiting = [];
      const end = (response) => response.end(String(cluster.worker.id));
      const block = (fd) => {
        fs.writeSync(fd, '1');
        while (fs.fstatSync(fd).size < 2);
        files.push(fd);
      };
      const orders = {
        respond() {
          respond = end;
          waiting.splice(0).forEach(end);
        },
        fill() {
          try {
            for (;;) files.push(fs.openSync('/dev/null'));
          } catch ({ code }) {
            return code;
          }
        },
        fillOnConnection: () => void server.once('connection', orders.fill),
        /** Blocks the loop until the file has a second byte. */
        block: ({ file }) => void setImmediate(block, fs.openSync(file, 'a+')),
        /** Fills in a timer, while the loop turns without sleeping, and then blocks it. */
        fillAndBlock({ file }) {
          const fd = fs.openSync(file, 'a+');
          let isFull = false;
          let turns = 0;
          const fillNow = () => {
            isFull = true;
            orders.fill();
            block(fd);
          };
          const turn = () => {
            if (isFull) return;
            if (++turns === 3) setTimeout(fillNow, 1);
            setImmediate(turn);
          };
          turn();
        },
        empty: () => files.splice(0).forEach((fd) => fs.closeSync(fd)),
      };
      process.on('message', ({ order, options }) => process.send({ order, result: orders[order](options) }));
      const server = http.createServer((request, response) => respond(response)).listen(0, '127.0.0.1');
    },
  });
}

/** Has `process.execPath` start workers with the limit. */
const limitWorkers = `
  const fs = require('node:fs');
  const path = require('node:path');
  const folder = fs.mkdtempSync(path.join(require('node:os').tmpdir(), 'manycore-limit-'));
  const script = path.join(folder, 'node');
  const text = '#!/bin/sh\\nulimit -n ' + process.env.DESCRIPTOR_LIMIT + '\\nexec "' + process.execPath + '" "$@"\\n';
  fs.writeFileSync(script, text, { mode: 0o755 });
  process.execPath = script;
  process.on('exit', () => fs.rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'state');
  fs.writeFileSync(file, '');
  const hasBlocked = () => until(() => fs.statSync(file).size === 1);
  const unblock = () => fs.appendFileSync(file, '2');
  const connect = async (port) => {
    const client = net.connect(port, '127.0.0.1');
    await once(client, 'connect');
    return client;
  };
  const answer = async (client) => {
    client.end('GET / HTTP/1.0\\r\\n\\r\\n');
    const text = await client.setEncoding('utf8').toArray();
    return text.join('').split('\\r\\n\\r\\n')[1];
  };
  const stalls = [];
  cluster.on('stall', (worker) => stalls.push(worker.id));
  const order = async (worker, order, options) => {
    worker.send({ order, options });
    for (;;) {
      const [message] = await once(worker, 'message');
      if (message.order === order) return message.result;
    }
  };
`;

/** @param {string} body of the primary's part */
const primary = (body) =>
  new Function(`return async ({ cluster, forkListening, net, tally, tallyUntil, until, once, require }) => {
    ${limitWorkers}
    ${body}
  }`)();

for (const policy of ['none', 'rr', 'ip-hash']) {
  test(`${policy}: more connections than a worker has descriptors wait until it has some again`, async (t) => {
    const { result } = await playLimited(t, {
      env: { NODE_CLUSTER_SCHED_POLICY: policy },
      primary: primary(`
        const { workers: [worker], port } = await forkListening(1);
        const answers = tally(port, 300, 300);
        await until(() => worker.load.connections >= 50);
        await order(worker, 'respond');
        return answers;
      `),
    });
    assert.deepEqual(result, { 1: 300 });
  });

  test(`${policy}: a worker without free descriptors takes no connection until it has some again`, async (t) => {
    const { result } = await playLimited(t, {
      env: { NODE_CLUSTER_SCHED_POLICY: policy },
      primary: primary(`
        const { workers: [worker], port } = await forkListening(1);
        await order(worker, 'respond');
        const code = await order(worker, 'fill');
        const answers = tally(port, 20, 20);
        // Its loop turns a few times.
        for (let i = 0; i < 5; i++) await order(worker, 'respond');
        await order(worker, 'empty');
        return { code, answers: await answers };
      `),
    });
    assert.deepEqual(result, { code: 'EMFILE', answers: { 1: 20 } });
  });
}

for (const policy of ['none', 'rr']) {
  test(`${policy}: other workers serve what a worker without free descriptors cannot`, async (t) => {
    const { result } = await playLimited(t, {
      env: { NODE_CLUSTER_SCHED_POLICY: policy },
      primary: primary(`
        // On a loaded machine, a worker may be stalled for longer than the default limit.
        cluster.setupPrimary({ stallLimitMs: 3_600_000 });
        const { workers, port } = await forkListening(2);
        for (const worker of workers) await order(worker, 'respond');
        // Under 'rr', both then have the socket from which they accept what they are granted.
        await tallyUntil([1, 2], port, 100, 10);
        await order(workers[0], 'fill');
        const without = await tally(port, 100, 10);
        await order(workers[0], 'empty');
        const again = await tallyUntil([1, 2], port, 100, 10);
        return { without, again: Object.keys(again), stalls };
      `),
    });
    assert.deepEqual(result, { without: { 2: 100 }, again: ['1', '2'], stalls: [] });
  });
}

test('a worker without free descriptors does not keep others from having more connections', async (t) => {
  const { result } = await playLimited(t, {
    primary: primary(`
      const { workers, port } = await forkListening(2);
      await order(workers[0], 'fill');
      const answers = tally(port, 40, 40);
      await until(() => workers[1].load.connections === 40);
      for (const worker of workers) await order(worker, 'respond');
      return answers;
    `),
  });
  assert.deepEqual(result, { 2: 40 });
});

test('a worker that fills a large table just before its loop sleeps takes no connection either', async (t) => {
  const scenario = {
    primary: primary(`
      const { workers: [worker], port } = await forkListening(1);
      await order(worker, 'respond');
      await order(worker, 'fillAndBlock', { file });
      await hasBlocked();
      const clients = await Promise.all(Array.from({ length: 20 }, () => connect(port)));
      unblock();
      for (let i = 0; i < 5; i++) await order(worker, 'respond');
      await order(worker, 'empty');
      return Promise.all(clients.map(answer));
    `),
  };
  const { result } = await playLimited(t, scenario, HIGH_LIMIT);
  assert.deepEqual(result, Array(20).fill('1'));
});

test('a connection listener that uses up all descriptors does not cost the connections of the next messages', async (t) => {
  const scenario = {
    env: { NODE_CLUSTER_SCHED_POLICY: 'ip-hash' },
    primary: primary(`
      const { workers: [worker], port } = await forkListening(1);
      await order(worker, 'respond');
      await order(worker, 'fillOnConnection');
      await until(() => worker.load.unclaimed === 0);
      await order(worker, 'block', { file });
      await hasBlocked();
      const clients = [];
      while (clients.length < 4) {
        clients.push(await connect(port));
        // One message for each.
        await until(() => worker.load.unclaimed === clients.length);
      }
      unblock();
      for (let i = 0; i < 5; i++) await order(worker, 'respond');
      await order(worker, 'empty');
      return Promise.all(clients.map(answer));
    `),
  };
  const { result } = await playLimited(t, scenario, 512);
  assert.deepEqual(result, Array(4).fill('1'));
});

test('a primary without free descriptors reports that as Node does, and goes on', async (t) => {
  if (spawnSync('prlimit', ['--nofile']).status !== 0) return t.skip('no prlimit');
  const { result } = await play(t, {
    async primary({ cluster, once, require }) {
      const fs = require('node:fs');
      const { spawnSync } = require('node:child_process');
      const worker = cluster.fork();
      await once(worker, 'message');
      spawnSync('prlimit', ['--pid', String(process.pid), '--nofile=128:']);
      /** Calls with so many descriptors left. */
      const leaving = async (count, act) => {
        const files = [];
        try {
          for (;;) files.push(fs.openSync('/dev/null'));
        } catch {
          for (let i = 0; i < count; i++) fs.closeSync(files.pop());
        }
        try {
          return await act();
        } finally {
          for (const file of files) fs.closeSync(file);
        }
      };
      const listen = async () => {
        worker.send('listen');
        return (await once(worker, 'message'))[0];
      };
      const fork = async () => {
        try {
          const failed = cluster.fork();
          const [{ code, errno, syscall }] = await once(failed, 'error');
          // Stays there, as in Node.
          delete cluster.workers[failed.id];
          return { code, errno, syscall: syscall.split(' ')[0] };
        } catch ({ code, errno, syscall }) {
          return { code, errno, syscall };
        }
      };
      const forks = [];
      for (const count of [0, 1, 2, 3]) forks.push(await leaving(count, fork));
      const listens = [];
      for (const count of [0, 1, 2, 3]) listens.push(await leaving(count, listen));
      const other = cluster.fork();
      await once(other, 'message');
      return { forks, first: listens[0], others: [...new Set(listens)].sort(), after: await listen() };
    },
    worker({ net }) {
      process.on('message', () => {
        const server = net.createServer();
        server.on('error', ({ code, syscall }) => process.send(`${syscall} ${code}`));
        server.listen(0, '127.0.0.1', () => server.close(() => process.send('listening')));
      });
      process.send('ready');
    },
  });
  const { errno } = os.constants;
  const emfile = { code: 'EMFILE', errno: -errno.EMFILE, syscall: 'spawn' };
  assert.deepEqual(result, {
    forks: [emfile, emfile, emfile, emfile],
    first: 'bind EMFILE',
    others: ['bind EMFILE', 'listening'],
    after: 'listening',
  });
});

test('connections wait while the primary, which accepts them, has no free descriptors', async (t) => {
  if (spawnSync('prlimit', ['--nofile']).status !== 0) return t.skip('no prlimit');
  const { result } = await play(t, {
    async primary({ cluster, forkListening, once, until, require }) {
      const fs = require('node:fs');
      const { spawn, spawnSync } = require('node:child_process');
      cluster.schedulingPolicy = 'ip-hash';
      const { workers, port } = await forkListening(1);
      const [worker] = workers;
      // Another process, which has descriptors for its connections.
      const script = `
        const http = require('node:http');
        const answers = [];
        let connected = 0;
        const tell = () => process.send({ connected, answers });
        const answer = (what) => tell(answers.push(what));
        const ask = () => {
          const request = http.get({ port: ${port}, host: '127.0.0.1', agent: false });
          request.on('socket', (socket) => socket.on('connect', () => tell(connected++)));
          request.on('response', (response) => answer(response.resume().statusCode));
          request.on('error', ({ code }) => answer(code));
        };
        process.once('message', () => Array.from({ length: 20 }, ask));`;
      const client = spawn(process.execPath, ['-e', script], {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      });
      // It exits by itself when it has all answers.
      const ended = once(client, 'exit');
      let state = { connected: 0, answers: [] };
      client.on('message', (latest) => (state = latest));
      spawnSync('prlimit', ['--pid', String(process.pid), '--nofile=128:']);
      const files = [];
      try {
        for (;;) files.push(fs.openSync('/dev/null'));
      } catch {
        client.send('start');
      }
      await until(() => state.connected === 20);
      // Time for the primary to try.
      const before = process.cpuUsage();
      await new Promise((resolve) => setTimeout(resolve, 100));
      const meanwhile = { answers: state.answers.length, connections: worker.load.connections };
      const { user, system } = process.cpuUsage(before);
      for (const each of files) fs.closeSync(each);
      await until(() => state.answers.length === 20);
      await ended;
      return { meanwhile, answers: state.answers, busyMs: (user + system) / 1000 };
    },
    worker: ({ http }) => http.createServer((request, response) => response.end()).listen(0, '127.0.0.1'),
  });
  const { busyMs, ...rest } = result;
  t.diagnostic(`the primary was busy for ${busyMs} of 100 ms`);
  assert.deepEqual(rest, { meanwhile: { answers: 0, connections: 0 }, answers: Array(20).fill(200) });
});
