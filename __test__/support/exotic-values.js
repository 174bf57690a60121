/* eslint-disable no-sparse-arrays */
'use strict';

/*
 * Values that are rare in messages: each must be sent, or refused, exactly as by Node. Left out are views whose tag or length
 * is not their own, of which versions of Node send different parts.
 */

const vm = require('node:vm');
const { createSecretKey } = require('node:crypto');
const { Readable } = require('node:stream');
const { VIEWS } = require('./values');

class Bytes extends Uint8Array {}
class List extends Array {}
class Pairs extends Map {}
class Members extends Set {}
class When extends Date {}
class Failure extends RangeError {
  name = 'Failure';
  code = 'E_FAILURE';
}
class Private {
  #hidden = 1;
  shown = 2;
  get hidden() {
    return this.#hidden;
  }
}

/** @template {object} T @param {T} object @param {object} [properties] @returns {T} */
const withOwn = (object, properties = { own: 1 }) => Object.assign(object, properties);
/** @param {any} object @param {object | null} prototype */
const as = (object, prototype) => Object.setPrototypeOf(object, prototype);
const pattern = (/** @type {number} */ length) => Uint8Array.from({ length }, (_, i) => i * 7);

/** @param {typeof Uint8Array | typeof DataView} View */
function outOfBounds(View) {
  const all = new ArrayBuffer(8, { maxByteLength: 16 });
  const view = new View(all, 4);
  all.resize(2);
  return view;
}

function detached(/** @type {any} */ view) {
  structuredClone(view.buffer, { transfer: [view.buffer] });
  return view;
}

function shared() {
  const object = { shared: true };
  const list = [object, object];
  return { object, list, again: list, map: new Map([[object, list]]) };
}

function cyclic() {
  /** @type {any} */
  const value = { list: [], map: new Map(), set: new Set() };
  value.list.push(value, value.list);
  value.map.set(value, value.map).set(value.map, value);
  value.set.add(value.set).add(value);
  value.error = new RangeError('cyclic', { cause: value });
  return value;
}

/** @returns {[string, () => any][]} */
function exotic() {
  const buffer = () => pattern(32).buffer;
  return [
    ['-0 and others', () => [-0, NaN, Infinity, -Infinity, 2 ** 31, -(2 ** 31) - 1, 1e-320, undefined, null]],
    ['big integers', () => [0n, -1n, 2n ** 63n, -(2n ** 63n), 2n ** 64n, -(2n ** 200n), 123n]],
    ['lone surrogates', () => ['\ud800', 'a\udfff', '\u20ac', '\xff', '\0']],
    ['holes', () => [, 1, , undefined, ,]],
    ['holes and names', () => withOwn([, 1, ,], { named: 1, '-1': 2, 4294967295: 3 })],
    ['a sparse array', () => withOwn([], { 100_000: 1 })],
    ['an empty array of a length', () => new Array(1000)],
    ['frozen', () => Object.freeze([Object.freeze({ a: 1 })])],
    ['non-enumerable', () => Object.defineProperty({ a: 1 }, 'b', { value: 2 })],
    ['a non-enumerable element', () => Object.defineProperty([1, 2, 3], 1, { enumerable: false })],
    [
      'getters',
      () => ({
        get a() {
          return [1];
        },
        get b() {
          return this.a;
        },
      }),
    ],
    [
      'an element with a getter',
      () => Object.defineProperty([1, 2], 0, { enumerable: true, get: () => 'got' }),
    ],
    ['symbols as keys', () => ({ [Symbol('s')]: 1, a: 2 })],
    ['__proto__', () => JSON.parse('{"__proto__": {"a": 1}, "b": 2}')],
    ['integer keys', () => ({ b: 1, 2: 2, 1: 1, a: 0, '-0': 1, 4294967295: 2 })],
    ['no prototype', () => withOwn(Object.create(null), { a: 1 })],
    ['inherited', () => Object.create({ inherited: 1 }, { own: { value: 2, enumerable: true } })],
    ['shared', shared],
    ['cyclic', cyclic],
    ['a dictionary', () => Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`key ${i}`, i]))],
    ['deep', () => Array.from({ length: 1000 }).reduce((deep) => ({ deep }), null)],
    ['instances', () => [new Private(), new (class Unnamed {})(), as({ a: 1 }, as({ b: 2 }, null))]],
    ['a class with toJSON', () => ({ a: 1, toJSON: 1 })],
    ['dates', () => [new Date(0), new Date(NaN), new Date(8.64e15), withOwn(new Date(5)), new When(7)]],
    ['a foreign date', () => vm.runInNewContext('new Date(5)')],
    ['an object like a date', () => Object.create(Date.prototype)],
    ['a date as an object', () => as(new Date(3), Object.prototype)],
    ['lastIndex', () => withOwn(/a+/gy, { lastIndex: 7 })],
    ['a regexp with own properties', () => withOwn(/b/, { own: 1 })],
    ['regexps', () => [/\//u, new RegExp(''), /(?<n>x)\k<n>/dims, new RegExp('\\n')]],
    ['a regexp with a source of its own', () => Object.defineProperty(/a/, 'source', { value: 'b' })],
    ['boxed', () => [Object(1), Object(-0), Object('text'), Object(true), Object(5n), Object('')]],
    [
      'boxed with own properties',
      () => [withOwn(Object(1)), withOwn(Object('text')), withOwn(Object(false))],
    ],
    [
      'boxed as objects',
      () => [as(Object(1), Object.prototype), as(Object('ab'), Object.prototype), as(Object(true), null)],
    ],
    ['a boxed symbol', () => Object(Symbol('s'))],
    [
      'errors',
      () => [
        new Error('a'),
        new TypeError(),
        new Error(''),
        withOwn(new RangeError('b'), { code: 'E', own: 1 }),
      ],
    ],
    [
      'errors with causes',
      () => [
        new Error('a', { cause: new TypeError('b', { cause: [1] }) }),
        new Error('c', { cause: undefined }),
      ],
    ],
    ['error classes', () => [new Failure('x'), new AggregateError([new Error('y')], 'z')]],
    [
      'an error with another name',
      () => [withOwn(new Error('a'), { name: 'TypeError' }), withOwn(new Error('b'), { name: 'Other' })],
    ],
    [
      'an error with another message',
      () => [withOwn(new Error('a'), { message: 5 }), withOwn(new Error('b'), { stack: 6 })],
    ],
    [
      'an error with accessors',
      () => Object.defineProperty(new Error('a'), 'cause', { get: () => 1, enumerable: true }),
    ],
    [
      'an error without a stack',
      () => {
        const error = new Error('a');
        delete error.stack;
        return error;
      },
    ],
    ['an error as an object', () => as(new Error('a'), Object.prototype)],
    ['an object like an error', () => Object.create(Error.prototype)],
    ['a foreign error', () => vm.runInNewContext('new TypeError("foreign")')],
    ['a DOMException', () => new DOMException('message', 'AbortError')],
    [
      'maps',
      () => [
        new Map([
          [NaN, -0],
          [-0, NaN],
          [{}, []],
          ['__proto__', 1],
        ]),
        withOwn(new Map()),
        new Pairs([[1, 2]]),
      ],
    ],
    ['sets', () => [new Set([1, '1', {}, null]), withOwn(new Set()), new Members([1])]],
    ['a map as an object', () => as(new Map([[1, 2]]), Object.prototype)],
    ['a set without a prototype', () => as(new Set([1]), null)],
    [
      'foreign collections',
      () => vm.runInNewContext('[new Map([[1, { a: 2 }]]), new Set([[3]]), { a: [1, , 2] }]'),
    ],
    ['array subclasses', () => [List.from([1, 2]), as([1], null), as([1], Object.prototype)]],
    [
      'buffers',
      () => [
        Buffer.from('pooled'),
        Buffer.alloc(20, 1).subarray(3, 9),
        Buffer.alloc(0),
        Buffer.allocUnsafeSlow(4).fill(2),
      ],
    ],
    [
      'the same buffer twice',
      () => {
        const a = Buffer.from('twice');
        return [a, a, a.subarray(1), a.buffer.byteLength > 0];
      },
    ],
    ['a buffer with own properties', () => withOwn(Buffer.from('own'))],
    [
      'a buffer as a Uint8Array',
      () => [as(Buffer.from('as'), Uint8Array.prototype), as(pattern(4), Buffer.prototype)],
    ],
    [
      'views with an offset',
      () => [new Uint16Array(buffer(), 6, 3), new Float64Array(buffer(), 8, 2), new DataView(buffer(), 5, 7)],
    ],
    ['views of all kinds', () => VIEWS.map((View) => new View(buffer()))],
    [
      'views of one buffer',
      () => {
        const all = buffer();
        return { all, bytes: new Uint8Array(all, 3), words: new Int32Array(all, 4, 2) };
      },
    ],
    [
      'a view and its buffer',
      () => {
        const view = pattern(6);
        return [view, view.buffer, view];
      },
    ],
    ['a Float16Array', () => (globalThis.Float16Array ? new globalThis.Float16Array([1.5, -2]) : null)],
    ['an own kind of view', () => [new Bytes([1, 2]), withOwn(pattern(3), { own: 1 })]],
    [
      'a view with another constructor',
      () => [withOwn(pattern(3), { constructor: Buffer }), withOwn(pattern(3), { constructor: Array })],
    ],
    ['a Buffer with another constructor', () => withOwn(Buffer.from('abc'), { constructor: Uint8Array })],
    [
      'a foreign view',
      () =>
        vm.runInNewContext('[new Uint8Array([1, 2]), new DataView(new ArrayBuffer(3)), new ArrayBuffer(4)]'),
    ],
    ['empty buffers', () => [new ArrayBuffer(0), new Uint8Array(0), new DataView(new ArrayBuffer(0))]],
    [
      'a resizable buffer',
      () => {
        const b = new ArrayBuffer(8, { maxByteLength: 16 });
        return [b, new Uint8Array(b), new Uint8Array(b, 2, 3), new DataView(b, 1)];
      },
    ],
    ['a view out of bounds', () => outOfBounds(Uint8Array)],
    ['a data view out of bounds', () => outOfBounds(DataView)],
    ['a detached buffer', () => detached(pattern(4)).buffer],
    ['a detached view', () => detached(pattern(4))],
    ['a detached data view', () => detached(new DataView(buffer()))],
    ['a detached Buffer', () => detached(Buffer.from(buffer()))],
    ['a buffer with own properties', () => withOwn(buffer())],
    ['a buffer as an object', () => as(buffer(), Object.prototype)],
    ['shared memory', () => new SharedArrayBuffer(8)],
    ['a view of shared memory', () => new Uint8Array(new SharedArrayBuffer(8)).fill(3)],
    ['functions', () => ({ method() {} })],
    ['a class', () => Failure],
    ['a symbol', () => ({ a: Symbol('s') })],
    ['a symbol in a map', () => new Map([[Symbol.iterator, 1]])],
    ['a proxy', () => new Proxy({ a: 1 }, {})],
    ['a proxy of an array', () => ({ list: new Proxy([1, 2], {}) })],
    [
      'a revoked proxy',
      () => {
        const { proxy, revoke } = Proxy.revocable({}, {});
        revoke();
        return [proxy];
      },
    ],
    [
      'arguments',
      () =>
        (function () {
          return arguments;
        })(1, 2),
    ],
    ['weak collections', () => [new WeakMap()]],
    ['a weak set', () => new WeakSet()],
    ['a weak reference', () => new WeakRef({})],
    ['a promise', () => Promise.resolve(1)],
    ['a promise as an object', () => as(Promise.resolve(1), Object.prototype)],
    ['a generator', () => (function* () {})()],
    ['an iterator', () => [1].values()],
    ['math and others', () => [Math, JSON]],
    ['Intl', () => new Intl.NumberFormat('en')],
    ['a global', () => Reflect],
    ['a URL', () => new URL('http://localhost/path')],
    ['URL parameters', () => new URLSearchParams('a=1')],
    ['a Blob', () => new Blob(['text'])],
    ['headers', () => new Headers({ a: 'b' })],
    [
      'a message port',
      () => {
        const { port1, port2 } = new MessageChannel();
        port1.close();
        port2.close();
        return port1;
      },
    ],
    ['a key', () => createSecretKey(Buffer.alloc(16))],
    ['a stream', () => Readable.from([1]).readableFlowing],
    ['an abort signal', () => AbortSignal.abort('reason').aborted],
    ['an event', () => new Event('type')],
    ['a text encoder', () => new TextEncoder()],
    ['an external object', () => performance.now],
    ['a finalization registry', () => new FinalizationRegistry(() => {})],
    ['a tagged object', () => ({ [Symbol.toStringTag]: 'Date', a: 1 })],
    ['an empty tagged object', () => ({ [Symbol.toStringTag]: 'Map' })],
    [
      'a throwing getter',
      () => ({
        before: [1],
        get bad() {
          throw new RangeError('on purpose');
        },
      }),
    ],
    ['raw JSON', () => (JSON.rawJSON ? JSON.rawJSON('1') : null)],
    ['a long text', () => ['x'.repeat(100_000), '\u0416'.repeat(50_000), 'é'.repeat(3000)]],
    ['large bytes', () => [pattern(400_000), Buffer.from(pattern(300_000)), pattern(300_000).buffer]],
  ];
}

module.exports.exotic = exotic;
