'use strict';

/*
 * A worker that writes arbitrary data into its lanes harms only itself: the primary continues, and reports the
 * corrupt link.
 */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { Kind } = require('../lib/link/layout');
const { play } = require('./support/scenario');

const SCRIBBLER = path.join(__dirname, 'fixtures', 'scribbler.js');
const ROUNDS = 45;

test(`${ROUNDS} workers corrupt their lanes without affecting the primary or another worker`, async (t) => {
  const { result, stderr } = await play(t, {
    env: { SCRIBBLER, ROUNDS: String(ROUNDS) },
    async primary({ cluster, once }) {
      const good = cluster.fork({ ROLE: 'good' });
      await once(good, 'message');
      let echoes = 0;
      const ask = () =>
        new Promise((resolve) => {
          good.send({ echo: ++echoes });
          good.once('message', resolve);
        });
      const codes = {};
      const rounds = Number(process.env.ROUNDS);
      for (let round = 0; round < rounds; round++) {
        const worker = cluster.fork({ ROLE: 'bad', SEED: String(round) });
        let isOver = false;
        const ended = new Promise((resolve) => worker.once('exit', resolve)).then(() => (isOver = true));
        worker.on('error', ({ code }) => (codes[code] = (codes[code] ?? 0) + 1));
        await new Promise((resolve) => {
          worker.once('message', resolve);
          ended.then(resolve);
        });
        // If nothing of what it wrote is detected for a while, it is ended.
        for (let turn = 0; turn < 200 && !isOver; turn++) {
          if (worker.isConnected()) worker.send({ turn, text: 'x'.repeat(turn * 10) }, () => {});
          if (turn % 10 === 0) await ask();
          await new Promise(setImmediate);
        }
        worker.process.kill('SIGKILL');
        await ended;
      }
      const { echo } = await ask();
      return { codes, echo, echoes };
    },
    worker({ require }) {
      const { ROLE, SEED, SCRIBBLER } = process.env;
      if (ROLE === 'good') {
        process.on('message', (message) => process.send(message));
        return process.send('ready');
      }
      process.on('warning', () => {});
      process.on('uncaughtException', () => {});
      const { scribble } = require(SCRIBBLER);
      process.on('message', () => {});
      let round = 0;
      const where = ['words', 'rings', 'all'][Number(SEED) % 3];
      setInterval(() => {
        for (let i = 0; i < 20 && process.connected; i++) process.send({ i, a: [i, 'text'] }, () => {});
        scribble(Number(SEED) * 1000 + round++, where);
      }, 1);
    },
  });
  assert.equal(result.echo, result.echoes);
  assert.deepEqual(Object.keys(result.codes), ['ERR_MANYCORE_LINK_CORRUPT'], stderr);
});

test('workers overwrite large messages while they are read', async (t) => {
  const { result, stderr } = await play(t, {
    env: { SCRIBBLER },
    async primary({ cluster, require }) {
      const { configureLink } = require(process.env.CLUSTER);
      process.on('warning', () => {});
      const seen = { received: 0, looked: 0, codes: {} };
      for (let round = 0; round < 8; round++) {
        cluster.setupPrimary({ serialization: round % 2 === 0 ? 'advanced' : 'json' });
        const worker = cluster.fork({ SEED: String(round) });
        worker.on('error', ({ code }) => (seen.codes[code] = (seen.codes[code] ?? 0) + 1));
        configureLink(worker, { views: round % 4 === 0 });
        const exit = new Promise((resolve) => worker.once('exit', resolve));
        await new Promise((resolve) => {
          let left = 60;
          worker.on('message', (message) => {
            seen.received++;
            const { bytes } = message ?? {};
            if (bytes instanceof Uint8Array) {
              for (const byte of bytes.subarray(-5000)) seen.looked += byte >= 0;
            }
            if (--left === 0) resolve();
          });
          exit.then(resolve);
        });
        worker.process.kill('SIGKILL');
        await exit;
      }
      return seen;
    },
    worker({ require }) {
      process.on('warning', () => {});
      process.on('uncaughtException', () => {});
      const { scribbleInStores } = require(process.env.SCRIBBLER);
      const MIB = 1024 * 1024;
      const isBinary = Number(process.env.SEED) % 2 === 0;
      const parts = Array.from({ length: 60_000 }, (_, i) => ({
        i,
        text: `text ${i}`,
        list: [i, 'x'.repeat(20)],
      }));
      const message = isBinary
        ? { bytes: new Uint8Array(3 * MIB), more: [new Uint8Array(1000), 'end'] }
        : { parts, text: 'x'.repeat(3 * MIB) };
      let round = 0;
      process.on('message', () => {});
      setInterval(() => {
        for (let i = 0; i < 4 && process.connected; i++) process.send(message, () => {});
        if (round > 1) scribbleInStores(Number(process.env.SEED) * 1000 + round, 12 * MIB);
        round++;
      }, 1);
    },
  });
  assert.ok(result?.received > 16 && result.looked > 0, stderr);
  assert.deepEqual(Object.keys(result.codes), ['ERR_MANYCORE_LINK_CORRUPT'], stderr);
});

test(
  'a worker that publishes records without end does not hold up the primary',
  { timeout: 120_000 },
  async (t) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-endless-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const kinds = [Kind.SKIP, Kind.FRAGMENT, Kind.SERIALIZED];
    const { result, stderr } = await play(t, {
      env: { SCRIBBLER, FOLDER: folder, KINDS: JSON.stringify(kinds) },
      async primary({ cluster, until, require }) {
        const fs = require('node:fs');
        const outcomes = [];
        for (const kind of JSON.parse(process.env.KINDS)) {
          const file = `${process.env.FOLDER}/${kind}`;
          const worker = cluster.fork({ KIND: String(kind), FILE: file });
          let code;
          worker.on('error', (error) => (code = error.code));
          const ended = new Promise((resolve) => worker.once('exit', resolve));
          await new Promise((resolve) => worker.once('message', resolve));
          worker.send('begin');
          await until(() => code !== undefined || fs.existsSync(file));
          worker.process.kill('SIGKILL');
          await ended;
          outcomes.push(code ?? 'read on');
        }
        return outcomes;
      },
      worker({ require }) {
        const fs = require('node:fs');
        const { laneOf, peek, poke, ringAll } = require(process.env.SCRIBBLER);
        const CAPACITY = 8 * 1024 * 1024;
        process.on('message', () => {
          const lane = laneOf(() => process.send('where does this go?'));
          const wordAt = (at) => new Int32Array(peek(lane + at, 4).buffer)[0];
          const tail = () => wordAt(128);
          // Not longer than the test, if that is ended.
          const until = performance.now() + 60_000;
          while (tail() !== wordAt(0) && performance.now() < until);
          let from = tail();
          const words = new Uint32Array(CAPACITY / 4);
          // A record may start where the ring ends.
          const record = [16, Number(process.env.KIND), 5000, 0];
          for (let i = 0; i < words.length; i++) words[i] = record[(i - (from >> 2)) & 3];
          poke(lane + 4096, new Uint8Array(words.buffer));
          // Publishes everything anew whenever the primary has read some of it.
          for (let rounds = 0; performance.now() < until;) {
            const at = tail();
            poke(lane, new Uint8Array(new Int32Array([at + CAPACITY]).buffer));
            if (tail() === at) ringAll();
            if (((tail() - from) | 0) < CAPACITY) continue;
            from = tail();
            if (++rounds === 5) fs.writeFileSync(process.env.FILE, '');
          }
        });
        process.send('ready');
      },
    });
    assert.deepEqual(result, ['ERR_MANYCORE_LINK_CORRUPT', 'ERR_MANYCORE_LINK_CORRUPT', 'read on'], stderr);
  },
);

test('any number of messages disguised as internal ones is handled without failure', async (t) => {
  const COUNT = 30_000;
  const { result, stderr } = await play(t, {
    env: { COUNT: String(COUNT) },
    async primary({ cluster, once }) {
      const worker = cluster.fork();
      await once(worker, 'message');
      let internal = 0;
      worker.process.on('internalMessage', ({ disguised }) => (internal += disguised === true));
      worker.send('go');
      // All of them have arrived before the first one is read.
      const done = once(worker, 'message');
      await new Promise(setImmediate);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
      const [message] = await done;
      worker.disconnect();
      return { message, internal };
    },
    worker() {
      process.on('message', () => {
        for (let i = 0; i < Number(process.env.COUNT); i++) {
          process.send({
            disguised: true,
            get cmd() {
              return 'NODE_CLUSTER';
            },
          });
        }
        process.send('done');
      });
      process.send('ready');
    },
  });
  assert.deepEqual(result, { message: 'done', internal: COUNT }, stderr);
});

test("a broken link disconnects the worker and emits 'error' on it if there is a listener", async (t) => {
  const { result, stderr } = await play(t, {
    env: { SCRIBBLER },
    async primary({ cluster, once }) {
      const seen = [];
      const worker = cluster.fork();
      worker.on('error', ({ name, code }) => seen.push([name, code, worker.isConnected()]));
      worker.on('disconnect', () => seen.push('disconnect'));
      await once(worker, 'message');
      worker.send('break it');
      // `once` of the events module would reject on 'error'.
      const exit = await new Promise((resolve) => worker.once('exit', (...args) => resolve(args)));
      // This one has no error listener.
      const other = cluster.fork();
      await once(other, 'message');
      other.send('break it');
      const [warning] = await once(process, 'warning');
      await once(other, 'exit');
      return { seen, exit, warning: warning.code };
    },
    worker({ require }) {
      const { laneOf, poke } = require(process.env.SCRIBBLER);
      process.on('message', () => {
        const lane = laneOf(() => process.send('where does this go?'));
        setInterval(() => {
          if (!process.connected) return;
          process.send('awake');
          // More is published than there is, and none of it is a record.
          poke(lane + 4096, new Uint8Array(65_536).fill(0xf8));
          poke(lane, new Uint8Array([0, 0xff, 0, 0]));
        }, 1);
      });
      process.send('ready');
    },
  });
  assert.deepEqual(result.seen, [['Error', 'ERR_MANYCORE_LINK_CORRUPT', false], 'disconnect']);
  assert.deepEqual(result.exit, [0, null]);
  assert.equal(result.warning, 'ERR_MANYCORE_LINK_CORRUPT');
  assert.match(stderr, /ERR_MANYCORE_LINK_CORRUPT|The peer of a link/);
});
