'use strict';

/* The rules of `serialization: 'advanced'`, compared with Node's own serializer and the additions of its channel. */

const assert = require('node:assert/strict');
const test = require('node:test');
const fc = require('fast-check');

const { formats } = require('../lib/cluster/ipc-formats');
const { AdvancedEncoder } = require('../lib/link/advanced-encoder');
const { Codec } = require('./support/codec');
const { differenceButBuffers } = require('./support/same');
const { cloneable } = require('./support/values');

const RUNS = Number(process.env.MANYCORE_PROPERTY_RUNS ?? 100_000);
const WATCHDOG = { timeout: 900_000 };
const { serialize, deserialize } = formats.advanced;

/** Compares one value with its serialization by Node; returns false if it was refused. */
function check(codec, value) {
  const copy = codec.copy(value);
  if (copy === undefined) return false;
  const found = differenceButBuffers(copy.value, deserialize(serialize(value)));
  if (found) throw new Error(found);
  return true;
}

test(`${RUNS} values are cloned as by Node's channel`, WATCHDOG, () => {
  let codec = new Codec(new AdvancedEncoder());
  let carried = 0;
  fc.assert(
    fc.property(cloneable, (value) => {
      if (carried % 5000 === 0) codec = new Codec(new AdvancedEncoder());
      if (check(codec, value)) carried++;
    }),
    { numRuns: RUNS },
  );
  assert.ok(carried > RUNS * 0.9, `only ${carried} of ${RUNS} were carried`);
});

test('a view is sent with only the bytes it covers', () => {
  const codec = new Codec(new AdvancedEncoder());
  const buffer = new ArrayBuffer(1000);
  const view = new Uint16Array(buffer, 10, 3).fill(513);
  const copy = codec.copy({ view, again: view, buffer, other: new DataView(buffer, 10, 6) }).value;
  assert.equal(copy.view, copy.again);
  assert.deepEqual(copy.view, new Uint16Array([513, 513, 513]));
  assert.equal(copy.view.buffer.byteLength, 6);
  assert.equal(copy.other.getUint16(0, true), 513);
  assert.equal(copy.buffer.byteLength, 1000);
  const pooled = Buffer.from('pooled');
  assert.ok(check(codec, [pooled, pooled.subarray(2), Buffer.alloc(0), new Float64Array(0)]));
  assert.ok(Buffer.isBuffer(codec.copy(pooled).value));
  assert.ok(check(codec, new Uint8Array(new SharedArrayBuffer(8)).fill(3)));
  assert.ok(check(codec, new (class Own extends Uint8Array {})(4)));
  assert.ok(check(codec, Object.assign(Buffer.from('with a property'), { property: 1 })));
});

test('unsupported values are serialized by Node, or throw as in Node', () => {
  const codec = new Codec(new AdvancedEncoder());
  const { port1 } = new MessageChannel();
  port1.close();
  for (const value of [new Blob([]), port1, new URL('http://a'), new (class extends Map {})([[1, 2]])]) {
    const copy = codec.copy(value) ?? { value: deserialize(serialize(value)) };
    assert.equal(differenceButBuffers(copy.value, deserialize(serialize(value))), undefined);
  }
  for (const value of [() => 1, { a: Symbol('s') }, new WeakMap(), new SharedArrayBuffer(8)]) {
    assert.equal(codec.copy(value), undefined);
    assert.throws(() => serialize(value), /could not be cloned/);
  }
  const detached = new Uint8Array(8);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  // Node's channel has sent it as an empty view since version 24.
  if (Number(process.versions.node.split('.')[0]) < 24) assert.throws(() => codec.copy(detached), TypeError);
  else assert.deepEqual(codec.copy(detached).value, new Uint8Array(0));
  assert.throws(() => serialize(detached), TypeError);
});
