'use strict';

/*
 * Workers are killed while both sides send as fast as they can: everything a worker sent arrives, complete and in
 * order, before its end is announced; messages it did not receive are reported; and nothing of it is left.
 */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { play } = require('./support/scenario');

const ROUNDS = 200;
const AT_ONCE = 4;

test(`${ROUNDS} workers are killed under full message load`, async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-death-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const { result } = await play(t, {
    env: { FOLDER: folder, ROUNDS: String(ROUNDS), AT_ONCE: String(AT_ONCE) },
    nodeArgs: ['--expose-gc'],
    async primary({ cluster, until, require }) {
      const fs = require('node:fs');
      const { FOLDER, ROUNDS, AT_ONCE } = process.env;
      const descriptors = () => fs.readdirSync('/proc/self/fd').length;
      const mappings = () => fs.readFileSync('/proc/self/maps', 'utf8').split('manycore-link').length - 1;
      const wrong = [];
      let received = 0;

      const round = async (number) => {
        const file = `${FOLDER}/${number}`;
        fs.writeFileSync(file, '0 0'.padEnd(24));
        const worker = cluster.fork({ FILE: file });
        const seen = { next: 0, sent: 0, called: 0, failed: 0, isGone: false };
        let start;
        const started = new Promise((resolve) => (start = resolve));
        worker.on('message', ({ n, text }) => {
          if (seen.isGone) wrong.push(`${number}: a message after 'disconnect'`);
          if (n !== seen.next++ || text.length !== n % 700) {
            wrong.push(`${number}: ${n} is not ${seen.next - 1}`);
          }
          start();
        });
        worker.on('disconnect', () => (seen.isGone = true));
        const exited = new Promise((resolve) => worker.once('exit', (code, signal) => resolve(signal)));
        const gone = new Promise((resolve) => worker.once('disconnect', resolve));
        await started;
        let isKilled = false;
        setTimeout(() => {
          isKilled = worker.process.kill('SIGKILL');
        }, Math.random() * 8);
        while (worker.isConnected() && !seen.isGone) {
          // More than the ring holds, so that some are waiting when it dies; but limited.
          for (let i = 0, flows = true; i < 300 && flows; i++) {
            seen.sent++;
            flows = worker.send({ n: i, text: 't'.repeat(i * 10) }, (error) => {
              seen.called++;
              if (error) seen.failed++;
            });
          }
          await new Promise(setImmediate);
        }
        const [signal] = await Promise.all([exited, gone]);
        await until(() => seen.called === seen.sent);
        const [sent, published] = fs.readFileSync(file, 'utf8').trim().split(' ').map(Number);
        if (!isKilled || signal !== 'SIGKILL') wrong.push(`${number}: ended by ${signal}`);
        // If killed between sending and recording, it has sent one more.
        if (seen.next < published || seen.next > sent + 1) {
          wrong.push(`${number}: ${seen.next} messages of ${published} to ${sent}`);
        }
        received += seen.next;
        return seen.failed;
      };

      let next = 0;
      let failed = 0;
      const some = async (count) => {
        while (count-- > 0) failed += await round(next++);
      };
      await Promise.all(Array.from({ length: Number(AT_ONCE) }, () => some(1)));
      globalThis.gc();
      const before = { descriptors: descriptors() };
      await Promise.all(
        Array.from({ length: Number(AT_ONCE) }, () => some(Number(ROUNDS) / Number(AT_ONCE) - 1)),
      );
      await until(() => {
        globalThis.gc();
        return mappings() === 0;
      });
      await until(() => descriptors() <= before.descriptors);
      return { wrong, rounds: next, received, failed };
    },
    worker({ require }) {
      const fs = require('node:fs');
      const fd = fs.openSync(process.env.FILE, 'r+');
      process.on('message', () => {});
      let n = 0;
      // Messages waiting for room die with this process; the number of those called back for is in shared memory.
      let published = 0;
      const onPublished = () => published++;
      const flood = () => {
        for (let i = 0; i < 200; i++) {
          process.send({ n, text: 'w'.repeat(n % 700) }, onPublished);
          n++;
          fs.writeSync(fd, `${n} ${published}`.padEnd(24), 0);
        }
        setImmediate(flood);
      };
      flood();
    },
  });
  assert.deepEqual(result.wrong, []);
  assert.equal(result.rounds, ROUNDS);
  assert.ok(result.received > ROUNDS * 10, String(result.received));
});

test('large messages of a worker that is killed arrive, and those it did not receive leave nothing', async (t) => {
  for (const serialization of ['json', 'advanced']) {
    const { result, stderr } = await play(t, {
      env: { SERIALIZATION: serialization },
      nodeArgs: ['--expose-gc'],
      async primary({ cluster, until, require }) {
        const fs = require('node:fs');
        const mappings = () => fs.readFileSync('/proc/self/maps', 'utf8').split('manycore-link').length - 1;
        const { SERIALIZATION } = process.env;
        cluster.setupPrimary({ serialization: SERIALIZATION });
        const make = (fill) => {
          const text = String(fill % 10).repeat(3 * 1024 * 1024 + fill);
          return SERIALIZATION === 'json' ? { fill, text } : { fill, text: Buffer.from(text) };
        };
        const seen = { right: 0, called: 0, mappings: 0 };
        for (let round = 0; round < 6; round++) {
          const worker = cluster.fork();
          const ready = new Promise((resolve) => worker.once('message', resolve));
          const gone = new Promise((resolve) => worker.once('disconnect', resolve));
          await ready;
          let isGone = false;
          gone.then(() => (isGone = true));
          worker.on('message', ({ fill, text }) => {
            if (isGone) return;
            const wanted = String(fill % 10).repeat(3 * 1024 * 1024 + fill);
            seen.right += (SERIALIZATION === 'json' ? text : Buffer.from(text).toString()) === wanted;
          });
          // It does not read any more, so that these stay where they are.
          for (let i = 0; i < 20; i++) worker.send(make(i), () => seen.called++);
          await until(() => !worker.isConnected());
          await gone;
        }
        await until(() => seen.called === 6 * 20);
        await until(() => {
          globalThis.gc();
          return mappings() === 0;
        });
        return seen;
      },
      worker() {
        const { SERIALIZATION } = process.env;
        process.on('message', () => {});
        process.send('ready', () => {
          for (let fill = 0; fill < 4; fill++) {
            const text = String(fill % 10).repeat(3 * 1024 * 1024 + fill);
            process.send(SERIALIZATION === 'json' ? { fill, text } : { fill, text: Buffer.from(text) });
          }
          process.kill(process.pid, 'SIGKILL');
        });
      },
    });
    assert.deepEqual(result, { right: 6 * 4, called: 6 * 20, mappings: 0 }, stderr);
  }
});
