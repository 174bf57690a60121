'use strict';

/* User code behaves in our workers, and in spares that were taken over, as in Node's own. */

const assert = require('node:assert/strict');
const path = require('node:path');
const test = require('node:test');
const { pathToFileURL } = require('node:url');
const nodeThreads = require('node:worker_threads');

const { Worker } = require('manycore/worker_threads');
const { observe } = require('./support/observe');
const { WATCHDOG } = require('./support/worker');

const FOLDER = path.join(__dirname, 'fixtures', 'threads');
const file = (name) => path.join(FOLDER, name);
const [major, minor] = process.versions.node.split('.').map(Number);
const hasTypes = Boolean(process.features.typescript) || major >= 24 || (major === 22 && minor >= 18);

const EVAL = `
  const { parentPort, workerData } = require('node:worker_threads');
  const stack = new Error('here').stack.split('\\n')[1];
  import('node:path').then(({ sep }) => parentPort.postMessage({
    main: typeof require.main, filename: __filename, dirname: __dirname, id: module.id, file: module.filename,
    paths: module.paths, argv: process.argv, _eval: process._eval.length, workerData, stack, sep, self: this === globalThis,
    globals: [globalThis.module === module, globalThis.require === require, globalThis.exports === exports],
  }));`;

// Spares are not used for workers with different settings that Node reads at start.
for (const name of Object.keys(process.env)) {
  if (/^NODE_(?!TEST_)/.test(name)) delete process.env[name];
}

/** Name; script; options; what to do with the worker. */
const CASES = [
  ['a file', file('main.js'), { workerData: { a: [1n, new Map([[1, 2]])] }, argv: ['x', 5, null] }],
  ['a relative path', `./${path.relative(process.cwd(), file('main.js'))}`, {}],
  ['a file: URL', pathToFileURL(file('main.js')), { argv: ['y'] }],
  ['its own execArgv', file('main.js'), { execArgv: ['--no-warnings', '--conditions=x'] }],
  ['its own environment', file('main.js'), { env: { THREADS_TEST: 1, PATH: process.env.PATH } }],
  ['an empty environment', file('main.js'), { env: {} }],
  ['a shared environment', file('main.js'), { env: nodeThreads.SHARE_ENV }],
  ['an ECMAScript module', file('module.mjs'), { workerData: 'for a module', argv: ['z'] }],
  ['a missing file', file('missing.js'), {}],
  ['an uncaught exception', file('throws.js'), {}],
  ['an unhandled rejection', file('rejects.js'), {}],
  ['handlers for both', file('handled.js'), {}],
  ['a module that throws', file('throws.mjs'), {}],
  ['a module that never ends', file('never.mjs'), {}],
  ['process.exit', file('exits.js'), {}],
  ['stdio', file('speaks.js'), { stdin: true }, (worker) => worker.stdin.end('some text')],
  ['no stdin', file('speaks.js'), {}],
  ['a source map', file('mapped.js'), { execArgv: ['--enable-source-maps'] }],
  ['source', EVAL, { eval: true, workerData: [1], argv: ['e'] }],
  ['source that throws', 'const x = 1;\nthrow new RangeError("evaluated");', { eval: true }],
  ['source with a syntax error', 'const x = 1;\nlet let = x;', { eval: true }],
  ['empty source', '', { eval: true }],
  ['source of an ECMAScript module', "import 'node:fs'; process.exitCode = 3;", { eval: true }],
  ['a data: URL', new URL('data:text/javascript,process.exitCode = import.meta.url.length'), {}],
  ['limits', file('main.js'), { resourceLimits: { maxYoungGenerationSizeMb: 8, stackSizeMb: 2 } }],
  ['unmanaged descriptors', file('main.js'), { trackUnmanagedFds: false }],
  ['a name', file('main.js'), { name: ' a name ' }],
  ...(hasTypes ? [['TypeScript', file('typed.ts'), { execArgv: ['--no-warnings'] }]] : []),
];

/** Scripts that only Node's regular start can run. */
const COLD = ['source with a syntax error', 'source of an ECMAScript module', 'a data: URL'];

/** Below a script's own frames are those of its loader. */
function ownFrames(seen) {
  for (const error of [...(seen.errors ?? [])]) {
    error.stack = error.stack?.split('\n    at ').filter((frame) => !/node:|spare\.js/.test(frame));
  }
  return seen;
}

for (const [name, script, options, use] of CASES) {
  const all = { stdout: true, stderr: true, ...options };
  test(`${name}: behaves as in Node's worker, both in a cold worker and in a spare`, WATCHDOG, async () => {
    nodeThreads.setEnvironmentData('mine', { name });
    const expected = await observe(() => new nodeThreads.Worker(script, all), use);
    assert.deepEqual(await observe(() => new Worker(script, all), use), expected);
    await Worker.warm(1, all);
    const later = new nodeThreads.Worker('', { eval: true });
    let isTaken;
    const taken = await observe(() => {
      const worker = new Worker(script, { ...all, warm: true });
      isTaken = worker.threadId < later.threadId;
      return worker;
    }, use);
    await Worker.warm(0);
    assert.equal(isTaken, !COLD.includes(name));
    const isEval = options.eval === true;
    assert.deepEqual(isEval ? ownFrames(taken) : taken, isEval ? ownFrames(expected) : expected);
  });
}

test('objects in the transferList option are transferred', WATCHDOG, async () => {
  for (const warm of [false, true]) {
    if (warm) await Worker.warm(1);
    const { port1, port2 } = new MessageChannel();
    const bytes = new ArrayBuffer(8);
    const worker = new Worker(
      `const { workerData, parentPort } = require('node:worker_threads');
       workerData.port.postMessage(workerData.bytes.byteLength); workerData.port.close();`,
      { eval: true, workerData: { port: port2, bytes }, transferList: [port2, bytes], warm },
    );
    const exit = new Promise((resolve) => worker.once('exit', resolve));
    assert.equal(bytes.byteLength, 0);
    const received = await new Promise((resolve) => port1.once('message', resolve));
    assert.equal(received, 8);
    assert.equal(await exit, 0);
  }
  await Worker.warm(0);
});

test('invalid options throw the same errors as in Node', WATCHDOG, async () => {
  const refused = [
    ['relative.js'],
    ['https://example.com/x.js'],
    [undefined],
    [5],
    [new URL('https://example.com/')],
    [Symbol('x')],
    [() => {}, { eval: true }],
    ['', { eval: true, argv: 'x' }],
    ['', { eval: true, execArgv: 'x' }],
    ['', { eval: true, execArgv: ['--no-such-option'] }],
    ['', { eval: true, env: 5 }],
    ['', { eval: true, env: { NODE_OPTIONS: '--no-such-option' } }],
    ['', { eval: true, name: 5 }],
    ['', { eval: true, workerData: () => {} }],
    ['', { eval: true, workerData: Symbol('x') }],
    ['', { eval: true, transferList: [5] }],
  ];
  await Worker.warm(1);
  for (const [filename, options] of refused) {
    const attempt = (Class, more) => {
      try {
        new Class(filename, options && { ...options, ...more });
        return 'accepted';
      } catch ({ name, code, message }) {
        return { name, code, message };
      }
    };
    const expected = attempt(nodeThreads.Worker);
    assert.notEqual(expected, 'accepted');
    assert.deepEqual(attempt(Worker), expected);
    assert.deepEqual(attempt(Worker, { warm: true }), expected);
  }
  await Worker.warm(0);
});
