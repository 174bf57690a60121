'use strict';

/* The PROXY protocol, in both versions, decides which worker a client gets. */

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { play } = require('./support/scenario');

/** A server that responds with the worker's id and what it has read. */
const echo = ({ cluster, net }) => {
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk) => {
      text += chunk;
      if (text.endsWith('end')) socket.end(JSON.stringify({ id: cluster.worker.id, text }), 'latin1');
    });
  });
  server.listen({ port: 0, host: '127.0.0.1' });
};

/** For the primary's part: headers as Latin-1 text, and a client that sends pieces. */
const tools = `
  const signature = '\\r\\n\\r\\n\\0\\r\\nQUIT\\n';
  const bytes = (...numbers) => String.fromCharCode(...numbers);
  const address = (n) => '192.0.2.' + n;
  const v1 = (n) => 'PROXY TCP4 ' + address(n) + ' 192.0.2.250 1000 80\\r\\n';
  const v2 = (n, { command = 0x21, family = 0x11, more = 0 } = {}) => signature +
    bytes(command, family, (12 + more) >> 8, (12 + more) & 255, 192, 0, 2, n, 192, 0, 2, 250, 3, 232, 0, 80) +
    bytes(4, (more - 3) >> 8, (more - 3) & 255).padEnd(more, '\\0').slice(0, more);
  const ask = async (port, ...pieces) => {
    const socket = net.connect(port, '127.0.0.1').setNoDelay(true).setEncoding('latin1');
    for (const piece of [...pieces, 'end']) {
      await new Promise((resolve) => socket.write(piece, 'latin1', resolve));
    }
    const { id, text } = JSON.parse((await socket.toArray()).join(''));
    assert.equal(text, pieces.join('') + 'end');
    return id;
  };
`;

/** @param {string} body of the primary's part */
const primary = (body) =>
  new Function(`return async ({ cluster, forkListening, net, once, require }) => {
    const assert = require('node:assert');
    ${tools}
    cluster.schedulingPolicy = 'ip-hash';
    // A header that is complete, or invalid, is not waited for.
    cluster.setupPrimary({ proxyProtocol: true, stallLimitMs: 3_600_000 });
    ${body}
  }`)();

test('headers of both versions, in any number of pieces, place a client alike', async (t) => {
  const { result } = await play(t, {
    primary: primary(`
      const { port } = await forkListening(4);
      const forms = {
        v1: (n) => [v1(n)],
        'v1 with a mapped address': (n) => ['PROXY TCP6 ::ffff:' + address(n) + ' ::1 1000 80\\r\\n'],
        'v1 in two pieces': (n) => [v1(n).slice(0, 15), v1(n).slice(15)],
        'v1 in three pieces': (n) => [v1(n).slice(0, 3), v1(n).slice(3, 9), v1(n).slice(9)],
        v2: (n) => [v2(n)],
        'v2 in two pieces': (n) => [v2(n).slice(0, 14), v2(n).slice(14)],
        'v2, one byte at a time': (n) => [...v2(n)],
        'v2 with more fields': (n) => [v2(n, { more: 400 })],
        'v2 with a certificate': (n) => [v2(n, { more: 1200 })],
        'v2 with as much as fits': (n) => [v2(n, { more: 65_535 - 12 })],
        'v2 with fields that come later': (n) => [v2(n, { more: 5000 }).slice(0, 30), v2(n, { more: 5000 }).slice(30)],
        'v2 and a request': (n) => [v2(n) + 'GET / HTTP/1.1\\r\\n\\r\\n'],
      };
      const places = {};
      for (const [form, pieces] of Object.entries(forms)) {
        places[form] = [];
        for (let n = 1; n <= 16; n++) places[form].push(await ask(port, ...pieces(n)));
      }
      return places;
    `),
    worker: echo,
  });
  for (const [form, places] of Object.entries(result)) assert.deepEqual(places, result.v1, form);
  assert.ok(new Set(result.v1).size > 1, 'clients were not spread over workers');
});

test('IPv6 addresses are the same in both versions', async (t) => {
  const { result } = await play(t, {
    primary: primary(`
      const { port } = await forkListening(4);
      const places = [[], []];
      for (let n = 1; n <= 16; n++) {
        places[0].push(await ask(port, 'PROXY TCP6 2001:db8::' + n.toString(16) + ' ::1 1000 80\\r\\n'));
        const source = bytes(0x20, 0x01, 0x0d, 0xb8).padEnd(15, '\\0') + bytes(n);
        const rest = bytes(1).padStart(16, '\\0') + bytes(3, 232, 0, 80);
        places[1].push(await ask(port, signature + bytes(0x21, 0x21, 0, 36) + source + rest));
      }
      return places;
    `),
    worker: echo,
  });
  assert.deepEqual(result[1], result[0]);
  assert.ok(new Set(result[0]).size > 1, 'clients were not spread over workers');
});

test('without a valid header, a connection is placed at once by its own address', async (t) => {
  const { result } = await play(t, {
    primary: primary(`
      const { port } = await forkListening(4);
      const own = await ask(port, 'GET / HTTP/1.1\\r\\n\\r\\n');
      let n = 1;
      while ((await ask(port, v1(n))) === own) n++;
      const client = address(n);
      const others = {
        unknown: 'PROXY UNKNOWN\\r\\n',
        'unknown with addresses': 'PROXY UNKNOWN ' + client + ' ' + client + ' 1 2\\r\\n',
        'a bad address': 'PROXY TCP4 ' + client + '.1 ' + client + ' 1 2\\r\\n',
        'a bad port': 'PROXY TCP4 ' + client + ' ' + client + ' 99999 2\\r\\n',
        'a bad family': 'PROXY TCP5 ' + client + ' ' + client + ' 1 2\\r\\n',
        'lower case': v1(n).toLowerCase(),
        'no end of line': 'PROXY TCP4 ' + client + ' '.repeat(200),
        'an endless line': 'PROXY ' + 'x'.repeat(600),
        'a bad start': 'POST / HTTP/1.1\\r\\n\\r\\n',
        'the proxy itself': v2(n, { command: 0x20 }),
        'no family': v2(n, { family: 0 }),
        'a bad version': v2(n, { command: 0x11 }),
        'a bad command': v2(n, { command: 0x2f }),
        'a bad signature': v2(n).replace('QUIT', 'EXIT'),
        zeros: '\\0'.repeat(40),
      };
      const places = {};
      for (const [what, text] of Object.entries(others)) places[what] = (await ask(port, text)) === own;
      return places;
    `),
    worker: echo,
  });
  for (const [what, isOwn] of Object.entries(result)) assert.equal(isOwn, true, what);
});

test('when workers come and go, only clients of those move', async (t) => {
  const { result } = await play(t, {
    primary: primary(`
      const { port, workers } = await forkListening(4);
      const places = async () => {
        const ids = [];
        for (let n = 1; n <= 120; n++) ids.push(await ask(port, v1(n)));
        return ids;
      };
      const counts = [];
      const compare = (from, to, isMeant) => {
        const moved = from.map((id, index) => [id, to[index]]).filter(([a, b]) => a !== b);
        counts.push(moved.length);
        assert.ok(moved.length > 0);
        assert.ok(moved.every(isMeant), JSON.stringify(moved));
      };
      const four = await places();
      assert.equal(new Set(four).size, 4);
      workers[1].process.kill('SIGKILL');
      await once(workers[1], 'exit');
      const three = await places();
      compare(four, three, ([from]) => from === workers[1].id);
      const { workers: [heir] } = await forkListening(1);
      const again = await places();
      assert.deepEqual(again, four.map((id) => (id === workers[1].id ? heir.id : id)));
      const { workers: [fifth] } = await forkListening(1);
      const five = await places();
      compare(again, five, ([, to]) => to === fifth.id);
      workers[0].disconnect();
      await once(workers[0], 'exit');
      compare(five, await places(), ([from]) => from === workers[0].id);
      return counts;
    `),
    worker: echo,
  });
  assert.equal(result.length, 3);
});
