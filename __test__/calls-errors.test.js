'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const vm = require('node:vm');

const { describeError, rebuildError } = require('../lib/link/call-errors');
const { play } = require('./support/scenario');
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

test('errors in the properties of an error keep their own, however deep and in cycles', () => {
  const coded = (code, more) => Object.assign(new TypeError(`of ${code}`), { code, ...more });
  const shared = coded('E_SHARED');
  const outer = coded('E_OUTER');
  class Details {
    constructor(error) {
      this.error = error;
    }
  }
  Object.assign(outer, {
    plain: { deep: Object.assign([{ deeper: shared }], { 2: 3 }) },
    list: Object.assign([1, shared], { named: coded('E_NAMED') }),
    map: new Map([
      ['shared', shared],
      [coded('E_KEY'), new Set([coded('E_MEMBER', { outer })])],
    ]),
    instance: new Details(coded('E_INSTANCE')),
    bare: Object.assign(Object.create(null), { error: coded('E_BARE') }),
    cause: { error: new AggregateError([{ error: coded('E_AGGREGATED') }], 'both') },
    foreign: vm.runInNewContext(`({ error: Object.assign(new RangeError(), { code: 'E_FOREIGN' }) })`),
    date: new Date(7),
  });
  outer.cycle = { outer, plain: outer.plain };
  outer.cycle.itself = outer.cycle;
  Object.defineProperty(outer.plain, '__proto__', { enumerable: true, value: coded('E_NAME') });

  const copy = passed(outer);
  const copyOfShared = copy.plain.deep[0].deeper;
  assert.ok(copyOfShared instanceof TypeError);
  assert.deepEqual([copyOfShared.code, copyOfShared.message], ['E_SHARED', 'of E_SHARED']);
  assert.deepEqual(Object.keys(copy.plain.deep), ['0', '2']);
  assert.equal(Object.getOwnPropertyDescriptor(copy.plain, '__proto__').value.code, 'E_NAME');
  assert.equal(copy.list[1], copyOfShared);
  assert.equal(copy.list.named.code, 'E_NAMED');
  assert.equal(copy.map.get('shared'), copyOfShared);
  const [, [key, members]] = copy.map;
  assert.equal(key.code, 'E_KEY');
  assert.equal([...members][0].code, 'E_MEMBER');
  assert.equal([...members][0].outer, copy);
  assert.equal(copy.instance.error.code, 'E_INSTANCE');
  assert.equal(Object.getPrototypeOf(copy.instance), Object.prototype);
  assert.equal(copy.bare.error.code, 'E_BARE');
  assert.ok(copy.cause.error instanceof AggregateError);
  assert.equal(copy.cause.error.errors[0].error.code, 'E_AGGREGATED');
  assert.ok(copy.foreign.error instanceof RangeError);
  assert.equal(copy.foreign.error.code, 'E_FOREIGN');
  assert.deepEqual(copy.date, new Date(7));
  assert.equal(copy.cycle.outer, copy);
  assert.equal(copy.cycle.itself, copy.cycle);
  assert.equal(copy.cycle.plain, copy.plain);
});

test('thrown values that contain errors keep the properties of those', () => {
  const error = Object.assign(new RangeError('inside'), { code: 'E_INSIDE' });
  const [copy, { again }] = passed([error, { again: error }]);
  assert.ok(copy instanceof RangeError);
  assert.equal(copy.code, 'E_INSIDE');
  assert.equal(again, copy);
});

test('a property that cannot be cloned does not take the errors in it along', () => {
  const error = new Error('outer');
  const inner = Object.assign(new Error('inner'), { code: 'E_INNER' });
  error.bad = { inner, method() {} };
  inner.bad = error.bad;
  error.good = { inner, fine: 1 };
  const copy = passed(error);
  assert.match(copy.bad, /could not be cloned/);
  assert.equal(copy.good.inner.code, 'E_INNER');
  assert.match(copy.good.inner.bad, /could not be cloned/);
  assert.equal(copy.good.fine, 1);
  const thrown = passed({ inner, method() {} });
  assert.equal(thrown.name, 'DataCloneError');
});

test('getters in the properties of an error run once, and deep ones arrive', () => {
  let runs = 0;
  let deep = { end: true };
  for (let i = 0; i < 1200; i++) deep = { deep };
  const error = Object.assign(new Error('x'), {
    details: {
      get runs() {
        return ++runs;
      },
      error: new Error('inside'),
    },
    deep,
  });
  const description = describeError(error);
  assert.equal(runs, 1);
  let copy = rebuildError(description);
  assert.equal(copy.details.runs, 1);
  for (copy = copy.deep; !copy.end; copy = copy.deep) assert.equal(typeof copy.deep, 'object');
});

test('what no thrower sends is refused, however long the lists claim to be', () => {
  const holes = new Array(2 ** 32 - 1);
  const error = (/** @type {object} */ more) => ({
    whole: [0],
    objects: [{ class: 'Error', message: '', ...more }],
  });
  const invalid = [
    null,
    { whole: [0], objects: holes },
    { whole: [0], objects: [{ set: holes }] },
    { whole: [0], objects: [{ map: holes }] },
    { whole: [0], objects: [{ entries: holes }] },
    { whole: [0], objects: [null] },
    error({ properties: holes }),
    error({ properties: [1] }),
    error({ message: { toString: 1 } }),
  ];
  for (const description of invalid) assert.throws(() => rebuildError(description), TypeError);
  // Legitimate: an array with holes in a property.
  const copy = passed(Object.assign(new Error('x'), { holes, inner: [new Error('y')] }));
  assert.equal(copy.holes.length, holes.length);
  assert.deepEqual(Object.keys(copy.holes), []);
  // Names that mean something else to an assignment.
  const own = rebuildError({
    whole: [0],
    objects: [{ entries: [['__proto__', [1]]] }, { entries: [['x', 1]] }],
  });
  assert.equal(Object.getPrototypeOf(own), Object.prototype);
  assert.deepEqual(Object.keys(own), ['__proto__']);
});

test('nested errors keep their properties between threads and processes', WATCHDOG, async (t) => {
  const serve = `onRequest(() => {
    const inner = Object.assign(new TypeError('inner'), { code: 'E_INNER' });
    throw Object.assign(new RangeError('outer'), { details: { errors: new Map([[1, [inner]]]) } });
  })`;
  const isWhole = (error) => {
    const [inner] = error.details.errors.get(1);
    assert.ok(error instanceof RangeError && inner instanceof TypeError);
    assert.equal(inner.code, 'E_INNER');
    return true;
  };
  const worker = start(t, `require('worker_threads').parentPort.${serve}`);
  assert.throws(() => worker.call(1), isWhole);
  await assert.rejects(worker.request(1), isWhole);
  const { result } = await play(t, {
    env: { SERVE: serve },
    async primary({ cluster }) {
      const worker = cluster.fork();
      const error = await worker.request(1).catch((thrown) => thrown);
      worker.disconnect();
      const [inner] = error.details.errors.get(1);
      return [error instanceof RangeError, inner instanceof TypeError, inner.code];
    },
    worker({ cluster }) {
      new Function('worker', `worker.${process.env.SERVE}`)(cluster.worker);
    },
  });
  assert.deepEqual(result, [true, true, 'E_INNER']);
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
