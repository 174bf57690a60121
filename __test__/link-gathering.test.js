'use strict';

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');

const { Gathering } = require('../lib/link/gathering');

/**
 * Looks for records until so many pauses have been made. Returns the number of looks before each.
 * @param {Gathering} gathering
 * @param {number} pauses
 * @param {(hasPaused: boolean) => number} records number of records each look finds
 * @param {number} [recordBytes]
 */
function looksBefore(gathering, pauses, records, recordBytes = 48) {
  const looks = [];
  for (let since = 1; looks.length < pauses; since++) {
    const hasPaused = gathering.pause();
    gathering.found(records(hasPaused) * recordBytes);
    gathering.read(recordBytes);
    if (!hasPaused) continue;
    looks.push(since);
    since = 0;
  }
  return looks;
}

describe('records gather', () => {
  test('before every look, once pauses have proved useful', () => {
    const looks = looksBefore(new Gathering(), 4, (hasPaused) => (hasPaused ? 4 : 1));
    assert.equal(looks[0], 33);
    // The records gathered in a pause are many at once: only after another small batch there is a pause again.
    assert.deepEqual(looks.slice(1), [2, 2, 2]);
  });

  test('ever more rarely where the producer waits for each reply', () => {
    const looks = looksBefore(new Gathering(), 12, () => 1);
    assert.deepEqual(looks, [33, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 8192, 8192]);
  });

  test('often again after a useful pause', () => {
    const gathering = new Gathering();
    looksBefore(gathering, 8, () => 1);
    looksBefore(gathering, 1, (hasPaused) => (hasPaused ? 8 : 1));
    assert.deepEqual(
      looksBefore(gathering, 3, () => 1),
      [2, 32, 64],
    );
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
