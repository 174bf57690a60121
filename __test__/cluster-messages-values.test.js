'use strict';

/* Values between a primary and a worker with `serialization: 'advanced'`, compared with Node's own cluster. */

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const { run } = require('./support/program');

const FIXTURE = path.join(__dirname, 'fixtures', 'advanced-values.js');
const REGISTER = path.join(__dirname, '..', 'register.js');
const COUNT = Number(process.env.MANYCORE_CLUSTER_VALUES ?? 400);

/** @returns {Promise<Map<string, string>>} what each side receives or gets thrown, by value */
async function seen(isOurs, seed) {
  const { code, stdout, stderr } = await run([
    ...(isOurs ? ['--require', REGISTER] : []),
    FIXTURE,
    seed,
    String(COUNT),
  ]);
  assert.deepEqual([code, stderr], [0, '']);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  return new Map(lines.map(([side, index, what, text]) => [`${side} ${index} ${what}`, text]));
}

test(
  `${COUNT} generated values, and exotic ones, arrive as through Node's cluster`,
  { timeout: 240_000 },
  async () => {
    const seed = String(Math.floor(Math.random() * 2 ** 31));
    const nodes = await seen(false, seed);
    const ours = await seen(true, seed);
    assert.ok(nodes.size > COUNT * 2);
    const different = [];
    for (const key of new Set([...nodes.keys(), ...ours.keys()])) {
      if (nodes.get(key) !== ours.get(key)) {
        different.push({ key, nodes: nodes.get(key), ours: ours.get(key) });
      }
    }
    assert.deepEqual(different, [], `with seed ${seed}`);
  },
);
