'use strict';

/* Between processes as well, large buffers are lent on request, and links have settings. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const { play } = require('./support/scenario');

const SCRIBBLER = path.join(__dirname, 'fixtures', 'scribbler.js');

test('large buffers are lent to listeners that request views, on both sides', async (t) => {
  const { result, stderr } = await play(t, {
    async primary({ cluster, once, require }) {
      const { configureLink } = require(process.env.CLUSTER);
      cluster.setupPrimary({ serialization: 'advanced' });
      const worker = cluster.fork();
      await once(worker, 'message');
      const ask = async (message) => {
        const answer = new Promise((resolve) => worker.once('message', (...args) => resolve(args[0])));
        worker.send(message);
        return await answer;
      };
      const length = 1024 * 1024;
      const bytes = new Uint8Array(length).fill(7);
      const seen = { given: await ask({ bytes }), kept: await ask('kept') };
      seen.configured = await ask({ views: true });
      seen.rounds = 0;
      for (let round = 0; round < 100; round++) {
        bytes[length - 1] = round;
        const lent = await ask({ bytes, round });
        const kept = await ask('kept');
        if (lent.join() === `${[length, 0, 7, round]}` && kept === 0) seen.rounds++;
      }
      seen.kinds = [];
      for (const value of [
        new Float64Array(length / 8).fill(1.5),
        new BigUint64Array(length / 8).fill(3n),
        Buffer.alloc(length, 5),
        bytes.buffer,
        new DataView(bytes.buffer),
      ]) {
        seen.kinds.push(await ask({ kind: value, text: 'x'.repeat(seen.kinds.length) }), await ask('kept'));
      }
      seen.few = [await ask({ bytes: new Uint8Array(1000) }), await ask('kept')];
      seen.larger = [await ask({ bytes: new Uint8Array(9 * length).fill(4) }), await ask('kept')];
      // More than the memory of the link holds.
      seen.largest = [await ask({ bytes: new Uint8Array(65 * length).fill(4) }), await ask('kept')];
      // Values that only the platform can clone are sent in its own serialization, whose parts are retained.
      seen.serialized = [await ask({ bytes, blob: new Blob([]) }), await ask('kept')];
      seen.off = [await ask({ views: false }), await ask({ bytes }), await ask('kept')];

      // In the other direction: this side gets views of what the worker sends.
      configureLink(worker, { views: true });
      const many = [];
      const back = new Promise((resolve) => {
        worker.on('message', (message) => {
          if (message === 'done') return resolve();
          many.push([message, message[0], message[message.length - 1]]);
        });
      });
      worker.send('many');
      await back;
      seen.many = many.filter(
        ([view, first, last], i) => view.length === 0 && first === i && last === i,
      ).length;
      worker.disconnect();
      return seen;
    },
    worker({ require }) {
      const { configureLink } = require(process.env.CLUSTER);
      let kept;
      process.on('message', (message) => {
        if (message === 'kept') return process.send((kept.buffer ?? kept).byteLength);
        if (message === 'many') {
          for (let i = 0; i < 50; i++) process.send(Buffer.alloc(300_000, i));
          return process.send('done');
        }
        if (message.views !== undefined) return process.send(configureLink(process, message));
        kept = message.kind ?? message.bytes;
        if (message.kind === undefined) {
          return process.send([kept.length, kept.byteOffset, kept[0], kept[kept.length - 1]]);
        }
        const { buffer = kept } = kept;
        const sum = new Float64Array(buffer)[0] + new Uint8Array(kept.buffer ?? kept)[0];
        process.send([kept.constructor.name, kept.byteLength, sum]);
      });
      process.send('ready');
    },
  });
  const length = 1024 * 1024;
  assert.deepEqual(result?.given, [length, 0, 7, 7], stderr);
  assert.equal(result.kept, length);
  assert.equal(result.configured, true);
  assert.equal(result.rounds, 100);
  const double = (/** @type {Uint8Array} */ bytes) => new Float64Array(bytes.buffer)[0];
  const [seven, five] = [7, 5].map((byte) => double(new Uint8Array(8).fill(byte)));
  assert.deepEqual(result.kinds, [
    ...[['Float64Array', length, 1.5], 0],
    ...[['BigUint64Array', length, double(new Uint8Array(new BigUint64Array([3n]).buffer)) + 3], 0],
    ...[['Buffer', length, five + 5], 0],
    ...[['ArrayBuffer', length, seven + 7], 0],
    ...[['DataView', length, seven + 7], 0],
  ]);
  assert.deepEqual(result.few, [[1000, 0, 0, 0], 1000]);
  assert.deepEqual(result.larger, [[9 * length, 0, 4, 4], 0]);
  assert.deepEqual(result.largest, [[65 * length, 0, 4, 4], 0]);
  // A part of the serialized data, with all of it in its buffer.
  assert.ok(result.serialized[1] >= length);
  assert.deepEqual(result.off, [true, [length, 0, 7, 99], length]);
  assert.equal(result.many, 50);
});

test('a process link has settings that last as long as it does, and reports pending messages', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, once, require }) {
      const { configureLink, linkDrained, linkStatus } = require(process.env.CLUSTER);
      const worker = cluster.fork();
      await once(worker, 'message');
      const seen = { echoes: [] };
      const ask = async (message) => {
        const answer = once(worker, 'message');
        worker.send(message);
        return (await answer)[0];
      };
      for (const latency of ['low', 'frugal', 'balanced']) {
        seen.echoes.push(
          configureLink(worker, { latency }),
          await ask({ latency }),
          await ask({ echo: latency }),
        );
      }
      seen.process = configureLink(worker.process, { latency: 'balanced' });
      // It answers before it publishes its reading position.
      const drained = async () => {
        while (linkStatus(worker).bufferedAmount > 0) await new Promise(setImmediate);
        return linkStatus(worker);
      };
      seen.idle = await drained();
      await ask('block');
      for (let i = 0; i < 100; i++) worker.send('x'.repeat(1000));
      worker.send('x'.repeat(20_000_000));
      seen.waits = linkStatus(worker);
      seen.wentOn = await linkDrained(worker);
      seen.wentOnWith = linkStatus(worker).needsDrain;
      seen.after = await ask('count');
      seen.drained = await drained();
      worker.disconnect();
      await once(worker, 'exit');
      seen.ended = [configureLink(worker, { latency: 'low' }), linkStatus(worker), await linkDrained(worker)];
      return seen;
    },
    worker({ require }) {
      const { configureLink } = require(process.env.CLUSTER);
      let count = 0;
      process.on('message', (message) => {
        if (message.latency) process.send(configureLink(require('node:cluster').worker, message));
        else if (message.echo) process.send(message.echo);
        else if (message === 'count') process.send(count);
        else if (message === 'block') {
          process.send('blocked');
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
        } else count++;
      });
      process.send('ready');
    },
  });
  assert.deepEqual(
    result.echoes,
    ['low', 'frugal', 'balanced'].flatMap((latency) => [true, true, latency]),
  );
  assert.equal(result.process, true);
  const nothing = { bufferedAmount: 0, needsDrain: false };
  assert.deepEqual(result.idle, nothing);
  assert.ok(
    result.waits.bufferedAmount > 10_000_000 && result.waits.needsDrain,
    JSON.stringify(result.waits),
  );
  assert.deepEqual([result.wentOn, result.wentOnWith], [true, false]);
  assert.equal(result.after, 101);
  assert.deepEqual(result.drained, nothing);
  assert.deepEqual(result.ended, [false, nothing, false]);
});

test('a worker that corrupts lent memory or dies causes no failure', async (t) => {
  const { result, stderr } = await play(t, {
    env: { SCRIBBLER },
    async primary({ cluster, once, require }) {
      const { configureLink } = require(process.env.CLUSTER);
      cluster.setupPrimary({ serialization: 'advanced' });
      process.on('warning', () => {});
      let looked = 0;
      const lent = [];
      for (let round = 0; round < 6; round++) {
        const worker = cluster.fork({ SEED: String(round) });
        worker.on('error', () => {});
        configureLink(worker, { views: true });
        const exit = once(worker, 'exit');
        await new Promise((resolve) => {
          let left = 20;
          worker.on('message', (bytes) => {
            if (bytes === 'ready') return;
            lent.push(bytes);
            for (let i = 0; i < bytes.length; i += 64) looked += bytes[i] >= 0;
            // In every second round, it is dead while its buffer is being used.
            if (--left === 10 && round % 2 === 0) worker.process.kill('SIGKILL');
            if (left === 0) resolve();
          });
          exit.then(resolve);
        });
        worker.process.kill('SIGKILL');
        await exit;
      }
      return { looked, left: lent.filter((bytes) => bytes.length > 0).length };
    },
    worker({ require }) {
      process.on('warning', () => {});
      process.on('uncaughtException', () => {});
      const { scribble } = require(process.env.SCRIBBLER);
      process.on('message', () => {});
      let round = 0;
      setInterval(() => {
        for (let i = 0; i < 4 && process.connected; i++) process.send(new Uint8Array(200_000), () => {});
        if (round > 2) scribble(Number(process.env.SEED) * 1000 + round, 'rings');
        round++;
      }, 1);
      process.send('ready');
    },
  });
  assert.ok(result.looked > 0, stderr);
  assert.equal(result.left, 0);
});
