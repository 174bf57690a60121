'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { once } = require('node:events');
const { test } = require('node:test');

const { Program, WATCHDOG_MS } = require('./support/program');

const { io } = require('socket.io-client');

const file = path.join(__dirname, '..', 'examples', 'cluster.js');
const cache = path.join(__dirname, '..', 'examples', 'cache.js');
const sticky = path.join(__dirname, '..', 'examples', 'sticky.js');
const cores = os.cpus().length;

/**
 * Starts the example on a free port and waits until all its workers listen.
 * @param {import('node:test').TestContext} t
 * @param {string} [example]
 * @param {string[]} [args]
 */
async function start(t, example = file, args = []) {
  const program = new Program([example, ...args], { env: { PORT: '0' } });
  t.after(() => program.kill());
  await program.printed(/ready, Ctrl-C to stop/);
  const port = Number((await program.printed(/^http:\/\/localhost:(\d+) /))[1]);
  const workers = (await program.printedTimes(/^worker (\d+) listening$/gm, cores)).map((match) =>
    Number(match[1]),
  );
  return { program, port, workers };
}

/**
 * Sends a request on a new connection.
 * @param {number} port
 * @param {string} [path]
 */
async function get(port, path = '/') {
  const request = http.get({ port, path, host: '127.0.0.1', agent: false, timeout: WATCHDOG_MS });
  request.on('timeout', () => request.destroy(new Error('no answer')));
  const [response] = await once(request, 'response');
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) body += chunk;
  return { status: response.statusCode, body };
}

/**
 * Stops a process, and waits until it has stopped.
 * @param {number} pid
 */
async function freeze(pid) {
  process.kill(pid, 'SIGSTOP');
  const deadline = performance.now() + WATCHDOG_MS;
  const state = () => /\) (\w)/.exec(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'))[1];
  while (state() !== 'T') {
    assert.ok(performance.now() < deadline, `process ${pid} did not stop`);
    await new Promise(setImmediate);
  }
}

for (const [signal, send] of /** @type {const} */ ([
  ['SIGINT', (program) => program.signalGroup('SIGINT')],
  ['SIGTERM', (program) => program.process.kill('SIGTERM')],
])) {
  test(`cluster.js: every core answers Hello!, and ${signal} stops all processes`, async (t) => {
    const { program, port, workers } = await start(t);
    assert.equal(new Set(workers).size, cores);
    const hello = { status: 200, body: 'Hello!' };
    const requests = 25 * cores;
    for (let i = 0; i < requests; i++) assert.deepEqual(await get(port), hello);
    // The only worker that is not stopped responds.
    for (const worker of workers) {
      const others = workers.filter((other) => other !== worker);
      for (const other of others) await freeze(other);
      assert.deepEqual(await get(port), hello);
      for (const other of others) process.kill(other, 'SIGCONT');
    }

    send(program);
    assert.deepEqual(await program.ended(), { code: 0, signal: null });
    assert.equal(program.stderr, '');
    const served = [...program.stdout.matchAll(/^worker (\d+) served (\d+)$/gm)];
    assert.deepEqual(new Set(served.map((match) => Number(match[1]))), new Set(workers));
    const counts = served.map((match) => Number(match[2]));
    assert.equal(
      counts.reduce((sum, count) => sum + count),
      requests + workers.length,
    );
    assert.ok(
      counts.every((count) => count > 0),
      `some worker served no request: ${counts}`,
    );
    assert.equal(program.leftBehind, false);
  });
}

test('cluster.js: an in-flight request is completed and counted at shutdown', async (t) => {
  const { program, port } = await start(t);
  const socket = net.connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.write('POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n');
  const [first] = await once(socket, 'data');
  assert.match(String(first), /^HTTP\/1.1 200 OK[^]*Hello!/);
  program.signalGroup('SIGINT');
  socket.end('x');
  assert.deepEqual(await program.ended(), { code: 0, signal: null });
  assert.equal([...program.stdout.matchAll(/served 1$/gm)].length, 1);
});

test('cluster.js: the other workers keep serving when one is killed', async (t) => {
  const { program, port, workers } = await start(t);
  process.kill(workers[0], 'SIGKILL');
  await program.printed(new RegExp(`worker ${workers[0]} ended early \\(SIGKILL\\)`));
  for (let i = 0; cores > 1 && i < 20; i++) assert.equal((await get(port)).body, 'Hello!');
  if (cores > 1) program.signalGroup('SIGINT');
  assert.deepEqual(await program.ended(), { code: cores > 1 ? 0 : 1, signal: null });
  assert.equal(program.leftBehind, false);
});

test("cluster.js: a busy port is reported once, with Node's error, and ends the program", async (t) => {
  const server = net.createServer().listen(0);
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  const program = new Program([file], { env: { PORT: String(port) } });
  t.after(() => program.kill());
  assert.deepEqual(await program.ended(), { code: 1, signal: null });
  assert.equal(program.stdout, '');
  assert.equal([...program.stderr.matchAll(/^Error: .*EADDRINUSE/gm)].length, 1, program.stderr);
  assert.match(program.stderr, /code: 'EADDRINUSE'/);
  assert.match(program.stderr, new RegExp(`port: ${port}`));
  assert.equal(program.leftBehind, false);
});

test('sticky.js: polling clients stay with the worker that knows them, and Ctrl-C stops all processes', async (t) => {
  const { program, port, workers } = await start(t, sticky);
  const met = new Set();
  for (let n = 1; n <= 12; n++) {
    const agent = new http.Agent({ localAddress: `127.0.0.${n}` });
    const options = { agent, forceNew: true, reconnection: false, transports: ['polling'] };
    const socket = io(`http://127.0.0.1:${port}`, /** @type {any} */ (options));
    t.after(() => socket.disconnect());
    const hello = () => socket.timeout(WATCHDOG_MS).emitWithAck('hello', n);
    const answers = [await hello(), await hello(), await hello()];
    const [, pid] = /^Hello \d+, from worker (\d+)$/.exec(answers[0]);
    assert.deepEqual(answers, Array(3).fill(answers[0]));
    assert.ok(workers.includes(Number(pid)));
    met.add(pid);
  }
  assert.ok(cores === 1 || met.size > 1, 'addresses were not spread over workers');
  program.signalGroup('SIGINT');
  assert.deepEqual(await program.ended(), { code: 0, signal: null });
  assert.equal(program.stderr, '');
});

test('cache.js: workers share computed results and one rate limit per client', async (t) => {
  const limit = cores + 8;
  const { program, port, workers } = await start(t, cache, [
    '--limit',
    String(limit),
    '--window',
    '100000000',
  ]);
  for (let i = 0; i < 5; i++) {
    const { status, body } = await get(port, '/?below=1000');
    assert.equal(status, 200, body);
    const { primes, computed, worker } = JSON.parse(body);
    assert.deepEqual([primes, computed, workers.includes(worker)], [168, 1, true]);
  }
  for (const worker of workers) {
    // The only worker that is not stopped responds.
    const others = workers.filter((other) => other !== worker);
    for (const other of others) await freeze(other);
    const { computed, worker: its } = JSON.parse((await get(port, '/?below=1000')).body);
    assert.deepEqual([computed, its], [1, worker]);
    for (const other of others) process.kill(other, 'SIGCONT');
  }
  for (let i = 5 + workers.length; i < limit; i++) assert.equal((await get(port, '/?below=2')).status, 200);
  assert.equal((await get(port, '/?below=2')).status, 429);
  program.signalGroup('SIGINT');
  assert.deepEqual(await program.ended(), { code: 0, signal: null });
  assert.equal(program.stderr, '');
});
