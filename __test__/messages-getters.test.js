'use strict';

/*
 * Getters, toJSON and traps that, while their message is being encoded, change what has been read of it, send, throw, or
 * end the link: both sides see the same as with Node alone.
 */

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const { run } = require('./support/program');

const fixture = (name) => path.join(__dirname, 'fixtures', `getter-messages-${name}.js`);
const REGISTER = path.join(__dirname, '..', 'register.js');

/** Runs the cases; resolves to what each side sees of each. @returns {Promise<Record<string, any>>} */
async function seen(kind, isOurs, args) {
  const { code, stdout, stderr } = await run(
    [...(isOurs ? ['--require', REGISTER] : []), fixture(kind), ...args],
    {
      // Lanes from the first message on.
      env: { MANYCORE_LANES_AFTER: '0' },
    },
  );
  assert.equal(stderr, '');
  assert.equal(code, 0);
  const lines = stdout.trim().split('\n');
  return Object.fromEntries(
    lines.map((line) => JSON.parse(line)).map(([name, side, log]) => [`${name} (${side})`, log]),
  );
}

const LINKS = [
  ['threads', ['down']],
  ['threads', ['up']],
  ['threads', ['ports']],
  ['processes', ['down', 'json']],
  ['processes', ['up', 'json']],
  ['processes', ['down', 'advanced']],
  ['processes', ['up', 'advanced']],
];

/**
 * Cases in which only what is sent before the message (and after it) is compared, by kind of link: versions of Node differ
 * in how they send a view that was detached before it is read, Node's channel drops what is not written when it is
 * disconnected, and a value that only the port of a thread carries is dropped if that has been closed.
 */
const LOOSE = {
  threads: /^a buffer is detached before its view|^it closes before a part that only/,
  processes: /^a buffer is detached before its view|^it closes (after|before) (3|large)/,
};

/** @param {string} name @param {string[]} log */
const around = (name, log) => (name.startsWith('it closes') ? log.slice(0, 1) : [log[0], log.at(-1)]);

for (const [kind, args] of LINKS) {
  test(`getters with effects: ${kind}, ${args.join(', ')}`, { timeout: 240_000 }, async () => {
    const nodes = await seen(kind, false, args);
    const ours = await seen(kind, true, args);
    assert.ok(Object.keys(nodes).length > 30);
    const report = [];
    for (const name of Object.keys({ ...nodes, ...ours })) {
      const [mine, its] = [ours[name], nodes[name]].map((log) =>
        LOOSE[kind].test(name) && log ? around(name, log) : log,
      );
      if (JSON.stringify(mine) !== JSON.stringify(its)) report.push({ name, ours: mine, nodes: its });
    }
    assert.deepEqual(report, []);
  });
}
