'use strict';

/* HTTP frameworks in ordinary use, served by several workers. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { createHash, randomBytes } = require('node:crypto');
const { once } = require('node:events');
const { describe, test } = require('node:test');

const { WATCHDOG_MS } = require('./support/program');
const { POLICIES, repeat, repeatOnAll, request, serve, stop } = require('./support/served');

/**
 * Acts on new connections, until all workers have been reached.
 * @template {{ worker: number }} T
 * @param {number[]} workers
 * @param {(index: number) => Promise<T>} act
 */
const visitAll = (workers, act) => repeatOnAll(workers, 160, 16, act);

for (const policy of POLICIES) {
  describe(`policy ${policy}`, () => {
    test('express', async (t) => {
      const { program, port, workers } = await serve(t, 'express', { policy });
      const items = await visitAll(workers, (id) => request(port, `/items/${id}?page=2`));
      for (const [index, { status, text }] of items.entries()) {
        assert.deepEqual([status, JSON.parse(text)], [200, { id: String(index), query: { page: '2' } }]);
      }

      const json = { name: 'ünï', list: [1, 2.5, null], deep: { yes: true } };
      const echo = await request(port, '/echo', { method: 'POST', json });
      assert.deepEqual([echo.status, JSON.parse(echo.text)], [201, json]);
      const headers = { 'content-type': 'application/json' };
      assert.equal((await request(port, '/echo', { method: 'POST', headers, body: '{' })).status, 400);
      assert.deepEqual(JSON.parse((await request(port, '/broken')).text), { message: 'broken on purpose' });

      const upload = randomBytes(1 << 20);
      const digest = createHash('sha256').update(upload).digest('hex');
      const digests = await repeat(12, 4, () => request(port, '/digest', { method: 'POST', body: upload }));
      assert.deepEqual(
        digests.map(({ text }) => text),
        new Array(12).fill(digest),
      );
      const source = await request(port, '/source');
      assert.deepEqual(
        source.body,
        fs.readFileSync(path.join(__dirname, 'fixtures', 'clients', 'express.js')),
      );
      await stop(program);
    });

    test('express: a keep-alive connection stays with its worker', async (t) => {
      const { program, port } = await serve(t, 'express', { policy });
      const agents = Array.from({ length: 8 }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }));
      await repeat(agents.length, agents.length, async (index) => {
        const agent = agents[index];
        const answers = await repeat(15, 5, (id) => request(port, `/items/${id}`, { agent }));
        assert.equal(new Set(answers.map(({ worker }) => worker)).size, 1);
        agent.destroy();
      });
      await stop(program);
    });

    test('express: pipelined requests are answered in order', async (t) => {
      const { program, port } = await serve(t, 'express', { policy });
      const socket = require('node:net').connect(port, '127.0.0.1');
      t.after(() => socket.destroy());
      const paths = Array.from({ length: 20 }, (_, id) => `/items/${id}`);
      const last = (at) => (at === paths.length - 1 ? 'close' : 'keep-alive');
      socket.end(
        paths.map((url, at) => `GET ${url} HTTP/1.1\r\nHost: x\r\nConnection: ${last(at)}\r\n\r\n`).join(''),
      );
      let text = '';
      socket.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      await once(socket, 'close');
      const ids = [...text.matchAll(/"id":"(\d+)"/g)].map((match) => Number(match[1]));
      assert.deepEqual(
        ids,
        paths.map((_, id) => id),
      );
      await stop(program);
    });

    test('fastify', async (t) => {
      const { program, port, workers } = await serve(t, 'fastify', { policy });
      const sums = await visitAll(workers, (i) =>
        request(port, '/sum', { method: 'POST', json: { values: [i, 1.5] } }),
      );
      for (const [i, { text }] of sums.entries()) assert.deepEqual(JSON.parse(text), { sum: i + 1.5 });
      const wrong = await request(port, '/sum', { method: 'POST', json: { values: ['x'] } });
      assert.equal(wrong.status, 400);
      const streamed = await request(port, '/stream');
      assert.equal(streamed.text, Array.from({ length: 1000 }, (_, i) => `${i}\n`).join(''));
      await stop(program);
    });

    test('koa', async (t) => {
      const { program, port, workers } = await serve(t, 'koa', { policy });
      const streams = await visitAll(workers, () => request(port, '/stream'));
      for (const { text, headers } of streams) {
        assert.deepEqual([text, headers['x-steps']], ['abc', 'inner,outer']);
      }
      assert.equal((await request(port, '/elsewhere')).status, 404);

      // A cookie signed by one worker is valid for all others.
      let cookie;
      const seen = new Set();
      const deadline = performance.now() + WATCHDOG_MS;
      for (let visits = 1; visits <= 40 || seen.size < 2; visits++) {
        assert.ok(performance.now() < deadline, `one worker alone served all ${visits} visits`);
        const answer = await request(port, '/visits', { headers: cookie && { cookie } });
        assert.deepEqual(JSON.parse(answer.text), { visits });
        cookie = answer.headers['set-cookie'].map((each) => each.split(';')[0]).join('; ');
        seen.add(answer.worker);
      }
      await stop(program);
    });

    test('fetch works with its own connection pool', async (t) => {
      const { program, port } = await serve(t, 'express', { policy });
      const bodies = await repeat(100, 10, async (id) => {
        const response = await fetch(`http://127.0.0.1:${port}/items/${id}`);
        return response.json();
      });
      for (const [id, body] of bodies.entries()) assert.equal(body.id, String(id));
      await fetch(`http://127.0.0.1:${port}/items/1`, { headers: { connection: 'close' } }).then((r) =>
        r.text(),
      );
      await stop(program);
    });
  });
}
