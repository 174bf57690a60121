'use strict';

/* Requests and blocking calls between a cluster's primary and its workers. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const { Program, isRunning } = require('./support/program');
const { play } = require('./support/scenario');

const SCRIBBLER = path.join(__dirname, 'fixtures', 'scribbler.js');

test('both sides make requests and blocking calls, including nested ones', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster }) {
      const worker = cluster.fork();
      worker.onRequest(async (n) => (n === 0 ? 'bottom' : worker.request(n - 1)));
      const requested = await worker.request(4);
      worker.onRequest((n) => (n === 0 ? 'ground' : worker.call(n - 1)));
      const called = worker.call(5);
      const order = await Promise.all(Array.from({ length: 2000 }, (_, i) => worker.request({ i })));
      return { requested, called, inOrder: order.every(({ i, n }, at) => i === at && n === at) };
    },
    worker({ cluster }) {
      let n = 0;
      cluster.worker.onRequest((value) => {
        if (typeof value === 'object') return { i: value.i, n: n++ };
        return value === 0
          ? 'bottom'
          : value % 2 === 0
            ? cluster.worker.request(value - 1)
            : cluster.worker.call(value - 1);
      });
    },
  });
  assert.deepEqual(result, { requested: 'bottom', called: 'ground', inOrder: true });
});

test("values are cloned as with serialization: 'advanced', regardless of the channel's setting", async (t) => {
  const { result } = await play(t, {
    primary({ cluster, require }) {
      const assert = require('node:assert/strict');
      const v8 = require('node:v8');
      const worker = cluster.fork();
      const shared = { x: 1 };
      const cycle = { list: [1, 3], shared: [shared, shared] };
      cycle.self = cycle;
      const values = [
        undefined,
        null,
        -0,
        NaN,
        10n,
        'text',
        '\u{1F600}\ud800',
        new Date(5),
        /a+/giu,
        new Map([[{ a: 1 }, new Set([1])]]),
        Buffer.from('bytes'),
        new Float64Array([1.5, NaN]),
        new DataView(new ArrayBuffer(8), 2, 3),
        [new RangeError('why')],
        cycle,
        new Array(3),
        { __proto__: null, a: 1 },
        'x'.repeat(5_000_000),
        Buffer.alloc(3_000_000, 7),
      ];
      for (const value of values) assert.deepEqual(worker.call(value), v8.deserialize(v8.serialize(value)));
      const back = worker.call(cycle);
      assert.ok(back.self === back && back.shared[0] === back.shared[1]);
      // Host objects, which the lane leaves to the runtime, as Node's channel sends them.
      assert.deepEqual(worker.call({ url: new URL('http://a/') }), { url: {} });
      const buffer = new ArrayBuffer(8);
      const codes = [() => {}, Symbol('s'), new SharedArrayBuffer(8), { deep: [() => {}] }].map((value) => {
        try {
          return worker.call(value);
        } catch (error) {
          return error.name;
        }
      });
      try {
        worker.call(buffer, { transferList: [buffer] });
      } catch (error) {
        codes.push(error.name, buffer.byteLength);
      }
      return { count: values.length, codes };
    },
    worker({ cluster }) {
      cluster.worker.onRequest((value) => value);
    },
  });
  assert.equal(result.count, 19);
  const refused = 'DataCloneError';
  assert.deepEqual(result.codes, [refused, refused, refused, refused, refused, 8]);
});

test('errors are preserved in both directions', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster }) {
      const worker = cluster.fork();
      class Refusal extends TypeError {}
      worker.onRequest(() => {
        const error = new Refusal('no', { cause: new RangeError('why') });
        throw Object.assign(error, { code: 'E_NO', own: { list: [1] } });
      });
      const describe = (error) => ({
        name: error.name,
        isType: error instanceof TypeError,
        message: error.message,
        code: error.code,
        own: error.own,
        cause: error.cause && [error.cause instanceof RangeError, error.cause.message],
        hasStack: String(error.stack).includes('Refusal') || String(error.stack).includes('no'),
      });
      const seen = [];
      for (const ask of [() => worker.call('pass it on'), () => worker.request('pass it on')]) {
        try {
          await ask();
        } catch (error) {
          seen.push(describe(error));
        }
      }
      const uncloneable = await worker.request('uncloneable').catch(({ name }) => name);
      // Threads could share it, processes cannot.
      const shared = await worker.request('shared').catch(({ name, code, memory }) => [name, code, memory]);
      return { seen, uncloneable, shared, sane: await worker.request('sane') };
    },
    worker({ cluster }) {
      cluster.worker.onRequest((value) => {
        if (value === 'uncloneable') return { f() {} };
        if (value === 'shared') {
          throw Object.assign(new RangeError('no'), { code: 'E_NO', memory: new SharedArrayBuffer(1) });
        }
        return value === 'sane' ? value : cluster.worker.call(value);
      });
    },
  });
  const whole = {
    isType: true,
    message: 'no',
    code: 'E_NO',
    own: { list: [1] },
    cause: [true, 'why'],
    hasStack: true,
  };
  for (const error of result.seen) assert.deepEqual(error, { name: error.name, ...whole });
  assert.deepEqual([result.seen.length, result.uncloneable, result.sane], [2, 'DataCloneError', 'sane']);
  assert.deepEqual(result.shared.slice(0, 2), ['RangeError', 'E_NO']);
  assert.match(result.shared[2], /could not be cloned/);
});

test('timeouts, abort signals and mutual blocking calls are handled', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, once }) {
      const worker = cluster.fork();
      await once(worker, 'message');
      const codeOf = async (ask) => {
        try {
          return await ask();
        } catch (error) {
          return typeof error.code === 'string' ? error.code : error.name;
        }
      };
      const limits = [
        await codeOf(() => worker.call('never', { timeoutMs: 5 })),
        await codeOf(() => worker.request('never', { timeoutMs: 5 })),
        await codeOf(() => worker.request('never', { signal: AbortSignal.abort() })),
        await codeOf(() => worker.call(1, { timeoutMs: -1 })),
      ];
      // Cancelled in the worker: its handler is notified.
      const aborted = await worker.request('aborted');
      // Neither side has a handler: the one that detects it continues with an error.
      worker.send('drop the handler, and call');
      await once(worker, 'message');
      const own = await codeOf(() => worker.call('to a blocked one'));
      // If the other side has not detected it, it gets a reply now.
      worker.onRequest((value) => value);
      const [others] = await once(worker, 'message');
      const after = await worker.request('again');
      return { limits, aborted, own, others, after };
    },
    worker({ cluster }) {
      const { worker } = cluster;
      let aborted = 0;
      const answer = (value, { signal }) => {
        if (value === 'aborted') return aborted;
        if (value !== 'never') return value;
        return new Promise(() => signal.addEventListener('abort', () => aborted++));
      };
      worker.onRequest(answer);
      process.send('ready');
      process.on('message', () => {
        worker.onRequest(null);
        process.send('calling');
        let code;
        try {
          worker.call('to a blocked one');
        } catch (error) {
          code = error.code;
        }
        worker.onRequest(answer);
        process.send(code ?? 'answered');
      });
    },
  });
  assert.deepEqual(result.limits, [
    'ERR_MANYCORE_TIMEOUT',
    'ERR_MANYCORE_TIMEOUT',
    'AbortError',
    'ERR_OUT_OF_RANGE',
  ]);
  assert.equal(result.aborted, 2);
  // One of the two suffices to unblock both.
  assert.ok([result.own, result.others].includes('ERR_MANYCORE_DEADLOCK'), JSON.stringify(result));
  assert.equal(result.after, 'again');
});

test('large values are exchanged while both sides are blocked, and messages keep flowing', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, once }) {
      const worker = cluster.fork();
      await once(worker, 'message');
      worker.onRequest((bytes) => bytes);
      const bytes = Buffer.alloc(40_000_000, 1);
      let flows = true;
      let sent = 0;
      const called = new Set();
      // More than the message lane holds: some messages wait, and are moved while this thread is blocked.
      while (flows) {
        flows = worker.send({ n: sent++, text: 'm'.repeat(100_000) }, (error) => called.add(error));
      }
      worker.send('end');
      const seen = worker.call({ bytes, there: 'and back' });
      const [count] = await once(worker, 'message');
      return { isWhole: bytes.equals(seen), lacking: sent - count, called: [...called] };
    },
    worker({ cluster }) {
      cluster.worker.onRequest(({ bytes }) => cluster.worker.call(bytes));
      let count = 0;
      process.on('message', (message) => (message === 'end' ? process.send(count) : count++));
      process.send('ready');
    },
  });
  assert.deepEqual(result, { isWhole: true, lacking: 0, called: [null] });
});

test('large requests and replies go through memory of the link that is used again', async (t) => {
  const { result } = await play(t, {
    env: { SCRIBBLER },
    async primary({ cluster, once, require }) {
      const scribbler = require(process.env.SCRIBBLER);
      const stores = () => new Set(scribbler.stores().map(({ file }) => file)).size;
      const worker = cluster.fork();
      await once(worker, 'message');
      const seen = { before: stores(), whole: 0 };
      const expected = new Uint8Array(1_000_000);
      const echoes = (fill, { bytes, text, among }) =>
        Buffer.from(bytes.buffer).equals(expected.fill(fill)) && text.length === 600_000 && among === fill;
      for (let i = 0; i < 20; i++) {
        const value = { bytes: new Uint8Array(1_000_000).fill(i), text: 'x'.repeat(600_000), among: i };
        if (echoes(i, worker.call(value))) seen.whole++;
        const [first, second] = [worker.request(value), worker.request({ ...value, among: i })];
        if (echoes(i, await first) && echoes(i, await second)) seen.whole++;
      }
      // One for each direction.
      seen.after = stores();
      return seen;
    },
    worker({ cluster }) {
      cluster.worker.onRequest((value) => value);
      process.send('ready');
    },
  });
  assert.deepEqual(result, { before: 0, whole: 40, after: 2 });
});

test('a handler may await messages sent before the call', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, once }) {
      const worker = cluster.fork();
      await once(worker, 'message');
      let sent = 0;
      for (let flows = true; flows; sent++) flows = worker.send({ text: 'm'.repeat(100_000) });
      return worker.call(sent) === sent;
    },
    worker({ cluster }) {
      let count = 0;
      let reached = () => {};
      process.on('message', () => {
        count++;
        reached();
      });
      cluster.worker.onRequest(
        (expected) =>
          new Promise((resolve) => {
            reached = () => count === expected && resolve(count);
            reached();
          }),
      );
      process.send('ready');
    },
  });
  assert.equal(result, true);
});

test('pending requests settle when a worker disconnects, exits or has no addon', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, once }) {
      const codeOf = async (ask) => {
        try {
          return await ask();
        } catch (error) {
          return error.code;
        }
      };
      const seen = {};
      for (const how of ['exit', 'disconnect', 'abort']) {
        const worker = cluster.fork();
        await once(worker, 'message');
        const answered = worker.request('answer');
        const pending = codeOf(() => worker.request('wait'));
        const called = codeOf(() => worker.call(how));
        seen[how] = [await answered, await called, await pending, await codeOf(() => worker.request(1))];
      }
      const plain = cluster.fork({ NODE_OPTIONS: '--no-addons' });
      seen.plain = [await codeOf(() => plain.request(1)), await codeOf(() => plain.call(1))];
      return seen;
    },
    worker({ cluster }) {
      cluster.worker.onRequest?.((value) => {
        if (value === 'answer') return value;
        if (value === 'exit') process.exit();
        if (value === 'disconnect') process.disconnect();
        if (value === 'abort') process.kill(process.pid, 'SIGKILL');
        return new Promise(() => {});
      });
      process.send('ready');
    },
  });
  const gone = 'ERR_MANYCORE_PEER_GONE';
  for (const how of ['exit', 'disconnect', 'abort']) {
    assert.deepEqual(result[how], ['answer', gone, gone, gone], how);
  }
  assert.deepEqual(result.plain, [gone, gone]);
});

test('a blocked worker exits when the primary is killed', async (t) => {
  const primary = ({ cluster }) => {
    const worker = cluster.fork();
    worker.onRequest(() => {
      process.stdout.write(`worker ${worker.process.pid}\n`);
      return new Promise(() => {});
    });
    return new Promise(() => {});
  };
  const worker = ({ cluster, require }) => {
    try {
      cluster.worker.call('for ever');
    } catch (error) {
      require('node:fs').writeSync(1, `${error.code}\n`);
    }
  };
  const SCENARIO = JSON.stringify({ primary: String(primary), worker: String(worker) });
  const program = new Program([path.join(__dirname, 'fixtures', 'scenario.js')], {
    env: { CLUSTER: path.join(__dirname, '..'), SCENARIO },
    ipc: true,
  });
  t.after(() => program.kill());
  const [, pid] = await program.printed(/worker (\d+)\n/);
  process.kill(program.pid, 'SIGKILL');
  await program.printed(/ERR_MANYCORE_PEER_GONE/);
  await program.ended();
  assert.equal(isRunning(Number(pid)), false);
});

test('60 workers are killed under full request load, blocked or not', async (t) => {
  const ROUNDS = 60;
  const { result } = await play(t, {
    env: { ROUNDS: String(ROUNDS) },
    async primary({ cluster, once }) {
      const counts = { rounds: 0, answered: 0, gone: 0, served: 0 };
      const wrong = [];
      for (let round = 0; round < Number(process.env.ROUNDS); round++) {
        const worker = cluster.fork({ SIZE: String(10 ** (round % 7)) });
        worker.onRequest((value) => (counts.served++, value));
        const exited = once(worker, 'exit');
        await once(worker, 'message');
        const text = 't'.repeat(10 ** (round % 7));
        let isKilled = false;
        setTimeout(() => (isKilled = worker.process.kill('SIGKILL')), Math.random() * 8);
        const take = (promise) =>
          promise.then(
            (value) => (value === text ? counts.answered++ : wrong.push('another answer')),
            ({ code }) => (code === 'ERR_MANYCORE_PEER_GONE' ? counts.gone++ : wrong.push(code)),
          );
        const pending = [];
        for (let turn = 0; !isKilled; turn++) {
          for (let i = 0; i < 20; i++) pending.push(take(worker.request(text)));
          pending.push(take((async () => worker.call(text))()));
          await new Promise(setImmediate);
        }
        // Blocked, so that only the system can tell of the death.
        for (let i = 0; i < 3; i++) await take((async () => worker.call(text))());
        await exited;
        await Promise.all(pending);
        await take(worker.request(text));
        counts.rounds++;
      }
      return { counts, wrong };
    },
    worker({ cluster }) {
      const { worker } = cluster;
      const text = 'w'.repeat(Number(process.env.SIZE));
      worker.onRequest((value) => value);
      process.send('ready');
      const ask = async () => {
        for (;;) {
          await Promise.all([worker.request(text), worker.request(text)]);
          worker.call(text);
        }
      };
      ask().catch(() => {});
    },
  });
  assert.deepEqual(result.wrong, []);
  assert.equal(result.counts.rounds, ROUNDS);
  for (const [what, count] of Object.entries(result.counts)) assert.ok(count >= ROUNDS, `${what}: ${count}`);
});

test('a worker that corrupts its lanes harms only itself', async (t) => {
  const { result, stderr } = await play(t, {
    env: { SCRIBBLER },
    async primary({ cluster, once }) {
      const reported = new Set();
      const good = cluster.fork({ ROLE: 'good' });
      await once(good, 'message');
      for (let round = 0; round < 16; round++) {
        const worker = cluster.fork({ ROLE: 'bad', SEED: String(round) });
        const exited = new Promise((resolve) => worker.once('exit', resolve));
        worker.on('error', ({ code }) => reported.add(code));
        worker.onRequest((value) => value);
        await once(worker, 'message');
        worker.send('go');
        const shortest = round % 4 === 3 ? 400_000 : 0;
        // Until it is detected, or the worker no longer replies.
        for (let turn = 0, missed = 0; turn < 400 && missed < 5; turn++) {
          let code = 'answered';
          try {
            const options = { timeoutMs: 50 };
            if (turn % 2) worker.call({ turn, text: 'x'.repeat(turn * 20 + shortest) }, options);
            else await worker.request({ turn }, options);
          } catch (error) {
            code = error.code ?? error.name;
          }
          if (code === 'ERR_MANYCORE_TIMEOUT') missed++;
          if (code === 'ERR_MANYCORE_LINK_CORRUPT' || code === 'ERR_MANYCORE_PEER_GONE') break;
          await new Promise(setImmediate);
        }
        worker.process.kill('SIGKILL');
        await exited;
      }
      return { reported: [...reported], echo: good.call('still here') };
    },
    worker({ cluster, require }) {
      const { ROLE, SEED, SCRIBBLER } = process.env;
      cluster.worker.onRequest((value) => value);
      if (ROLE === 'good') return process.send('ready');
      process.on('warning', () => {});
      process.on('uncaughtException', () => {});
      process.on('unhandledRejection', () => {});
      const { scribble, scribbleInStores } = require(SCRIBBLER);
      cluster.worker.request('first').catch(() => {});
      process.send('ready');
      let round = 0;
      const where = ['words', 'rings', 'all', 'stores'][Number(SEED) % 4];
      const isLarge = where === 'stores';
      const list = Array.from({ length: isLarge ? 40_000 : 1 }, (_, i) => ({ i, text: `text ${i}` }));
      process.once('message', () => {
        setInterval(() => {
          const count = isLarge ? 3 : 20;
          for (let i = 0; i < count; i++) cluster.worker.request({ i, list }).catch(() => {});
          const seed = Number(SEED) * 1000 + round++;
          if (isLarge) scribbleInStores(seed, 6_000_000);
          else scribble(seed, where);
        }, 1);
      });
    },
  });
  assert.equal(result.echo, 'still here', stderr);
  assert.deepEqual(result.reported, ['ERR_MANYCORE_LINK_CORRUPT']);
});

test('killing a worker with an unreceived handle settles its requests and releases its link', async (t) => {
  const { result } = await play(t, {
    async primary({ cluster, net, once, require, until }) {
      const fs = require('node:fs');
      const open = () => fs.readdirSync('/proc/self/fd').length;
      const server = net.createServer().listen(0);
      await once(server, 'listening');
      const end = async () => {
        const worker = cluster.fork();
        await once(worker, 'message');
        worker.process.kill('SIGSTOP');
        worker.send('server', server);
        const answer = worker.request(1).catch(({ code }) => code);
        worker.process.kill('SIGKILL');
        await once(worker, 'exit');
        return answer;
      };
      const codes = [await end()];
      const before = open();
      for (let i = 0; i < 5; i++) codes.push(await end());
      // Resources of the last one are freed a little later.
      await until(() => open() <= before);
      server.close();
      return codes;
    },
    worker() {
      process.send('up');
    },
  });
  assert.deepEqual(result, Array(6).fill('ERR_MANYCORE_PEER_GONE'));
});
