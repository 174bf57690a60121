'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const vm = require('node:vm');

const { describeError, rebuildError } = require('../lib/link/call-errors');
const { WATCHDOG, start } = require('./support/worker');

/* Errors thrown by a handler reach the requester unchanged. */

/** @param {any} thrown */
const passed = (thrown) => rebuildError(structuredClone(describeError(thrown)));

/** Returns what the caller of a worker catches. */
function caught(worker, value) {
  try {
    worker.call(value);
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: 'nothing was thrown' });
}

test('class, message, code, cause, own properties and stack are preserved', WATCHDOG, (t) => {
  const worker = start(
    t,
    `const { parentPort } = require('worker_threads');
     parentPort.onRequest(function failing() {
       const error = new RangeError('too far', { cause: new TypeError('inside', { cause: 'a text' }) });
       throw Object.assign(error, { code: 'E_FAR', details: { limit: 3, at: new Date(7) } });
     });`,
  );
  const error = caught(worker, 1);
  assert.ok(error instanceof RangeError);
  assert.equal(error.message, 'too far');
  assert.equal(error.code, 'E_FAR');
  assert.deepEqual(error.details, { limit: 3, at: new Date(7) });
  assert.ok(error.cause instanceof TypeError);
  assert.equal(error.cause.cause, 'a text');
  assert.match(error.stack, /^RangeError: too far\n.*failing/);
  assert.deepEqual(Object.keys(error), ['code', 'details']);
});

test("Node's own errors keep their codes", WATCHDOG, async (t) => {
  const worker = start(
    t,
    `const { parentPort } = require('worker_threads'); const fs = require('fs');
     parentPort.onRequest(async (path) => path === null ? Buffer.alloc('x') : fs.promises.readFile(path));`,
  );
  await assert.rejects(worker.request('/does/not/exist'), {
    name: 'Error',
    code: 'ENOENT',
    errno: -2,
    syscall: 'open',
    path: '/does/not/exist',
  });
  await assert.rejects(worker.request(null), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
});

test('thrown values that are not errors are preserved', () => {
  for (const value of [
    undefined,
    null,
    0,
    'text',
    { class: 'Error', list: 1 },
    [1, { a: 2 }],
    new Map([[1, 2]]),
  ]) {
    assert.deepEqual(passed(value), value);
  }
  assert.equal(passed(Symbol('s')), 'Symbol(s)');
  assert.equal(
    passed(() => {}),
    '() => {}',
  );
});

test('user-defined error classes arrive as the built-in class they extend, with their name preserved', () => {
  class HttpError extends TypeError {
    name = 'HttpError';
    status = 404;
  }
  const error = passed(new HttpError('gone'));
  assert.ok(error instanceof TypeError);
  assert.deepEqual([error.name, error.message, error.status], ['HttpError', 'gone', 404]);
  class Inherited extends Error {}
  Inherited.prototype.name = 'Inherited';
  assert.equal(passed(new Inherited('x')).toString(), 'Inherited: x');
});

test(
  'a suppressed error keeps its class and both errors',
  { skip: globalThis.SuppressedError === undefined },
  () => {
    const { SuppressedError } = globalThis;
    const error = passed(new SuppressedError(new RangeError('one'), new TypeError('two'), 'both'));
    assert.ok(error instanceof SuppressedError);
    assert.equal(error.message, 'both');
    assert.ok(error.error instanceof RangeError);
    assert.ok(error.suppressed instanceof TypeError);
    assert.deepEqual(Object.keys(error), []);
  },
);

test('aggregate errors, DOMExceptions and cyclic causes are preserved', () => {
  const aggregate = passed(new AggregateError([new RangeError('one'), 'two'], 'both'));
  assert.ok(aggregate instanceof AggregateError);
  assert.ok(aggregate.errors[0] instanceof RangeError);
  assert.equal(aggregate.errors[1], 'two');
  const exception = passed(new DOMException('no', 'NotSupportedError'));
  assert.ok(exception instanceof DOMException);
  assert.deepEqual([exception.name, exception.code, exception.message], ['NotSupportedError', 9, 'no']);
  const first = new Error('first');
  first.cause = new Error('second', { cause: first });
  const cycle = passed(first);
  assert.equal(cycle.cause.cause, cycle);
  assert.equal(cycle.cause.message, 'second');
});

test('uncloneable properties of an error do not prevent the rest from arriving', () => {
  const error = new Error('whole', { cause: { method() {} } });
  error.handle = () => {};
  error.list = [() => {}];
  Object.defineProperty(error, 'bad', {
    get() {
      throw new Error('getter');
    },
  });
  const copy = passed(error);
  assert.equal(copy.message, 'whole');
  assert.equal(copy.handle, undefined);
  assert.match(copy.cause, /could not be cloned/);
  assert.match(copy.list, /could not be cloned/);
});

test('errors of another context keep their class and properties', () => {
  const error = passed(
    vm.runInNewContext(`
      const error = new TypeError('foreign', { cause: new RangeError('inside') });
      Object.assign(error, { code: 'E_FOREIGN', errors: [new SyntaxError('listed')] })`),
  );
  assert.ok(error instanceof TypeError);
  assert.equal(error.message, 'foreign');
  assert.equal(error.code, 'E_FOREIGN');
  assert.match(error.stack, /^TypeError: foreign\n/);
  assert.ok(error.cause instanceof RangeError);
  assert.ok(error.errors[0] instanceof SyntaxError);
});

test(
  'whatever a handler throws or returns, the caller gets an error and the worker goes on',
  WATCHDOG,
  async (t) => {
    const worker = start(
      t,
      `const { parentPort } = require('worker_threads');
     const fail = (error) => { throw error; };
     const traps = (error) => new Proxy(new Error(), new Proxy({}, { get: () => () => fail(error) }));
     const own = new Proxy({}, new Proxy({}, { get: () => () => fail(own) }));
     const results = {
       'a getter of then': () => ({ get then() { throw new RangeError('then'); } }),
       'traps that throw': () => fail(traps(new Error('trap'))),
       'traps that throw it': () => fail(own),
       'no prototype': () => fail(Object.create(null)),
       'a getter of message': () => fail(Object.defineProperty(new Error(), 'message', { get: () => fail(1) })),
       'a function': () => () => {},
       'causes without end': () => {
         let error = new Error();
         for (let i = 0; i < 100_000; i++) error = new Error('outer', { cause: error });
         throw error;
       },
     };
     parentPort.onRequest((name) => name === null ? Object.keys(results) : results[name]());`,
    );
    const seen = {};
    for (const name of await worker.request(null)) {
      seen[name] = await worker.request(name).then(
        () => 'no error',
        (error) => error?.name ?? typeof error,
      );
      assert.equal(caught(worker, name)?.name ?? 'object', seen[name]);
    }
    assert.deepEqual(seen, {
      'a getter of then': 'RangeError',
      'traps that throw': 'DataCloneError',
      'traps that throw it': 'DataCloneError',
      'no prototype': 'object',
      'a getter of message': 'Error',
      'a function': 'DataCloneError',
      'causes without end': 'RangeError',
    });
  },
);
