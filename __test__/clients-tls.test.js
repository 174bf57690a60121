'use strict';

/*
 * HTTPS and HTTP/2, served by several workers.
 */

const assert = require('node:assert/strict');
const http2 = require('node:http2');
const tls = require('node:tls');
const { randomBytes } = require('node:crypto');
const { once } = require('node:events');
const { buffer } = require('node:stream/consumers');
const { describe, test } = require('node:test');

const { certificate } = require('./support/certificate');
const { WATCHDOG_MS } = require('./support/program');
const { POLICIES, repeatOnAll, request, serve, stop } = require('./support/served');

/**
 * @param {import('node:test').TestContext} t
 * @param {string} application
 * @param {string} policy
 */
async function serveTls(t, application, policy) {
  const { key, cert } = await certificate();
  const served = await serve(t, application, { policy, env: { TLS_KEY: key, TLS_CERT: cert } });
  return { ...served, trust: { ca: cert, servername: 'localhost' } };
}

/**
 * Makes one request on a new TLS connection.
 * @param {tls.ConnectionOptions} options
 * @returns {Promise<{ worker: number, reused: boolean, session: Buffer }>} `session` to resume it with
 */
async function visit(options) {
  const socket = tls.connect({ host: '127.0.0.1', ...options });
  socket.setTimeout(WATCHDOG_MS, () => socket.destroy(new Error('no answer')));
  let session;
  socket.on('session', (latest) => (session = latest));
  await once(socket, 'secureConnect');
  const reused = socket.isSessionReused();
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  const answer = String(await buffer(socket));
  assert.match(answer, /^HTTP\/1.1 200 OK\r\n/);
  return { reused, session, worker: Number(/x-worker: (\d+)/.exec(answer)[1]) };
}

/**
 * One stream of an HTTP/2 session.
 * @param {http2.ClientHttp2Session} session
 * @param {http2.OutgoingHttpHeaders} headers
 * @param {Buffer} [body]
 */
async function stream(session, headers, body) {
  const opened = session.request(headers);
  opened.setTimeout(WATCHDOG_MS, () => opened.destroy(new Error('no answer')));
  opened.end(body);
  const [answer] = await once(opened, 'response');
  return { status: answer[':status'], worker: Number(answer['x-worker']), body: await buffer(opened) };
}

/**
 * Opens sessions with many concurrent streams to all workers; each session stays with its worker.
 * @param {number[]} workers
 * @param {string} origin
 * @param {http2.SecureClientSessionOptions} [options]
 */
async function exerciseHttp2(workers, origin, options) {
  const payload = randomBytes(600_000);
  await repeatOnAll(workers, 40, 8, async (index) => {
    const session = http2.connect(origin, options);
    const gets = Array.from({ length: 12 }, (_, id) => stream(session, { ':path': `/${index}/${id}` }));
    const posts = [payload, payload.subarray(0, 70_000)].map((body) =>
      stream(session, { ':method': 'POST', ':path': '/' }, body),
    );
    const [first, ...answers] = await Promise.all([...gets, ...posts]);
    assert.deepEqual([first.status, String(first.body)], [200, `2.0 /${index}/0`]);
    assert.deepEqual(String(answers[10].body), `2.0 /${index}/11`);
    assert.ok(answers[11].body.equals(payload) && answers[12].body.equals(payload.subarray(0, 70_000)));
    assert.ok(answers.every(({ worker }) => worker === first.worker));
    session.close();
    await once(session, 'close');
    return first;
  });
}

for (const policy of POLICIES) {
  describe(`policy ${policy}`, () => {
    for (const version of /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])) {
      test(`https over ${version}: all workers answer, and any worker can resume a session`, async (t) => {
        const { program, port, workers, trust } = await serveTls(t, 'https', policy);
        const versions = { minVersion: version, maxVersion: version };
        const answers = await repeatOnAll(workers, 120, 12, (id) =>
          request(port, `/${id}`, { ...trust, ...versions }),
        );
        for (const [id, { text }] of answers.entries()) assert.equal(text, `${version} /${id}`);

        const first = await visit({ port, ...trust, ...versions });
        assert.equal(first.reused, false);
        const later = await repeatOnAll(workers, 60, 6, () =>
          visit({ port, ...trust, ...versions, session: first.session }),
        );
        assert.ok(
          later.every(({ reused }) => reused),
          'some worker did not accept the session ticket',
        );
        await stop(program);
      });
    }

    test('https: a client that does not trust the certificate is rejected', async (t) => {
      const { program, port, trust } = await serveTls(t, 'https', policy);
      await assert.rejects(request(port, '/', { ...trust, ca: [], rejectUnauthorized: true }), {
        code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
      });
      assert.equal((await request(port, '/', trust)).status, 200);
      await stop(program);
    });

    test('HTTP/2 over TLS works alongside HTTP/1.1 on the same port', async (t) => {
      const { program, port, workers, trust } = await serveTls(t, 'http2', policy);
      await exerciseHttp2(workers, `https://127.0.0.1:${port}`, trust);
      assert.equal((await request(port, '/old', trust)).text, '1.1 /old');
      await stop(program);
    });

    test('HTTP/2 works without TLS', async (t) => {
      const { program, port, workers } = await serve(t, 'http2-clear', { policy });
      await exerciseHttp2(workers, `http://127.0.0.1:${port}`);
      await stop(program);
    });
  });
}
