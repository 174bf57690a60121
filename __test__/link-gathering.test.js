'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');

const { Gathering } = require('../lib/link/gathering');

const RECORD_BYTES = 48;

/**
 * Looks for records until so many pauses have been made. Returns the number of batches found before each of them.
 * @param {Gathering} gathering
 * @param {number} pauses
 * @param {(hasPaused: boolean) => number} records number of records that a look finds
 */
function batchesBefore(gathering, pauses, records) {
  const batches = [];
  let found = 0;
  while (batches.length < pauses) {
    const hasPaused = gathering.pause();
    if (hasPaused) {
      batches.push(found);
      found = 0;
    }
    const count = records(hasPaused);
    gathering.found(count * RECORD_BYTES);
    if (count === 0) continue;
    if (!hasPaused) found++;
    gathering.read(RECORD_BYTES);
  }
  return batches;
}

/** One record per second look, as in an exchange of requests and replies. */
function alternately() {
  let looks = 0;
  return () => looks++ % 2;
}

describe('records gather', () => {
  test('after each small batch, once pauses have proved useful', () => {
    const batches = batchesBefore(new Gathering(), 4, (hasPaused) => (hasPaused ? 4 : 1));
    // The very first record has no predecessor to compare it with.
    assert.deepEqual(batches, [33, 1, 1, 1]);
  });

  test('ever more rarely where the producer waits for each reply', () => {
    const batches = batchesBefore(new Gathering(), 11, alternately());
    assert.deepEqual(batches, [33, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 8192]);
  });

  test('often again after a useful pause', () => {
    const gathering = new Gathering();
    batchesBefore(gathering, 8, alternately());
    batchesBefore(gathering, 1, (hasPaused) => (hasPaused ? 8 : 1));
    assert.deepEqual(batchesBefore(gathering, 3, alternately()), [1, 32, 64]);
  });

  test('never while many are found anyway, or long ones', () => {
    for (const [records, bytes] of [
      [4, 48],
      [1, 1032],
    ]) {
      const gathering = new Gathering();
      for (let i = 0; i < 10_000; i++) {
        gathering.found(records * bytes);
        gathering.read(bytes);
        assert.equal(gathering.pause(), false);
      }
    }
  });
});
