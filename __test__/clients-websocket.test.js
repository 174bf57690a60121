'use strict';

/*
 * WebSockets and socket.io, served by several workers.
 */

const assert = require('node:assert/strict');
const http = require('node:http');
const { randomBytes } = require('node:crypto');
const { once } = require('node:events');
const { describe, test } = require('node:test');
const { io } = require('socket.io-client');
const { WebSocket } = require('ws');

const { WATCHDOG_MS } = require('./support/program');
const { POLICIES, repeat, repeatOnAll, serve, stop } = require('./support/served');

const within = () => ({ signal: AbortSignal.timeout(WATCHDOG_MS) });

describe('ws', () => {
  for (const policy of POLICIES) {
    test(`policy ${policy}`, async (t) => {
      const { program, port, workers } = await serve(t, 'ws', { policy });
      const binary = randomBytes(300_000);
      await repeatOnAll(workers, 60, 15, async (index) => {
        const socket = new WebSocket(`ws://127.0.0.1:${port}`);
        const [hello] = await once(socket, 'message', within());
        for (const text of [`client ${index}`, 'x'.repeat(20_000), '']) {
          socket.send(text);
          assert.equal(String((await once(socket, 'message', within()))[0]), text);
        }
        socket.send(binary);
        const [echoed, isBinary] = await once(socket, 'message', within());
        assert.ok(isBinary && binary.equals(echoed));
        socket.ping('still there?');
        assert.equal(String((await once(socket, 'pong', within()))[0]), 'still there?');
        socket.send('bye');
        const [code, reason] = await once(socket, 'close', within());
        assert.deepEqual([code, String(reason)], [4001, 'after 5']);
        return JSON.parse(hello);
      });
      await stop(program);
    });

    test(`policy ${policy}: the death of a worker closes only its own connections`, async (t) => {
      const { port, workers } = await serve(t, 'ws', { policy });
      const sockets = await repeatOnAll(workers, 40, 10, async () => {
        const socket = new WebSocket(`ws://127.0.0.1:${port}`);
        t.after(() => socket.terminate());
        const [hello] = await once(socket, 'message', within());
        return { socket, worker: JSON.parse(hello).worker };
      });
      const [lost] = workers;
      const own = sockets.filter(({ worker }) => worker === lost);
      const closed = own.map(({ socket }) => once(socket, 'close', within()));
      process.kill(lost, 'SIGKILL');
      for (const [code] of await Promise.all(closed)) assert.equal(code, 1006);
      for (const { socket, worker } of sockets) {
        if (worker === lost) continue;
        socket.send('on we go');
        assert.equal(String((await once(socket, 'message', within()))[0]), 'on we go');
      }
    });
  }
});

/**
 * A socket.io client with its own source address, like clients of a real server.
 * @param {import('node:test').TestContext} t
 * @param {number} port
 * @param {string} localAddress
 * @param {Partial<import('socket.io-client').ManagerOptions>} options
 */
async function connectFrom(t, port, localAddress, options) {
  const agent = new http.Agent({ localAddress });
  const all = { agent, forceNew: true, reconnection: false, ...options };
  const socket = io(`http://127.0.0.1:${port}`, /** @type {any} */ (all));
  t.after(() => socket.disconnect());
  const failed = new Promise((_, reject) => socket.on('connect_error', reject));
  await Promise.race([once(/** @type {any} */ (socket), 'connect', within()), failed]);
  return socket;
}

/** @param {import('socket.io-client').Socket} socket */
async function leave(socket) {
  const gone = once(/** @type {any} */ (socket), 'disconnect', within());
  socket.emit('leave');
  await gone;
}

/** A session lives in the memory of one worker. */
const STICKY = { policy: 'ip-hash' };

describe('socket.io, policy ip-hash', () => {
  const addresses = Array.from({ length: 40 }, (_, i) => `127.0.${i % 3}.${10 + i}`);

  /**
   * Counts up to ten with each client; all replies come from one worker, with the count it keeps.
   * @param {import('socket.io-client').Socket} socket
   */
  async function countToTen(socket) {
    const answers = [];
    for (let i = 1; i <= 10; i++) {
      const data = i % 2 ? { i, text: 'é'.repeat(1000) } : Buffer.alloc(5000, i);
      const answer = await socket.timeout(WATCHDOG_MS).emitWithAck('count', data);
      assert.deepEqual(answer.data, data);
      assert.equal(answer.messages, i);
      answers.push(answer);
    }
    assert.equal(new Set(answers.map(({ worker }) => worker)).size, 1);
    return answers[9];
  }

  test('long polling works without an upgrade', async (t) => {
    const { program, port, workers } = await serve(t, 'socket-io', STICKY);
    const met = await repeat(addresses.length, 8, async (index) => {
      const socket = await connectFrom(t, port, addresses[index], { transports: ['polling'] });
      const { worker, transport } = await countToTen(socket);
      assert.equal(transport, 'polling');
      await leave(socket);
      return worker;
    });
    assert.deepEqual(new Set(met), new Set(workers));
    await stop(program);
  });

  test('long polling upgrades to a WebSocket', async (t) => {
    const { program, port, workers } = await serve(t, 'socket-io', STICKY);
    const met = await repeat(addresses.length, 8, async (index) => {
      const socket = await connectFrom(t, port, addresses[index], { transports: ['polling', 'websocket'] });
      if (socket.io.engine.transport.name !== 'websocket') {
        await once(/** @type {any} */ (socket.io.engine), 'upgrade', within());
      }
      const { worker, transport } = await countToTen(socket);
      assert.equal(transport, 'websocket');
      await leave(socket);
      return worker;
    });
    assert.deepEqual(new Set(met), new Set(workers));
    await stop(program);
  });

  test('a client address returns to the same worker', async (t) => {
    const { program, port } = await serve(t, 'socket-io', STICKY);
    const visits = () =>
      repeat(12, 4, async (index) => {
        const socket = await connectFrom(t, port, addresses[index], { transports: ['polling'] });
        const { worker } = await countToTen(socket);
        await leave(socket);
        return worker;
      });
    assert.deepEqual(await visits(), await visits());
    await stop(program);
  });
});
