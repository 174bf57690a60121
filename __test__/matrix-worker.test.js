'use strict';

/*
 * Every method and property of a Worker in every state of its life cycle, on Node's own class and on ours: with lanes
 * from the first message on, with lanes later, and as a spare that was taken over. All must have the same results.
 */

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { after, test } = require('node:test');
const { Worker: NodeWorker } = require('node:worker_threads');

const { Worker } = require('../lib/threads');
const { state: launch } = require('../lib/threads/launch');
const { WATCHDOG } = require('./support/worker');

const SOURCE = `
const { parentPort, workerData } = require('node:worker_threads');
if (workerData?.echoes) process.stdin.pipe(process.stdout);
parentPort.on('message', (message) => {
  if (message !== 'block') return parentPort.postMessage(['echo', message]);
  parentPort.postMessage('blocked');
  for (;;);
});
parentPort.onRequest?.((value) => value + 1);
parentPort.postMessage('here');`;

const USUAL = launch.lanesAfter;
/** Creates a worker. @type {Record<string, (options?: import('node:worker_threads').WorkerOptions) => any>} */
const WAYS = {
  'lanes later': (options) => {
    launch.lanesAfter = USUAL;
    return new Worker(SOURCE, { eval: true, ...options });
  },
  'lanes at once': (options) => {
    launch.lanesAfter = 0;
    return new Worker(SOURCE, { eval: true, ...options });
  },
  async 'a spare'({ workerData, ...booted } = {}) {
    launch.lanesAfter = USUAL;
    await Worker.warm(1, booted);
    return new Worker(SOURCE, { eval: true, warm: true, workerData, ...booted });
  },
};

/** Puts a worker into a state. @type {Record<string, (worker: any) => Promise<unknown> | void>} */
const STATES = {
  starting() {},
  online: (worker) => once(worker, 'message'),
  async blocked(worker) {
    await once(worker, 'message');
    worker.postMessage('block');
    await once(worker, 'message');
  },
  async terminating(worker) {
    await once(worker, 'message');
    worker.terminate();
  },
  async dead(worker) {
    await once(worker, 'message');
    await worker.terminate();
  },
};

/** Describes a stream, without its contents. @param {any} stream */
const kindOf = (stream) => (stream === null ? null : [typeof stream, stream.readable, stream.destroyed]);

/**
 * Calls a method, and returns the part of the result that is compared.
 * @type {Record<string, (worker: any, state: string) => any>}
 */
const METHODS = {
  postMessage: (worker) => worker.postMessage({ a: [1] }),
  'postMessage without a value': (worker) => worker.postMessage(),
  'postMessage of a value that cannot be cloned': (worker) => worker.postMessage(() => {}),
  'postMessage with a transfer list': (worker) => {
    const { buffer } = new Uint8Array(8);
    worker.postMessage(buffer, [buffer]);
    return buffer.byteLength;
  },
  async 'the reply to a message'(worker, state) {
    if (state !== 'starting' && state !== 'online') return worker.postMessage('lost');
    const answered = new Promise((resolve) =>
      worker.on('message', (message) => Array.isArray(message) && resolve(message)),
    );
    worker.postMessage('ask');
    return answered;
  },
  ref: (worker) => worker.ref(),
  unref: (worker) => worker.unref(),
  async 'terminate, twice'(worker, state) {
    const codes = await Promise.all([worker.terminate(), worker.terminate()]);
    return state === 'starting' ? codes.map((code) => typeof code) : codes;
  },
  threadId: (worker) => worker.threadId > 0,
  // Not known before the thread runs.
  resourceLimits: ({ resourceLimits }, state) =>
    state === 'starting' ? Object.keys(resourceLimits) : resourceLimits,
  stdio: (worker) => [worker.stdin, kindOf(worker.stdout), kindOf(worker.stderr)],
  async 'stdio that is piped'(worker, state) {
    const { stdin, stdout, stderr } = worker;
    const kinds = [stdin.writable, kindOf(stdout), kindOf(stderr)];
    if (state !== 'starting' && state !== 'online') return [kinds, typeof stdin.write('lost')];
    stdin.write('text');
    return [kinds, String(...(await once(stdout, 'data')))];
  },
  utilization(worker) {
    const { performance } = worker;
    const first = performance.eventLoopUtilization();
    const since = performance.eventLoopUtilization(first);
    const zero = Object.values(first).every((value) => value === 0);
    return [Object.keys(performance), Object.keys(first), Object.keys(since), zero];
  },
  async getHeapSnapshot(worker) {
    const stream = await worker.getHeapSnapshot();
    stream.resume();
    await once(stream, 'end');
    return 'a snapshot';
  },
  'getHeapSnapshot with wrong options': (worker) => worker.getHeapSnapshot({ exposeInternals: 'no' }),
  listeners: (worker) => worker.on('message', () => {}).off('message', () => {}) === worker,
  emit: (worker) => worker.once('own', () => {}).emit('own', 1),
};
/** What some versions of Node have. */
const MEASURES = {
  getHeapStatistics: async (worker) => Object.keys(await worker.getHeapStatistics()).sort(),
  cpuUsage: async (worker) => Object.keys(await worker.cpuUsage()).sort(),
  async 'cpuUsage since an earlier one'(worker) {
    return Object.keys(await worker.cpuUsage(await worker.cpuUsage())).sort();
  },
  'cpuUsage since nonsense': (worker) => worker.cpuUsage({ user: -1 }),
};
for (const name of ['startCpuProfile', 'startHeapProfile']) {
  MEASURES[name] = async (worker) => {
    const profile = await worker[name]();
    const [first, second] = [await profile.stop(), await profile.stop()];
    return [Object.keys(JSON.parse(first)).sort(), first === second];
  };
}
for (const [name, method] of Object.entries(MEASURES)) {
  if (name.split(' ')[0] in NodeWorker.prototype) METHODS[name] = method;
}
if ('threadName' in NodeWorker.prototype) METHODS.threadName = (worker) => worker.threadName;
if (Symbol.asyncDispose in NodeWorker.prototype) {
  METHODS.asyncDispose = (worker) => worker[Symbol.asyncDispose]();
}
/** Options of the workers of a method. */
const OPTIONS = {
  threadName: { name: ' its name ' },
  'stdio that is piped': { stdin: true, stdout: true, stderr: true, workerData: { echoes: true } },
};

/** Cells in which two runs of Node's own class may differ: the thread has just started, or just ended. */
const MAY_BE_GONE = { getHeapSnapshot: ['starting'], stdio: ['terminating'] };
MAY_BE_GONE['stdio that is piped'] = ['terminating'];
MAY_BE_GONE.utilization = ['terminating'];
for (const name of Object.keys(MEASURES)) MAY_BE_GONE[name] = ['starting', 'terminating'];
/**
 * A heap snapshot of a thread that is about to stop crashes Node itself (observed with its own class, on 20 to 26).
 */
const isFatal = (name, state) => name === 'getHeapSnapshot' && state === 'terminating';

/** @param {unknown} error */
const told = (error) => ({ threw: [error.name, error.code, typeof error.message] });

/**
 * Outcome of a call: a value, an exception, or the outcome of a promise by the time the worker has exited.
 * @param {() => any} act
 * @param {Promise<unknown>} exited
 */
async function outcomeOf(act, exited) {
  let result;
  try {
    result = act();
  } catch (error) {
    return told(error);
  }
  if (typeof result?.then !== 'function') return { returned: result };
  const settled = result.then((value) => ({ fulfilled: value }), told);
  const gone = exited.then(async () => {
    // Whatever the exit settles is settled by then.
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
    return 'never settled';
  });
  return Promise.race([settled, gone]);
}

/**
 * @param {() => any} make returns a worker or a promise for one
 * @param {string} state
 * @param {(worker: any, state: string) => any} method
 * @param {boolean} [endsIt] whether the worker is ended before the outcome is determined
 */
async function play(make, state, method, endsIt = false) {
  const worker = await make();
  const errors = [];
  worker.on('error', (error) => errors.push(error.name));
  const exit = once(worker, 'exit');
  await STATES[state](worker);
  const outcome = outcomeOf(() => method(worker, state), exit);
  if (endsIt) await worker.terminate();
  const result = await outcome;
  await worker.terminate();
  const [code] = await exit;
  // A thread that is stopped before it has started to run ends with 0.
  return { result, errors, code: state === 'starting' ? typeof code : code };
}

/** An unref'd worker does not keep the test alive. */
const hold = setInterval(() => {}, 1e6);
after(() => (clearInterval(hold), Worker.warm(0)));

for (const state of Object.keys(STATES)) {
  test(`methods of a worker that is ${state}`, { timeout: 240_000 }, async (t) => {
    let cells = 0;
    const own = new Map();
    const methods = Object.entries(METHODS).filter(([name]) => !isFatal(name, state));
    for (const [name, method] of methods) {
      const make = () => new NodeWorker(SOURCE, { eval: true, ...OPTIONS[name] });
      own.set(name, await play(make, state, method));
    }
    for (const [way, make] of Object.entries(WAYS)) {
      await t.test(way, WATCHDOG, async () => {
        for (const [name, method] of methods) {
          const ours = await play(() => make(OPTIONS[name]), state, method);
          if (MAY_BE_GONE[name]?.includes(state)) assert.deepEqual(ours.errors, own.get(name).errors, name);
          else assert.deepEqual(ours, own.get(name), name);
          cells++;
        }
      });
    }
    assert.equal(cells, methods.length * Object.keys(WAYS).length);
  });
}

/** Methods that only our class has. */
const REQUESTS = {
  request: {
    act: (worker) => worker.request(1),
    starting: { fulfilled: 2 },
    online: { fulfilled: 2 },
  },
  'call, with a limit': {
    act: (worker) => worker.call(1, { timeoutMs: 60_000 }),
    starting: { returned: 2 },
    online: { returned: 2 },
  },
  onRequest: {
    act: (worker) => worker.onRequest(() => {}) === worker,
    ...Object.fromEntries(Object.keys(STATES).map((state) => [state, { returned: true }])),
  },
};
const GONE = { threw: ['Error', 'ERR_MANYCORE_PEER_GONE', 'string'] };

for (const [way, make] of Object.entries(WAYS)) {
  test(`requests in every state, ${way}`, WATCHDOG, async () => {
    for (const state of Object.keys(STATES)) {
      for (const [name, { act, [state]: expected = GONE }] of Object.entries(REQUESTS)) {
        // It would wait for as long as possible.
        if (state === 'blocked' && name.startsWith('call')) continue;
        const { result } = await play(make, state, act, state === 'blocked');
        assert.deepEqual(result, expected, `${name}, ${state}`);
      }
    }
    const worker = await make();
    await STATES.blocked(worker);
    assert.throws(() => worker.call(1, { timeoutMs: 20 }), { code: 'ERR_MANYCORE_TIMEOUT' });
    await worker.terminate();
  });
}
