'use strict';

/*
 * Either end of a link between processes is killed, or ends, in each of the link's states. Everything it sent is
 * received, complete and in order; the sender is told the outcome of each message to it once; waiting calls fail;
 * and the other end keeps nothing of the link, although the program keeps the worker object.
 */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { Program, isRunning } = require('./support/program');
const { play } = require('./support/scenario');

const GONE = 'ERR_MANYCORE_PEER_GONE';

/**
 * The states in which a worker ends, and the expected outcome: how many of its messages were received (`some`: not
 * all of those waiting for room), and how a call of the primary ended.
 */
const WORKER_STATES = {
  starting: { received: 0 },
  idle: { received: 10 },
  'in the middle of a burst': { received: 2000 },
  'with records waiting for room in the ring': { received: 'some', call: GONE },
  'while waiting for the ring to drain': { received: 'some', call: GONE },
  'during a request to the other side': { received: 10, isAsked: true },
  'during a blocking call to the other side': { received: 10, isAsked: true },
  'while answering a blocking call': { received: 10, call: GONE },
  'while polling for messages': { received: 50 },
};

for (const how of ['is killed', 'exits']) {
  test(`a worker ${how} in each state of its link`, async (t) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'manycore-death-'));
    t.after(() => fs.rmSync(folder, { recursive: true }));
    const { result, stderr } = await play(t, {
      env: { FOLDER: folder, HOW: how, STATES: JSON.stringify(Object.keys(WORKER_STATES)) },
      nodeArgs: ['--expose-gc'],
      async primary({ cluster, once, until, require }) {
        const fs = require('node:fs');
        const { linkStatus, linkDrained } = require(process.env.CLUSTER);
        const held = () => ({
          descriptors: fs.readdirSync('/proc/self/fd').length,
          mappings: fs.readFileSync('/proc/self/maps', 'utf8').split('manycore-link').length - 1,
        });
        const kept = [];

        const play = async (state) => {
          const file = `${process.env.FOLDER}/${kept.length}`;
          fs.writeFileSync(file, '0');
          const worker = cluster.fork({ STATE: state, FILE: file });
          kept.push(worker);
          const seen = { received: 0, sent: 0, ok: 0, failed: 0, isInOrder: true, isAsked: false };
          const send = (count) => {
            for (let i = 0; i < count; i++) {
              seen.sent++;
              worker.send({ i }, (error) => (error ? seen.failed++ : seen.ok++));
            }
          };
          worker.on('message', ({ n }) => {
            seen.isInOrder &&= n === seen.received;
            seen.received++;
            if (state === 'idle' && n === 9) (send(20), worker.send('end'));
            if (state === 'while polling for messages') worker.send('echo');
          });
          worker.onRequest((value, { signal }) => {
            signal.addEventListener('abort', () => (seen.isAsked = value === 'mine'));
            // As a request, which a blocked worker serves.
            worker.request('end').catch(() => {});
            return new Promise(() => {});
          });
          const exited = once(worker, 'exit');
          if (state === 'starting') {
            send(20);
            worker.process.kill('SIGKILL');
          } else if (state.includes('room') || state.includes('drain') || state.includes('answering')) {
            await once(worker, 'online');
            send(20);
            try {
              worker.call(state);
            } catch ({ code }) {
              seen.call = code;
            }
          } else {
            await once(worker, 'online');
            send(20);
          }
          const pending = worker.request('never').catch(({ code }) => code);
          [seen.code, seen.signal] = await exited;
          send(20);
          seen.pending = await pending;
          await until(() => seen.ok + seen.failed === seen.sent);
          seen.status = linkStatus(worker);
          seen.isDrained = await linkDrained(worker);
          // Number of messages received and sent by the worker, as far as it got to record them.
          [seen.arrived, seen.posted = 0] = fs.readFileSync(file, 'utf8').split(' ').map(Number);
          return seen;
        };

        await play('idle');
        await until(() => (globalThis.gc(), held().mappings === 0));
        const { descriptors } = held();
        const results = {};
        for (const state of JSON.parse(process.env.STATES)) results[state] = await play(state);
        await until(() => (globalThis.gc(), held().mappings === 0 && held().descriptors <= descriptors));
        return { results, kept: kept.length };
      },
      worker({ cluster, require }) {
        const fs = require('node:fs');
        const { configureLink, linkStatus, linkDrained } = require(process.env.CLUSTER);
        const { STATE, FILE, HOW } = process.env;
        const fd = fs.openSync(FILE, 'r+');
        let arrived = 0;
        let n = 0;
        const note = () => fs.writeSync(fd, `${arrived} ${n}`.padEnd(24), 0);
        const end = () => {
          note();
          if (HOW === 'exits') process.exit(7);
          process.kill(process.pid, 'SIGKILL');
        };
        const send = (count, text) => {
          for (let i = 0; i < count; i++) process.send({ n: n++, text });
        };
        process.on('message', (message) => {
          if (message === 'end') end();
          else if (message !== 'echo') (arrived++, note());
          else if (n === 50) end();
          else send(1);
        });
        cluster.worker.onRequest((value) => {
          if (value === 'never') return new Promise(() => {});
          if (value !== 'end' && value !== 'while answering a blocking call') {
            while (!linkStatus(process).needsDrain) send(1, 'x'.repeat(4000));
          }
          if (value.includes('drain')) linkDrained(process);
          end();
        });
        if (STATE === 'while polling for messages') {
          configureLink(process, { latency: 'low' });
          send(1);
        } else if (STATE === 'in the middle of a burst') {
          for (let i = 0; i < 3000; i++) {
            send(1);
            if (n === 2000) end();
          }
        } else if (!STATE.includes('room') && !STATE.includes('drain')) {
          send(10);
        }
        if (STATE.startsWith('during a request')) cluster.worker.request('mine').catch(() => {});
        if (STATE.startsWith('during a blocking call')) cluster.worker.call('mine');
      },
    });
    assert.ok(result, stderr);
    assert.equal(result.kept, Object.keys(WORKER_STATES).length + 1);
    for (const [state, { received, call, isAsked = false }] of Object.entries(WORKER_STATES)) {
      const seen = result.results[state];
      const text = `${state}: ${JSON.stringify(seen)}`;
      const isKilled = how === 'is killed' || state === 'starting';
      assert.deepEqual([seen.code, seen.signal], isKilled ? [null, 'SIGKILL'] : [7, null], text);
      assert.ok(seen.isInOrder, text);
      if (received === 'some') assert.ok(seen.received > 0 && seen.received <= seen.posted, text);
      else assert.equal(seen.received, received, text);
      assert.equal(seen.ok + seen.failed, seen.sent, text);
      assert.ok(seen.failed >= 20 && seen.arrived <= seen.ok, text);
      // All 40 earlier messages had been received when it was told to end.
      if (state === 'idle') assert.deepEqual([seen.arrived, seen.ok, seen.failed], [40, 40, 20], text);
      assert.deepEqual([seen.call, seen.isAsked, seen.pending], [call, isAsked, GONE], text);
      assert.deepEqual(
        [seen.status, seen.isDrained],
        [{ bufferedAmount: 0, needsDrain: false }, false],
        text,
      );
    }
  });
}

/** The states in which a primary is killed, and how many of its messages its worker must have received. */
const PRIMARY_STATES = {
  idle: { received: 10 },
  'in the middle of a burst': { received: 2000 },
  'with records waiting for room in the ring': { received: 'some' },
  'while waiting for the ring to drain': { received: 'some' },
  'during a request to the other side': { received: 10, isAsked: true },
  'during a blocking call to the other side': { received: 10, isAsked: true },
  'while answering a blocking call': { received: 10, call: GONE },
  'while polling for messages': { received: 50 },
};

for (const [state, { received, isAsked = false, call }] of Object.entries(PRIMARY_STATES)) {
  test(`a primary is killed ${state}`, async (t) => {
    const primary = async ({ cluster, once, require }) => {
      const { configureLink, linkStatus, linkDrained } = require(process.env.CLUSTER);
      const { STATE } = process.env;
      const end = () => process.kill(process.pid, 'SIGKILL');
      const worker = cluster.fork();
      let n = 0;
      const send = (count, text) => {
        for (let i = 0; i < count; i++) worker.send({ n: n++, text });
      };
      worker.onRequest((value) => {
        if (value === 'end') end();
        return value === 'ready' ? value : new Promise(() => {});
      });
      if (STATE === 'while polling for messages') {
        configureLink(worker, { latency: 'low' });
        worker.on('message', () => (n === 50 ? end() : send(1)));
      }
      await once(worker, 'message');
      const alive = new Promise(() => {});
      if (STATE === 'while polling for messages') return alive;
      if (STATE === 'in the middle of a burst') {
        for (let i = 0; i < 3000; i++) {
          send(1);
          if (n === 2000) end();
        }
      } else if (STATE.includes('room') || STATE.includes('drain')) {
        while (!linkStatus(worker).needsDrain) send(1, 'x'.repeat(4000));
        if (STATE.includes('drain')) await Promise.race([linkDrained(worker), new Promise(setImmediate)]);
        end();
      } else send(10);
      if (STATE.startsWith('during a request')) worker.request('mine').catch(() => {});
      if (STATE.startsWith('during a blocking call')) worker.call('mine');
      return alive;
    };
    const worker = async ({ cluster, once, until, require }) => {
      const fs = require('node:fs');
      const { linkStatus, linkDrained } = require(process.env.CLUSTER);
      const { STATE } = process.env;
      const held = () => ({
        eventfds: fs.readdirSync('/proc/self/fd').filter((fd) => {
          try {
            return fs.readlinkSync(`/proc/self/fd/${fd}`).includes('eventfd');
          } catch {
            return false;
          }
        }).length,
        mappings: fs.readFileSync('/proc/self/maps', 'utf8').split('manycore-link').length - 1,
      });
      const before = held();
      const kill = () => process.kill(process.ppid, 'SIGKILL');
      const { worker } = cluster;
      // Otherwise it would exit when its primary dies.
      worker.exitedAfterDisconnect = true;
      const seen = { received: 0, isInOrder: true, sent: 0, ok: 0, failed: 0, isAsked: false };
      const send = (message) => {
        seen.sent++;
        process.send(message, (error) => (error ? seen.failed++ : seen.ok++));
      };
      process.on('message', ({ n }) => {
        seen.isInOrder &&= n === seen.received;
        seen.received++;
        if (STATE === 'while polling for messages') send('again');
        if (n < 9) return;
        if (STATE === 'idle') kill();
        else if (STATE === 'while answering a blocking call') {
          try {
            worker.call('end');
          } catch ({ code }) {
            seen.call = code;
          }
        }
      });
      worker.onRequest((value, { signal }) => {
        signal.addEventListener('abort', () => (seen.isAsked = value === 'mine'));
        setImmediate(kill);
        return new Promise(() => {});
      });
      const gone = once(process, 'disconnect');
      send('up');
      const pending = worker.request('ready').then((value) => worker.request(value === 'ready' && 'never'));
      pending.catch(() => {});
      await gone;
      for (let i = 0; i < 20; i++) send('late');
      seen.pending = await pending.catch(({ code }) => code);
      await until(() => seen.ok + seen.failed === seen.sent);
      seen.status = linkStatus(process);
      seen.isDrained = await linkDrained(process);
      await until(() => (globalThis.gc(), held().mappings === 0 && held().eventfds < before.eventfds));
      fs.writeSync(1, `seen ${JSON.stringify({ ...seen, pid: process.pid })}\n`);
      process.exit();
    };
    const SCENARIO = JSON.stringify({ primary: String(primary), worker: String(worker) });
    const program = new Program(['--expose-gc', path.join(__dirname, 'fixtures', 'scenario.js')], {
      env: { CLUSTER: path.join(__dirname, '..'), SCENARIO, STATE: state },
      ipc: true,
    });
    t.after(() => program.kill());
    const [text, json] = await program.printed(/seen (.*)\n/);
    const seen = JSON.parse(json);
    await program.ended();
    assert.equal(isRunning(seen.pid), false);
    assert.ok(seen.isInOrder, text);
    if (received === 'some') assert.ok(seen.received > 0, text);
    else assert.equal(seen.received, received, text);
    assert.equal(seen.ok + seen.failed, seen.sent, text);
    assert.ok(seen.failed >= 20, text);
    assert.deepEqual([seen.call, seen.isAsked, seen.pending], [call, isAsked, GONE], text);
    assert.deepEqual([seen.status, seen.isDrained], [{ bufferedAmount: 0, needsDrain: false }, false], text);
  });
}

test('a primary is killed before its worker has started', async (t) => {
  const primary = ({ cluster, require }) => {
    const worker = cluster.fork();
    for (let n = 0; n < 20; n++) worker.send({ n });
    require('node:fs').writeSync(1, `worker ${worker.process.pid}\n`);
    process.kill(process.pid, 'SIGKILL');
  };
  const SCENARIO = JSON.stringify({ primary: String(primary), worker: '() => setInterval(() => {}, 1000)' });
  const program = new Program([path.join(__dirname, 'fixtures', 'scenario.js')], {
    env: { CLUSTER: path.join(__dirname, '..'), SCENARIO },
    ipc: true,
  });
  t.after(() => program.kill());
  const [, pid] = await program.printed(/worker (\d+)\n/);
  // Including the last process that holds its output open.
  await program.ended();
  assert.equal(isRunning(Number(pid)), false);
});
