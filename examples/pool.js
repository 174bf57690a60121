'use strict';

/*
 * A long map over a pool of threads, with a progress bar: counts the primes up to a limit, range by range.
 *
 *   node examples/pool.js [LIMIT] [--threads N] [--quick]
 */

const { Pool, isWorkerThread } = require('manycore');

const { options, positive } = require('./support/options');
const { ALL_CORES } = require('./support/team');

const RANGE = 20_000;
const BAR_WIDTH = 40;

if (!isWorkerThread) main();

async function main() {
  const { quick, threads, argument } = options(ALL_CORES);
  const limit = argument ? positive('The limit', argument) : quick ? 400_000 : 20_000_000;
  const ranges = Array.from({ length: Math.ceil((limit + 1) / RANGE) }, (_, i) => ({
    from: i * RANGE,
    to: Math.min((i + 1) * RANGE, limit + 1),
  }));
  const pool = new Pool({ filename: __filename, minThreads: threads, maxThreads: threads });
  const counts = await pool.map(ranges, { onResult: (count) => draw(count / ranges.length) });
  await pool.close();
  const primes = counts.reduce((sum, count) => sum + count, 0);
  console.log(`${primes} primes up to ${limit}, in ${ranges.length} tasks on ${threads} threads`);
}

/** @param {number} share fraction of the tasks that are done */
function draw(share) {
  if (!process.stderr.isTTY) return;
  const done = Math.round(share * BAR_WIDTH);
  const end = share === 1 ? '\n' : '';
  process.stderr.write(
    `\r${'█'.repeat(done)}${'░'.repeat(BAR_WIDTH - done)} ${Math.floor(share * 100)} %${end}`,
  );
}

/**
 * The task: returns the number of primes from `from` to `to`, exclusive.
 * @param {{ from: number, to: number }} range
 */
module.exports = function countPrimes({ from, to }) {
  let count = 0;
  for (let n = Math.max(from, 2); n < to; n++) if (isPrime(n)) count++;
  return count;
};

/** @param {number} n from 2 up */
function isPrime(n) {
  if (n % 2 === 0) return n === 2;
  for (let divisor = 3; divisor * divisor <= n; divisor += 2) if (n % divisor === 0) return false;
  return true;
}
