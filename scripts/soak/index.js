'use strict';

/*
 * Runs everything at once for minutes while processes and threads are killed at random, and checks that all
 * accounts balance and that no resources leak:
 *
 *   node --expose-gc scripts/soak --minutes 10
 */

const fs = require('node:fs');
const { parseArgs } = require('node:util');
const { setTimeout: delay } = require('node:timers/promises');

const { shared } = require('../..');
const { accounts, complaints, check } = require('./accounts');
const { clusterPart } = require('./cluster-part');
const { threadsPart } = require('./threads-part');

/** Resources that runtime and allocator may retain. */
const SLACK = { descriptors: 8, threads: 8, mappings: 300, rssMiB: 128 };
const MOST_ATTEMPTS = 50;
/** Fraction of the run after which everything that is created once exists. */
const WARM_UP_SHARE = 0.25;

/** @param {string} text @param {RegExp} pattern */
const number = (text, pattern) => Number(pattern.exec(text)?.[1] ?? NaN);

function resources() {
  globalThis.gc?.();
  return {
    descriptors: fs.readdirSync('/proc/self/fd').length,
    threads: number(fs.readFileSync('/proc/self/status', 'utf8'), /^Threads:\s+(\d+)/m),
    mappings: fs.readFileSync('/proc/self/maps', 'utf8').split('\n').length,
    rssMiB: Math.round(process.memoryUsage().rss / 2 ** 20),
  };
}

/**
 * @param {number} ms duration
 * @param {'json' | 'advanced'} serialization serialization of the cluster
 */
async function turn(ms, serialization) {
  const ended = new AbortController();
  const timer = setTimeout(() => ended.abort(), ms);
  try {
    await Promise.all([clusterPart(ended.signal, serialization), threadsPart(ended.signal)]);
  } finally {
    clearTimeout(timer);
    ended.abort();
  }
}

/**
 * Returns the resources that exceed the earlier values, after the event loop and the garbage collector have cleaned
 * up.
 * @param {ReturnType<typeof resources>} before
 */
async function excess(before) {
  const names = /** @type {(keyof typeof before)[]} */ (Object.keys(SLACK));
  for (let attempt = 1; ; attempt++) {
    await delay(200);
    const after = resources();
    const over = names.filter((what) => after[what] > before[what] + SLACK[what]);
    if (over.length === 0 || attempt === MOST_ATTEMPTS) return { after, names: over };
  }
}

async function main() {
  const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } });
  const totalMs = Number(values.minutes) * 60_000;
  if (!(totalMs > 0)) throw new TypeError(`--minutes ${values.minutes} is no time`);
  await turn(totalMs * WARM_UP_SHARE, 'json');
  const before = resources();
  await turn(totalMs * (1 - WARM_UP_SHARE), 'advanced');
  const over = await excess(before);
  const { after } = over;
  for (const what of over.names) check(false, `${what}: ${before[what]} before, ${after[what]} after`);
  const left = shared.list().filter(({ name }) => name.startsWith(`soak-${process.pid}-`));
  check(left.length === 0, `segments left: ${left.map(({ name }) => name).join(', ')}`);
  console.log(JSON.stringify({ counts: accounts(), before, after, complaints: complaints() }, null, 2));
  process.exitCode = complaints().length === 0 ? 0 : 1;
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
