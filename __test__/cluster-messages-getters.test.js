'use strict';

/* Getters and toJSON of a message run once, whichever way the message takes. */

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { playBoth } = require('./support/scenario');

for (const serialization of ['json', 'advanced']) {
  test(`${serialization}: getters of a message run once, as in Node`, async (t) => {
    const { ours, nodes } = await playBoth(t, {
      env: { SERIALIZATION: serialization },
      async primary({ cluster, once }) {
        cluster.setupPrimary({ serialization: process.env.SERIALIZATION });
        const worker = cluster.fork();
        await once(worker, 'message');
        let runs = 0;
        const withGetter = (more) => ({
          get value() {
            return ++runs;
          },
          ...more,
        });
        let deep = {};
        for (let i = 0; i < 700; i++) deep = { deep };
        const seen = [];
        for (const more of [
          {},
          { blob: new Blob([]) },
          { deep },
          { list: [withGetter({ blob: new Blob([]) })] },
        ]) {
          const answer = once(worker, 'message');
          const message = Object.defineProperties({}, Object.getOwnPropertyDescriptors(withGetter({})));
          worker.send(Object.assign(message, more));
          seen.push([runs, (await answer)[0]]);
        }
        worker.disconnect();
        return seen;
      },
      worker() {
        process.on('message', ({ value, list }) => process.send([value, list?.[0].value]));
        process.send('ready');
      },
    });
    assert.deepEqual(ours.result, nodes.result);
    assert.equal(ours.result.length, 4);
  });
}

test('a proxy sees the same traps as in Node', async (t) => {
  const { ours, nodes } = await playBoth(t, {
    async primary({ cluster, once }) {
      const worker = cluster.fork();
      await once(worker, 'message');
      const traps = [];
      const handler = {};
      for (const name of ['get', 'getOwnPropertyDescriptor', 'has', 'getPrototypeOf']) {
        handler[name] = (target, ...rest) => {
          traps.push([name, String(rest[0])]);
          return Reflect[name](target, ...rest);
        };
      }
      const answer = once(worker, 'message');
      worker.send(new Proxy({ a: 1 }, handler));
      const seen = [traps.slice(), (await answer)[0]];
      worker.disconnect();
      return seen;
    },
    worker() {
      process.on('message', (message) => process.send(message));
      process.send('ready');
    },
  });
  assert.deepEqual(ours.result, nodes.result);
  assert.deepEqual(ours.result[1], { a: 1 });
});
