'use strict';

/*
 * A lane in the memory of one thread, without the addon: the interface used by its ends, and means to tamper with
 * it.
 */

const CONTROL_BYTES = 4096;
const STORE_BYTES = 1024 * 1024;

/** @param {number} capacity */
function makeLane(capacity) {
  // Not mirrored like a real mapping, so this lane must not wrap. Twice the size keeps reads in bounds.
  const arrayBuffer = new ArrayBuffer(CONTROL_BYTES + 2 * capacity);
  const store = new Uint8Array(STORE_BYTES);
  /** @type {ArrayBuffer[]} */
  const overflow = [];
  const lane = {
    bytes: new Uint8Array(arrayBuffer),
    words: new Int32Array(arrayBuffer, 0, CONTROL_BYTES / 4),
    ring: new Uint8Array(arrayBuffer, CONTROL_BYTES, capacity),
    overflow,
    store,
    rings: 0,
    isClosed: false,
  };
  const shared = {
    storeBuffer: () => store.buffer,
    memory: () => ({ buffer: arrayBuffer, ringOffset: CONTROL_BYTES, capacity, storeBytes: STORE_BYTES }),
  };
  const sender = {
    ...shared,
    ring: () => lane.rings++,
    pushOverflow(record) {
      overflow.push(record.slice().buffer);
      lane.words[96]++;
    },
    close() {},
    get overflowBytes() {
      return overflow.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    },
  };
  const receiver = {
    ...shared,
    listen() {},
    pause() {},
    resume() {},
    overflowChunkBytes: 1024,
    largeLength: () => 0,
    takeOverflow(target) {
      const chunk = overflow.shift();
      if (chunk === undefined || chunk.byteLength > target.length) return chunk ?? 0;
      target.set(new Uint8Array(chunk));
      return chunk.byteLength;
    },
    copyFromRing: (start, target) => target.set(lane.bytes.subarray(start, start + target.length)),
    copyFromStore: (at, target) => target.set(store.subarray(at, at + target.length)),
    close: () => (lane.isClosed = true),
  };
  return { lane, sender, receiver };
}

module.exports.makeLane = makeLane;
